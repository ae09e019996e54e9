"""An overview as text for a terminal, and as JSON for programs."""

import json
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from segpipe.audit.status.overview import JobState, Overview, Progress, State, count, last_lines
from segpipe.files.space import in_words

# What to do next, in words.

UNLOCK = "`snakemake --unlock`, with the same --configfile"


def advice(run: Overview) -> list[str]:
    """Lines for people; empty while all is well."""
    found = _about_lock(run)
    states = {job.state for job in run.jobs}
    if run.undone and not run.locked:
        mend = "Mend what the logs say, then start" if State.FAILED in states else "Start"
        found.append(f"{mend} Snakemake again: finished jobs stay.")
    if not run.locked and states <= {State.DONE}:
        found.append("All outputs are there; `snakemake -n` tells whether something changed since.")
    return found


def _about_lock(run: Overview) -> list[str]:
    if not run.locked or run.heads:
        return []
    if run.head_elsewhere:
        where = f"Snakemake was started on {run.head_elsewhere}, and may still run there: look there first."
        return [where, f"If it does not: {UNLOCK}"]
    lines = ["The Snakemake that worked on this run is gone, and its lock is still there."]
    if run.queue:
        lines.append(
            f"Its {len(run.queue)} SLURM jobs go on without it, and a new Snakemake would send them a second time: "
            "wait for their end, or `segpipe orphans CONFIG --cancel`."
        )
    return [*lines, f"{'Then, before' if run.queue else 'Before'} the next call: {UNLOCK}"]


# An overview as text for a terminal, and as JSON for programs.

COLOURS = {State.DONE: "green", State.RUNNING: "cyan", State.FAILED: "red", State.INTERRUPTED: "yellow"}
ALWAYS = (State.DONE, State.RUNNING, State.FAILED, State.WAITING)

Paint = Callable[[str, str], str]


def as_text(run: Overview, most_failed: int, paint: Paint) -> str:
    """Sections that have nothing to say are left out; ``paint(text, colour)`` colours."""
    parts = [_title(run), _table(run, paint), _models(run, paint), _slurm(run), _undone(run, most_failed, paint)]
    parts += ["\n".join(paint(line, "yellow") for line in advice(run)), _disk(run)]
    return "\n\n".join(part for part in parts if part)


def _title(run: Overview) -> str:
    lines = [f"{run.config.name}: {run.images} images in {run.shards} shards, {run.config.folder}"]
    for head in run.heads:
        lines.append(f"Snakemake runs here since {_clock(head.started)}, process {head.process}")
    if not run.heads and not run.head_elsewhere:
        lines.append("No Snakemake works on it here.")
    if run.log:
        steps = f", {run.log.steps} steps" if run.log.steps else ""
        lines.append(f"Last call of Snakemake: {run.log.path}{steps}")
    return "\n".join(lines)


def _clock(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds))


def _table(run: Overview, paint: Paint) -> str:
    """A row for each rule, a column for each state that occurs."""
    counts = count(run.jobs)
    shown = [state for state in State if state in ALWAYS or any(row[state] for row in counts.values())]
    lines = ["".join([f"{'rule':<11}", *(f"{state.value:>12}" for state in shown), f"{'of':>7}"])]
    for rule, row in counts.items():
        cells = [(f"{row[state] or '':>12}", COLOURS.get(state, "")) for state in shown]
        lines.append("".join([f"{rule:<11}", *(paint(*cell) for cell in cells), f"{sum(row.values()):>7}"]))
    return "\n".join(lines)


def _models(run: Overview, paint: Paint) -> str:
    shown = [(job, progress) for job, progress in run.models if job.state != State.WAITING]
    if not shown:
        return ""
    width = max(len(job.job.name) for job, _ in shown)
    lines = [
        f"  {job.job.name:<{width}}  {paint(f'{job.state.value:<11}', COLOURS.get(job.state, ''))}  {_epochs(progress)}"
        for job, progress in shown
    ]
    return "\n".join(["Models", *lines])


def _epochs(progress: Progress | None) -> str:
    if not progress:
        return "no epoch yet"
    best = f"best val MIoU {progress.best:.4f} in epoch {progress.best_epoch}"
    left = f", about {progress.seconds_left} s left" if progress.seconds_left else ""
    return f"epoch {progress.epoch}/{progress.epochs}, val MIoU {progress.miou:.4f}, {best}{left}"


def _slurm(run: Overview) -> str:
    if run.note:
        return f"SLURM: {run.note}"
    if not run.queue:
        return ""
    states = Counter(job.state.lower() for job in run.queue)
    reasons = Counter(job.reason for job in run.queue if job.is_pending)
    lines = [f"SLURM: {', '.join(f'{number} {state}' for state, number in sorted(states.items()))}"]
    lines += [f"  {number} wait: {reason}" for reason, number in reasons.most_common()]
    return "\n".join(lines)


def _undone(run: Overview, most: int, paint: Paint) -> str:
    """Where to read on, and the end of each log."""
    lines = []
    for job in run.undone[:most]:
        lines.append(f"{paint(job.state.value, COLOURS[job.state])}: {job.label}")
        lines += [] if _logs(job) else ["  no log: it had not begun"]
        for path in _logs(job):
            lines += [f"  {path}", *(f"    {line}" for line in last_lines(path))]
    if len(run.undone) > most:
        lines.append(f"and {len(run.undone) - most} more (--failed {len(run.undone)} shows all)")
    return "\n".join(lines)


def _logs(job: JobState) -> list[Path]:
    return [path for path in (job.job.log, job.slurm_log) if path and path.exists()]


def _disk(run: Overview) -> str:
    sizes = sorted(run.disk.folders.items(), key=lambda item: -item[1])
    said = ", ".join(f"{name or 'tables and pictures'} {in_words(size)}" for name, size in sizes if size >= 100_000)
    more = "" if run.disk.whole else " or more: not all files were counted, --disk counts them"
    total = in_words(sum(run.disk.folders.values()))
    return f"Disk: {total}{more}{f' ({said})' if said else ''}, free {in_words(run.disk.free)}"


def as_json(run: Overview, most_failed: int) -> str:
    """The same for programs; the keys are described in docs/cli.md."""
    found: dict[str, Any] = {
        "name": run.config.name,
        "results": run.config.folder.as_posix(),
        "images": run.images,
        "shards": run.shards,
        "snakemake": {
            "processes": [head.process for head in run.heads],
            "log": str(run.log.path) if run.log else None,
            "host": run.log.host if run.log else None,
            "locked": run.locked,
        },
        "rules": {rule: {state.value: n for state, n in row.items()} for rule, row in count(run.jobs).items()},
        "models": [
            {"name": job.job.name, "state": job.state.value, **(asdict(progress) if progress else {})}
            for job, progress in run.models
        ],
        "slurm": {"jobs": [asdict(job) for job in run.queue], "note": run.note or None},
        "undone": [
            {
                "rule": job.job.rule,
                "name": job.job.name,
                "state": job.state.value,
                "slurm_job": job.slurm_job,
                "logs": {str(path): last_lines(path) for path in _logs(job)},
            }
            for job in run.undone[:most_failed]
        ],
        "advice": advice(run),
        "disk": {"folders": run.disk.folders, "whole": run.disk.whole, "free": run.disk.free},
    }
    return json.dumps(found, indent=1)

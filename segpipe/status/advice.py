"""What to do next, in words."""

from segpipe.status.overview import Overview
from segpipe.status.state import State

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

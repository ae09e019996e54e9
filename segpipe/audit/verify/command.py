"""`segpipe verify`: what a run read and wrote, hashed and computed again; nothing is ever changed."""

import csv
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import astuple, dataclass, field, fields
from pathlib import Path
from typing import TextIO

from segpipe.audit.provenance import RECORD
from segpipe.audit.verify import inputs, outputs
from segpipe.audit.verify.run import KINDS, Finding, Run, UnreadableError
from segpipe.config.load import load_config
from segpipe.config.stages import PredictStage, PreprocessStage, ReportStage, ScoreStage
from segpipe.files.atomic import atomic_path
from segpipe.log import plain, track

_MOST = 10  # findings of one kind that are printed; --output has all


@dataclass
class Tally:
    """What was compared and what differs: numbers, and the first findings of each kind, however many there are.

    ``stream`` gets a line of CSV for each, after a header.
    """

    stream: TextIO | None = None
    compared: Counter[str] = field(default_factory=Counter)
    differing: Counter[str] = field(default_factory=Counter)
    first: dict[str, list[Finding]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._writer = csv.writer(self.stream, lineterminator="\n") if self.stream else None
        if self._writer:
            self._writer.writerow(field.name for field in fields(Finding))

    def add(self, kind: str, findings: Iterable[Finding]) -> None:
        """One thing was compared, with these findings."""
        self.compared[kind] += 1
        for found in findings:
            self.differing[found.kind] += 1
            own = self.first.setdefault(found.kind, [])
            if len(own) < _MOST:
                own.append(found)
            if self._writer:
                self._writer.writerow(astuple(found))

    def text(self, left_out: Iterable[str] = ()) -> str:
        """For a terminal; what to do is said once for all it helps."""
        lines = []
        for kind, (what, _) in KINDS.items():
            if kind in left_out:
                lines.append(f"{what}: left out")
            elif self.compared[kind] or self.differing[kind]:
                number = self.differing[kind]
                lines.append(f"{what}: {self.compared[kind]} compared, {f'{number} differ' if number else 'all alike'}")
            lines += self._details(kind)
        return "\n".join(lines)

    def _details(self, kind: str) -> list[str]:
        own, lines = self.first.get(kind, []), []
        for found in own:
            of = f" ({found.image_id})" if found.image_id else ""
            lines.append(f"  {plain(found.file)}{of}: {plain(found.problem)}")
        if self.differing[kind] > len(own):
            lines.append(f"  and {self.differing[kind] - len(own)} more (--output FILE writes all of them)")
        return lines + [f"  -> {advice}" for advice in dict.fromkeys(found.advice for found in own)]


def verify_config(
    path: Path, with_inputs: bool = True, recounted: int = 100, cores: int = 1, output: Path | None = None
) -> Tally:
    """Compare all that a run recorded with what is there; ``output`` gets a CSV with a row for each finding.

    Memory is that of a few pictures and, for the report, of its table.

    Raises:
        ConfigError, InputError: there is no such run.
    """
    with ExitStack() as stack:
        threads = ThreadPoolExecutor(cores)
        stack.callback(threads.shutdown, cancel_futures=True)
        run, stream = Run(load_config(path), threads), None
        if output:
            temporary = stack.enter_context(atomic_path(output))
            stream = stack.enter_context(temporary.open("w", encoding="utf-8", newline=""))
        tally = Tally(stream)
        for kind, count, checks in _checks(run, with_inputs, recounted):
            for findings in track(_survived(checks), count, f"verify {kind}", "item"):
                tally.add(kind, findings)
        # Where a file is another already, its hash is, too, which would say the same twice; a comparison has no record.
        if not tally.differing and (run.folder / RECORD).exists():
            for findings in outputs.check_provenance(run):
                tally.add("provenance", findings)
    return tally


Checks = list[Iterator[list[Finding]]]


def _checks(run: Run, with_inputs: bool, recounted: int) -> Iterator[tuple[str, int, Checks]]:
    """Every comparison by its kind, with the number of things that are compared, about."""
    shards, images = run.shards, run.scan.images
    read, score = run.stage("preprocess", PreprocessStage), run.stage("score", ScoreStage)
    yield "config", len(shards) + 2 * len(run.scan.stages), [inputs.check_config(run)]
    if with_inputs:
        yield "input", images, [inputs.check_inputs(run, read, shard) for shard in shards]
    yield "store", images, [inputs.check_store(run, shard) for shard in shards]
    if not run.config.model.weights:
        yield "dataset", len(shards), [inputs.check_dataset(run)]
    yield "weights", len(run.trials), [outputs.check_models(run)]
    pairs = [(trial, shard) for trial in run.trials for shard in shards]
    predict = {trial: run.stage(f"{trial}predict", PredictStage) for trial in run.trials}
    total = images * len(run.trials)
    yield "mask", total, [outputs.check_masks(run, predict[trial], trial, shard) for trial, shard in pairs]
    yield "scores", total, [outputs.check_scores(run, score, trial, shard) for trial, shard in pairs]
    chosen = [(trial, *of_shard) for trial in run.trials for of_shard in outputs.drawn(run, trial, recounted).items()]
    yield "recount", sum(len(ids) for _, _, ids in chosen), [outputs.recount(run, score, *each) for each in chosen]
    if "" in run.trials:  # of a comparison alone there is no report
        yield "report", 3, [outputs.check_report(run, run.stage("report", ReportStage))]


def _survived(checks: Checks) -> Iterator[list[Finding]]:
    """The findings of one check after the other; one that cannot go on says why."""
    for check in checks:
        try:
            yield from check
        except UnreadableError as error:
            yield [error.finding]

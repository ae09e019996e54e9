"""`segpipe verify`: what a run read and wrote, hashed and computed again; nothing is ever changed."""

from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from segpipe.audit.provenance import RECORD
from segpipe.audit.verify import inputs, outputs
from segpipe.audit.verify.run import KINDS, Finding, Run, UnreadableError
from segpipe.config.load import load_config
from segpipe.config.stages import PredictStage, PreprocessStage, ReportStage, ScoreStage
from segpipe.files.table import write_csv
from segpipe.log import plain, track

_MOST = 10  # findings of one kind that are printed; --output has all


@dataclass
class Tally:
    """How many things of each kind were compared, and what differs."""

    compared: Counter[str] = field(default_factory=Counter)
    findings: list[Finding] = field(default_factory=list)

    def of(self, kind: str) -> list[Finding]:
        """The findings of a kind."""
        return [found for found in self.findings if found.kind == kind]

    def text(self, left_out: Iterable[str] = ()) -> str:
        """For a terminal; what to do is said once for all it helps."""
        lines = []
        for kind, (what, _) in KINDS.items():
            own = self.of(kind)
            if kind in left_out:
                lines.append(f"{what}: left out")
            elif self.compared[kind] or own:
                lines.append(f"{what}: {self.compared[kind]} compared, {f'{len(own)} differ' if own else 'all alike'}")
            for found in own[:_MOST]:
                of = f" ({found.image_id})" if found.image_id else ""
                lines.append(f"  {plain(str(found.file))}{of}: {plain(found.problem)}")
            if len(own) > _MOST:
                lines.append(f"  and {len(own) - _MOST} more (--output FILE writes all of them)")
            lines += [f"  -> {advice}" for advice in dict.fromkeys(found.advice for found in own[:_MOST])]
        return "\n".join(lines)

    def write(self, path: Path) -> None:
        """A CSV with a row for each finding."""
        columns = ["kind", "file", "problem", "advice", "image_id"]
        rows = [{name: str(getattr(found, name)) for name in columns} for found in self.findings]
        write_csv(pd.DataFrame(rows, columns=columns), path)


def verify_config(path: Path, with_inputs: bool = True, recounted: int = 100, cores: int = 1) -> Tally:
    """Compare all that a run recorded with what is there.

    Memory is that of a few pictures and, for the report, of its table.

    Raises:
        ConfigError, InputError: there is no such run.
    """
    threads, tally = ThreadPoolExecutor(cores), Tally()
    try:
        run = Run(load_config(path), threads)
        for kind, count, checks in _checks(run, with_inputs, recounted):
            for findings in track(_survived(checks), count, f"verify {kind}", "item"):
                tally.compared[kind] += 1
                tally.findings += findings
        # Where a file is another already, its hash is, too, which would say the same twice; a comparison has no record.
        if not tally.findings and (run.folder / RECORD).exists():
            for findings in outputs.check_provenance(run):
                tally.compared["provenance"] += 1
                tally.findings += findings
    finally:
        threads.shutdown(cancel_futures=True)
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

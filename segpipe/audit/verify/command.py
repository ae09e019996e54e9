"""`segpipe verify`: what a run read and wrote, hashed and computed again; nothing is ever changed."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from segpipe.audit.verify.finding import Finding, Run, Tally, UnreadableError
from segpipe.audit.verify.inputs import check_config, check_dataset, check_inputs, check_scanned, check_store
from segpipe.audit.verify.outputs import (
    check_masks,
    check_models,
    check_provenance,
    check_report,
    check_scores,
    drawn,
    has_provenance,
    recount,
)
from segpipe.config.load import load_config
from segpipe.config.stages import PredictStage, PreprocessStage, ReportStage, ScoreStage, load_stage, stage_file
from segpipe.files.atomic import atomic_path
from segpipe.log import track


@dataclass(frozen=True)
class Part:
    """Some comparisons of one kind; ``findings`` has an item for each of about ``count`` things."""

    kind: str
    count: int
    findings: Iterator[list[Finding]]


def verify_config(
    path: Path, inputs: bool = True, recounted: int = 100, cores: int = 1, output: Path | None = None
) -> Tally:
    """Compare all that a run recorded with what is there; ``output`` gets a CSV with a row for each finding.

    Memory is that of a few pictures and, for the report, of its table.

    Raises:
        ConfigError, InputError: there is no such run.
    """
    threads = ThreadPoolExecutor(cores)
    try:
        run = Run(load_config(path), threads)
        with _opened(output) as stream:
            tally = Tally(stream)
            for kind, findings in _all(run, inputs, recounted):
                tally.add(kind, findings)
            # Where a file is another already, its hash is, too, which would say the same twice.
            if not tally.differing and has_provenance(run.folder):
                for findings in check_provenance(run):
                    tally.add("provenance", findings)
    finally:
        threads.shutdown(cancel_futures=True)
    return tally


def _all(run: Run, inputs: bool, recounted: int) -> Iterator[tuple[str, list[Finding]]]:
    """Every comparison, behind a bar for each kind."""
    kinds = [[part] for part in _of_the_run(run)]
    if inputs:
        kinds.append(_inputs(run))
    kinds += [_stores(run), _dataset(run), _models(run), _masks(run), _scores(run), _recounted(run, recounted)]
    for parts in [*kinds, _report(run)]:
        if parts:
            yield from track(_findings(parts), sum(part.count for part in parts), f"verify {parts[0].kind}", "item")


def _findings(parts: Sequence[Part]) -> Iterator[tuple[str, list[Finding]]]:
    for part in parts:
        try:
            for findings in part.findings:
                yield part.kind, findings
        except UnreadableError as error:
            yield part.kind, [error.finding]


def _of_the_run(run: Run) -> Iterator[Part]:
    yield Part("config", len(run.scan.shards) + len(run.scan.stages), check_scanned(run))
    yield Part("config", len(run.scan.stages), check_config(run))


def _inputs(run: Run) -> list[Part]:
    stage = load_stage(run.folder / stage_file("preprocess"), PreprocessStage)
    return [Part("input", run.scan.rows[shard], check_inputs(run, stage, shard)) for shard in run.shards]


def _stores(run: Run) -> list[Part]:
    return [Part("store", run.scan.rows[shard], check_store(run, shard)) for shard in run.shards]


def _dataset(run: Run) -> list[Part]:
    return [] if run.config.model.weights else [Part("dataset", len(run.shards), check_dataset(run))]


def _models(run: Run) -> list[Part]:
    return [Part("weights", len(run.trials), check_models(run))]


def _masks(run: Run) -> list[Part]:
    stages = {
        trial: load_stage(run.folder / stage_file(f"{trial}predict"), PredictStage) for trial in run.scored_trials
    }
    return [
        Part("mask", run.scan.rows[shard], check_masks(run, stage, trial, shard))
        for trial, stage in stages.items()
        for shard in run.shards
    ]


def _scores(run: Run) -> list[Part]:
    stage = load_stage(run.folder / stage_file("score"), ScoreStage)
    return [
        Part("scores", run.scan.rows[shard], check_scores(run, stage, trial, shard))
        for trial in run.scored_trials
        for shard in run.shards
    ]


def _recounted(run: Run, number: int) -> list[Part]:
    stage = load_stage(run.folder / stage_file("score"), ScoreStage)
    return [
        Part("recount", len(image_ids), recount(run, stage, trial, shard, image_ids))
        for trial in run.scored_trials
        for shard, image_ids in drawn(run, trial, number).items()
    ]


def _report(run: Run) -> list[Part]:
    """Of a comparison alone there is no report."""
    if "" not in run.scored_trials:
        return []
    return [Part("report", 3, check_report(run, load_stage(run.folder / stage_file("report"), ReportStage)))]


@contextmanager
def _opened(path: Path | None) -> Iterator[TextIO | None]:
    if path is None:
        yield None
        return
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as stream:
        yield stream

"""Whether sample tables and the stages' parts of the config are what the scan wrote, and what the config says."""

from collections.abc import Iterator

from segpipe.samples.shards import fingerprint
from segpipe.stages import ReportStage, load_stage, stage_configs, stage_file, stage_text
from segpipe.verify.finding import Finding
from segpipe.verify.run import Run

ADVICE = "Run snakemake: the scan writes {path} anew, and what depends on it is made again."


def check_scanned(run: Run) -> Iterator[list[Finding]]:
    """Compare each file of ``samples/`` and ``config/`` with its fingerprint in ``samples/index.json``."""
    tables = {run.folder / "samples" / f"{shard}.csv": value for shard, value in run.scan.shards.items()}
    stages = {run.folder / stage_file(name): value for name, value in run.scan.stages.items()}
    for path, wanted in {**tables, **stages}.items():
        try:
            problem = "" if fingerprint(path.read_bytes()) == wanted else "is not what the scan wrote"
        except OSError as error:
            problem = f"cannot be read ({error.strerror})"
        yield [Finding("config", str(path), problem, ADVICE.format(path=path))] if problem else []


def check_config(run: Run) -> Iterator[list[Finding]]:
    """Compare the config that was given with the one of the last run, stage by stage."""
    carried = load_stage(run.folder / stage_file("report"), ReportStage).carried
    now = {name: fingerprint(stage_text(stage).encode()) for name, stage in stage_configs(run.config, carried).items()}
    for name in sorted({*now, *run.scan.stages}):
        path = str(run.folder / stage_file(name))
        same = now.get(name) == run.scan.stages.get(name)
        text = "the config that was given says something else for this stage than the one of the last run"
        yield [] if same else [Finding("config", path, text, "Run snakemake with the config, or give the run's own.")]

"""The scan: from the config to the files that the rules take as inputs.

It runs in Snakemake's main process whenever the workflow is parsed, also for a dry run. What it writes is named by its
content, and nothing is ever changed or removed: ``samples/<shard>-<hash>.csv``, ``config/<stage>-<hash>.json``, and the
scan itself, ``samples/scan-<hash>.json``, which names the others. So a run keeps the files it began with, whatever is
parsed beside it, and Snakemake sees by the names which shards and stages have something new to do. Only a run that is
started leaves its mark, ``samples/begun.json``, by which verbs that look at results know what they are of.
"""

import os
from contextlib import suppress
from dataclasses import dataclass, fields, replace
from pathlib import Path

from segpipe.config import Config
from segpipe.config.load import parse_config
from segpipe.config.stages import ProvenanceStage, load_stage, stage_configs, stage_file, stage_text
from segpipe.errors import ConfigError, InputError
from segpipe.files.atomic import canonical_json, read_json, write_text_if_changed
from segpipe.log import logger
from segpipe.samples.patterns import samples_from_patterns
from segpipe.samples.sample import Listing, Sample, read_salt
from segpipe.samples.shards import Tables, fingerprint, shard_count, shard_of, table_name
from segpipe.samples.sheet import samples_from_sheet

_BEGUN = "samples/begun.json"  # names the scan of the last run that was started
_OF_0_1 = "samples/index.json"
_DAMAGED = "{path} is damaged ({reason}). `segpipe scan CONFIG` writes it again."


@dataclass(frozen=True)
class Scan:
    """What the rules need to know: hashes of each shard's table and each stage's config, and images by shard."""

    images: int
    shards: dict[str, str]
    stages: dict[str, str]
    rows: dict[str, int]

    def table(self, shard: str) -> str:
        """A shard's sample table, below the results."""
        return f"samples/{table_name(shard, self.shards[shard])}"

    def stage(self, name: str) -> str:
        """A stage's part of the config, below the results; that of a variant has its folder before its name."""
        return stage_file(name, self.stages[name])

    @property
    def text(self) -> str:
        """As it is written."""
        return canonical_json(vars(self))

    @property
    def file(self) -> str:
        """Where it is written, below the results."""
        return f"samples/scan-{fingerprint(self.text.encode())}.json"


def scan(config: Config) -> Scan:
    """List the images, add what is new to ``samples/`` and ``config/`` of the results folder.

    Raises:
        ConfigError, InputError: see the messages; nothing was written then.
    """
    _refuse_older_results(config.folder)
    listing = find_samples(config)
    tables = Tables(listing.masks, listing.carried)
    for sample in listing.samples:
        tables.add(sample)
    tables.check_ids()
    images, shards, rows = len(tables), {}, {}
    for shard, members, text in tables.by_shard(shard_count(images, config.data.shards)):
        shards[shard], rows[shard] = fingerprint(text.encode()), members
        write_text_if_changed(config.folder / "samples" / table_name(shard, shards[shard]), text)
    result = Scan(images, shards, _write_stages(config, listing.carried), rows)
    path = config.folder / result.file
    write_text_if_changed(path, result.text)
    if _plans(path.parent)[0] != path:  # an older plan holds again
        path.touch()
    return result


def begin(config: Config, found: Scan) -> None:
    """A run starts from this scan: it is what its results are of, whatever is planned beside it or later."""
    write_text_if_changed(config.folder / _BEGUN, canonical_json({"scan": found.file}))


def read_scan(config: Config) -> Scan:
    """The scan of the run in this config's folder (:func:`scan_of_run`); a warning tells of another config's.

    Before the first run it is the config's own last plan, if there is one.
    """
    if not (config.folder / _BEGUN).exists() and (own := _planned(config)):
        return own
    found = scan_of_run(config.folder)
    if found.stages["provenance"] != _fingerprint(config):
        logger.warning(
            "The config is not the one that %s was made with; what follows is of the run that was. `snakemake -n` says "
            "what the config as it is now changes.",
            config.folder,
        )
    return found


def scan_of_run(results: Path) -> Scan:
    """The scan that the last run of a results folder began with; before the first run, the newest plan.

    Raises:
        InputError: there was none, it is damaged, or by another version of segpipe.
    """
    begun = results / _BEGUN
    if begun.exists():
        value = read_json(begun, _DAMAGED, _DAMAGED)
        if not isinstance(value, dict) or not isinstance(value.get("scan"), str):
            raise InputError(_DAMAGED.format(path=begun, reason="it names no scan"))
        return read_scan_file(results / value["scan"])
    plans = _plans(results / "samples")
    if not plans:
        _refuse_older_results(results)
        raise InputError(f"{results}/samples holds no scan; start the run with snakemake, or `segpipe scan CONFIG`.")
    return read_scan_file(plans[0])


def scan_with(table: Path) -> Scan | None:
    """The newest scan that names this sample table, for a job, which is given no more than that; None without one."""
    shard = shard_of(table)
    for path in _plans(table.parent):
        with suppress(InputError):
            found = read_scan_file(path)
            if shard in found.shards and found.table(shard) == f"samples/{table.name}":
                return found
    return None


def _plans(samples: Path) -> list[Path]:
    """All scans, the last one first."""
    return sorted(samples.glob("scan-*.json"), key=lambda path: path.stat().st_mtime_ns, reverse=True)


def _planned(config: Config) -> Scan | None:
    """The last scan of exactly this config."""
    for path in _plans(config.folder / "samples"):
        with suppress(InputError):
            found = read_scan_file(path)
            if found.stages.get("provenance") == _fingerprint(config):
                return found
    return None


def read_scan_file(path: Path) -> Scan:
    """One scan, by the path of its file.

    Raises:
        InputError: it is missing, damaged, or by another version of segpipe.
    """
    values = read_json(path, "{path} is missing; start the run with snakemake, or `segpipe scan CONFIG`.", _DAMAGED)
    if not isinstance(values, dict) or set(values) != {field.name for field in fields(Scan)}:
        raise InputError(f"{path} is of another version of segpipe. `segpipe scan CONFIG` writes it again.")
    return Scan(**values)


def hand_to_jobs(config: Config, found: Scan) -> None:
    """Leave a scan to the jobs of this process, which parse the workflow again: the config may have changed by then."""
    os.environ[_variable(config)] = str(config.folder / found.file)


def scan_of_job(config: Config) -> tuple[Config, Scan]:
    """The config and the scan that a job's main process began with.

    Raises:
        InputError: nothing was handed over, and nothing was scanned.
    """
    handed = os.environ.get(_variable(config))
    if not handed:
        return config, read_scan(config)
    found = read_scan_file(Path(handed))
    path = config.folder / found.stage("provenance")
    return parse_config(load_stage(path, ProvenanceStage).config, str(path)), found


def scan_without_files(config: Config) -> tuple[Scan, str]:
    """What is known while ``data.root`` is away, the config's own last scan or nothing, and why no job can run."""
    why = _no_root(config)
    if own := _planned(config):
        return own, f"{why} What follows is of the last scan."
    return Scan(0, {}, _write_stages(config, []), {}), f"{why} No images are known."


def list_samples(config: Config) -> tuple[list[Sample], list[str]]:
    """All samples of a config and the names of their carried columns; writes nothing.

    Raises:
        ConfigError, InputError: as :func:`scan`, but for ids that are there twice.
    """
    listing = find_samples(config)
    return list(listing.samples), listing.carried


def find_samples(config: Config) -> Listing:
    """The same, one after the other."""
    data = config.data
    if not data.root.is_dir():
        raise InputError(_no_root(config))
    try:
        salt = read_salt(data.patient_salt_file)
    except OSError as error:
        raise ConfigError(f"data.patient_salt_file: {data.patient_salt_file}: {error.strerror}.") from None
    if data.sheet:
        return samples_from_sheet(data, list(config.class_values), config.folds.column, salt, not config.model.weights)
    found = samples_from_patterns(data, salt, config.results)
    return _fold_from_wildcard(found, config.folds.column) if config.folds.column else found


def _no_root(config: Config) -> str:
    return (
        f"data.root: the folder {config.data.root} does not exist (looked from {Path.cwd().name}/). "
        "Paths are relative to the folder that snakemake runs in."
    )


def _fold_from_wildcard(found: Listing, column: str) -> Listing:
    if column != "site" and column not in found.carried:
        known = ", ".join(found.carried)
        raise ConfigError(f"folds.column: {column!r} is no wildcard of data.images; there are {known}.")
    with_folds = (
        replace(sample, fold=sample.site if column == "site" else sample.carried[column]) for sample in found.samples
    )
    return replace(found, samples=with_folds)


def _write_stages(config: Config, carried: list[str]) -> dict[str, str]:
    """Add the stages' parts of the config; their fingerprints."""
    found = {}
    for name, stage in stage_configs(config, carried).items():
        text = stage_text(stage)
        found[name] = fingerprint(text.encode())
        write_text_if_changed(config.folder / stage_file(name, found[name]), text)
    return found


def _fingerprint(config: Config) -> str:
    """What tells one config from another: the whole of it is the part that provenance sees."""
    return fingerprint(stage_text(ProvenanceStage(config=config.model_dump(mode="json"))).encode())


def _variable(config: Config) -> str:
    return f"SEGPIPE_SCAN_{fingerprint(str(config.folder).encode())}"


def _refuse_older_results(folder: Path) -> None:
    if (folder / _OF_0_1).exists():
        raise InputError(
            f"{folder} was made by segpipe 0.1.0, which this version does not continue. Its report and masks stay as "
            "they are: give this run another name (name: in the config), or delete that folder to make it again."
        )

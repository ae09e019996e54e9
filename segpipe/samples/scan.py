"""The scan: from the config to the files that the rules take as inputs.

It runs in Snakemake's main process whenever the workflow is parsed, also for a dry run. What it writes is named by its
content, and nothing is ever changed or removed: ``samples/<shard>-<hash>.csv``, ``config/<stage>-<hash>.json``, and the
scan itself, ``samples/scan-<hash>.json``, which names the others. So a run keeps the files it began with, whatever is
parsed beside it, and Snakemake sees by the names which shards and stages have something new to do.
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
    write_text_if_changed(config.folder / result.file, result.text)
    write_text_if_changed(latest_file(config), canonical_json({"scan": result.file}))
    return result


def read_scan(config: Config) -> Scan:
    """What the last scan of this config found. Where the config was changed since, the newest scan of its folder.

    Raises:
        InputError: there was none, or by another version of segpipe.
    """
    if latest_file(config).is_file():
        return _named_by(latest_file(config))
    found = newest_scan(config.folder)
    logger.warning(
        "The config is not the one that %s was scanned with; what follows is of the last run that was planned there. "
        "`snakemake -n` says what the config as it is now changes.",
        config.folder,
    )
    return found


def newest_scan(results: Path) -> Scan:
    """The last scan of a results folder, of whatever config.

    Raises:
        InputError: as :func:`read_scan`.
    """
    found = sorted((results / "samples").glob("latest-*.json"), key=lambda path: path.stat().st_mtime_ns)
    if not found:
        _refuse_older_results(results)
        raise InputError(f"{results}/samples holds no scan; start the run with snakemake, or `segpipe scan CONFIG`.")
    return _named_by(found[-1])


def scan_with(table: Path) -> Scan | None:
    """The newest scan that names this sample table, for a job, which is given no more than that; None without one."""
    shard = shard_of(table)
    newest_first = sorted(table.parent.glob("scan-*.json"), key=lambda path: path.stat().st_mtime_ns, reverse=True)
    for path in newest_first:
        with suppress(InputError):
            found = read_scan_file(path)
            if shard in found.shards and found.table(shard) == f"samples/{table.name}":
                return found
    return None


def _named_by(path: Path) -> Scan:
    value = read_json(path, _DAMAGED, _DAMAGED)
    if not isinstance(value, dict) or not isinstance(value.get("scan"), str):
        raise InputError(_DAMAGED.format(path=path, reason="it names no scan"))
    return read_scan_file(path.parent.parent / value["scan"])


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
    if latest_file(config).is_file():
        return read_scan(config), f"{why} What follows is of the last scan."
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


def latest_file(config: Config) -> Path:
    """Names the last scan of exactly this config."""
    text = canonical_json(config.model_dump(mode="json"))
    return config.folder / "samples" / f"latest-{fingerprint(text.encode())}.json"


def _variable(config: Config) -> str:
    return f"SEGPIPE_SCAN_{fingerprint(str(config.folder).encode())}"


def _refuse_older_results(folder: Path) -> None:
    if (folder / _OF_0_1).exists():
        raise InputError(
            f"{folder} was made by segpipe 0.1.0, which this version does not continue. Its report and masks stay as "
            "they are: give this run another name (name: in the config), or delete that folder to make it again."
        )

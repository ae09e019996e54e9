"""The scan: from the config to the files that the rules take as inputs.

It runs in Snakemake's main process whenever the workflow is parsed, and writes a file only when its
content changed; so Snakemake sees exactly which shards and stages have something new to do.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path

from segpipe.config import Config
from segpipe.config.stages import stage_configs, stage_file, stage_text
from segpipe.errors import ConfigError, InputError
from segpipe.files.atomic import write_text_if_changed
from segpipe.files.json_file import canonical_json, read_json
from segpipe.samples.patterns import samples_from_patterns
from segpipe.samples.sample import Listing, Sample, read_salt
from segpipe.samples.shards import Tables, fingerprint, shard_count
from segpipe.samples.sheet import samples_from_sheet


@dataclass(frozen=True)
class Scan:
    """What the rules need to know: fingerprints of each shard's table and each stage's config, images by shard."""

    images: int
    shards: dict[str, str]
    stages: dict[str, str]
    rows: dict[str, int]


def scan(config: Config) -> Scan:
    """List the images, write ``samples/`` and ``config/`` of the results folder where they changed.

    Raises:
        ConfigError, InputError: see the messages; nothing was written then.
    """
    listing = find_samples(config)
    tables = Tables(listing.masks, listing.carried)
    for sample in listing.samples:
        tables.add(sample)
    tables.check_ids()
    stages = {name: stage_text(stage) for name, stage in stage_configs(config, listing.carried).items()}
    images, shards, rows = len(tables), {}, {}
    for shard, members, text in tables.by_shard(shard_count(images, config.data.shards)):
        write_text_if_changed(config.folder / "samples" / f"{shard}.csv", text)
        shards[shard], rows[shard] = fingerprint(text.encode()), members
    for name, text in stages.items():
        write_text_if_changed(config.folder / stage_file(name), text)
    result = Scan(images, shards, {name: fingerprint(text.encode()) for name, text in stages.items()}, rows)
    write_text_if_changed(config.folder / "samples" / "index.json", canonical_json(vars(result)))
    _remove_stale_tables(config.folder / "samples", shards)
    return result


def read_scan(config: Config) -> Scan:
    """What the last scan found; for jobs, which scan nothing.

    Raises:
        InputError: there was none, or by another version of segpipe.
    """
    path = config.folder / "samples" / "index.json"
    damaged = "{path} is damaged ({reason}). `segpipe scan CONFIG` writes it anew."
    values = read_json(path, "{path} is missing; start the run with snakemake, or `segpipe scan CONFIG`.", damaged)
    if not isinstance(values, dict) or set(values) != {field.name for field in fields(Scan)}:
        raise InputError(f"{path} is of another version of segpipe. `segpipe scan CONFIG` writes it anew.")
    return Scan(**values)


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
        raise InputError(
            f"data.root: the folder {data.root} does not exist (looked from {Path.cwd().name}/). "
            "Paths are relative to the folder that snakemake runs in."
        )
    try:
        salt = read_salt(data.patient_salt_file)
    except OSError as error:
        raise ConfigError(f"data.patient_salt_file: {data.patient_salt_file}: {error.strerror}.") from None
    if data.sheet:
        return samples_from_sheet(data, list(config.class_values), config.folds.column, salt, not config.model.weights)
    found = samples_from_patterns(data, salt, config.results)
    return _fold_from_wildcard(found, config.folds.column) if config.folds.column else found


def _fold_from_wildcard(found: Listing, column: str) -> Listing:
    if column != "site" and column not in found.carried:
        known = ", ".join(found.carried)
        raise ConfigError(f"folds.column: {column!r} is no wildcard of data.images; there are {known}.")
    with_folds = (
        replace(sample, fold=sample.site if column == "site" else sample.carried[column]) for sample in found.samples
    )
    return replace(found, samples=with_folds)


def _remove_stale_tables(folder: Path, tables: Mapping[str, str]) -> None:
    for path in folder.glob("*.csv"):
        if path.stem not in tables:
            path.unlink()

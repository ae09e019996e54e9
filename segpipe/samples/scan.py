"""The scan: from the config to the files that the rules take as inputs.

It runs in Snakemake's main process whenever the workflow is parsed, and writes a file only when its
content changed; so Snakemake sees exactly which shards and stages have something new to do.
"""

import hashlib
import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from segpipe.config import Config, canonical_json
from segpipe.errors import ConfigError, InputError
from segpipe.io.atomic import write_text_if_changed
from segpipe.samples.from_patterns import samples_from_patterns
from segpipe.samples.from_sheet import samples_from_sheet
from segpipe.samples.sample import Sample, read_salt
from segpipe.samples.shards import into_shards, shard_count, table_text
from segpipe.stages import stage_configs, stage_file, stage_text


@dataclass(frozen=True)
class Scan:
    """What the rules need to know: fingerprints of each shard's table and each stage's config."""

    images: int
    shards: dict[str, str]
    stages: dict[str, str]


def scan(config: Config) -> Scan:
    """List the images, write ``samples/`` and ``config/`` of the results folder where they changed.

    Raises:
        ConfigError, InputError: see the messages; nothing was written then.
    """
    samples, carried = list_samples(config)
    check_ids(samples)
    masks = sorted({name for sample in samples for name in sample.masks})
    shards = into_shards(samples, shard_count(len(samples), config.data.shards))
    tables = {shard: table_text(rows, config.data.root, masks, carried) for shard, rows in shards.items()}
    stages = {name: stage_text(stage) for name, stage in stage_configs(config, carried).items()}

    for shard, text in tables.items():
        write_text_if_changed(config.folder / "samples" / f"{shard}.csv", text)
    for name, text in stages.items():
        write_text_if_changed(config.folder / stage_file(name), text)
    result = Scan(len(samples), _fingerprints(tables), _fingerprints(stages))
    write_text_if_changed(config.folder / "samples" / "index.json", canonical_json(vars(result)))
    _remove_stale_tables(config.folder / "samples", tables)
    return result


def read_scan(config: Config) -> Scan:
    """What the last scan found; for jobs, which scan nothing."""
    path = config.folder / "samples" / "index.json"
    try:
        return Scan(**json.loads(path.read_text(encoding="utf-8")))
    except OSError:
        raise InputError(f"{path} is missing; start the run with snakemake, or `segpipe scan CONFIG`.") from None


def list_samples(config: Config) -> tuple[list[Sample], list[str]]:
    """All samples of a config and the names of their carried columns; writes nothing."""
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
    if config.folds.column:
        return _fold_from_wildcard(*samples_from_patterns(data, salt, config.results), column=config.folds.column)
    return samples_from_patterns(data, salt, config.results)


def _fold_from_wildcard(samples: list[Sample], carried: list[str], column: str) -> tuple[list[Sample], list[str]]:
    from dataclasses import replace

    if column != "site" and column not in carried:
        raise ConfigError(f"folds.column: {column!r} is no wildcard of data.images; there are {', '.join(carried)}.")
    values = [sample.site if column == "site" else sample.carried[column] for sample in samples]
    return [replace(sample, fold=value) for sample, value in zip(samples, values, strict=True)], carried


def check_ids(samples: list[Sample]) -> None:
    """Refuse two images of one id.

    Raises:
        InputError: names them.
    """
    # Case-folded: two ids that differ in case only are one file on some file systems.
    counts = Counter(sample.image_id.casefold() for sample in samples)
    twice = [name for name, count in counts.items() if count > 1]
    if twice:
        files = [sample.image for sample in samples if sample.image_id.casefold() == twice[0]]
        raise InputError(
            f"{len(twice)} image ids belong to several images; the first is {twice[0]!r}: {', '.join(files[:4])}. "
            "An id names one row of the report and one mask file, and is the path after the pattern's first folders. "
            "Begin the pattern's wildcards higher up ({site}/{patient}.png), give the sheet a column image_id, or list "
            "one of the files only."
        )


def _fingerprints(texts: dict[str, str]) -> dict[str, str]:
    return {name: hashlib.sha256(text.encode()).hexdigest()[:16] for name, text in texts.items()}


def _remove_stale_tables(folder: Path, tables: dict[str, str]) -> None:
    for path in folder.glob("*.csv"):
        if path.stem not in tables:
            path.unlink()

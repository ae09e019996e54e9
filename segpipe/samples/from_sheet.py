"""Samples from a sheet: a CSV or TSV file with one row per image."""

import csv
from pathlib import Path, PurePosixPath

from segpipe.config import Data
from segpipe.errors import ConfigError, InputError
from segpipe.samples.sample import Sample, image_id_from_path, patient_key, safe_name

OWN_COLUMNS = ("image", "image_id", "mask", "patient", "site", "invert")
_TRUTH = {"": "", "true": "true", "yes": "true", "1": "true", "false": "false", "no": "false", "0": "false"}


def samples_from_sheet(
    data: Data, classes: list[str], fold_column: str | None, salt: bytes, needs_masks: bool
) -> tuple[list[Sample], list[str]]:
    """All samples, and the names of the carried columns in the sheet's order.

    Raises:
        ConfigError: a column is missing.
        InputError: the sheet cannot be read, is empty, or a row has no image.
    """
    assert data.sheet is not None
    rows, header = _read(data.root / data.sheet)
    mask_columns = _mask_columns(header, classes, data.sheet)
    if needs_masks and not any(row[column] for row in rows for column in mask_columns.values()):
        raise InputError(
            f"data.sheet: {data.sheet} names no mask, so there is nothing to train on. Name them in a column mask, or "
            f"in a column for each class ({', '.join(f'mask_{name}' for name in classes)}); its columns are "
            f"{', '.join(header)}. To apply a trained model, give model.weights."
        )
    if fold_column and fold_column not in header:
        raise ConfigError(f"folds.column: {data.sheet} has no column {fold_column!r}; it has {', '.join(header)}.")
    own = {*OWN_COLUMNS, *mask_columns.values()}
    carried = [name for name in header if name not in own]
    samples = []
    for number, row in enumerate(rows, start=2):
        if not row["image"]:
            raise InputError(f"{data.sheet}, line {number}: the column image is empty. Give a path or remove the row.")
        _check_paths([row["image"], *(row[column] for column in mask_columns.values())], data.sheet, number)
        samples.append(
            Sample(
                image_id=safe_name(row["image_id"]) if row.get("image_id") else image_id_from_path(row["image"]),
                image=row["image"],
                masks={name: row[column] for name, column in mask_columns.items() if row[column]},
                patient=patient_key(row["patient"], salt) if row.get("patient") else "",
                site=row.get("site", ""),
                fold=row[fold_column] if fold_column else "",
                invert=_invert(row.get("invert", ""), data.sheet, number),
                carried={name: row[name] for name in carried},
            )
        )
    return samples, carried


def _read(path: Path) -> tuple[list[dict[str, str]], list[str]]:
    if path.suffix.lower() not in (".csv", ".tsv"):
        raise ConfigError(f"data.sheet: {path} is neither .csv nor .tsv.")
    delimiter = "\t" if path.suffix.lower() == ".tsv" else ","
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, delimiter=delimiter, restval="")
            header = [name.strip() for name in reader.fieldnames or []]
            reader.fieldnames = header
            rows = [{name: (value or "").strip() for name, value in row.items() if name} for row in reader]
    except OSError as error:
        raise InputError(f"data.sheet: {path} cannot be read: {error.strerror}.") from None
    except (csv.Error, UnicodeDecodeError) as error:
        raise InputError(f"data.sheet: {path} is not a table in UTF-8: {error}.") from None
    if "image" not in header:
        hint = " Its cells seem to be separated by semicolons; save it with commas." if ";" in "".join(header) else ""
        raise ConfigError(f"data.sheet: {path} has no column image; it has {', '.join(header) or 'no columns'}.{hint}")
    if len(set(header)) != len(header):
        raise ConfigError(f"data.sheet: {path} has a column twice: {', '.join(header)}.")
    if not rows:
        raise InputError(f"data.sheet: {path} has a header but no rows.")
    return rows, header


def _mask_columns(header: list[str], classes: list[str], sheet: Path) -> dict[str, str]:
    """Which column holds the mask of which class; "" is one file for all."""
    if "mask" in header:
        return {"": "mask"}
    columns = {name: f"mask_{name}" if f"mask_{name}" in header else name for name in classes}
    missing = [name for name, column in columns.items() if column not in header]
    if missing and len(missing) < len(classes):
        raise ConfigError(
            f"data.sheet: {sheet} has mask columns for some classes but none for {', '.join(missing)} "
            f"(looked for mask_{missing[0]} and {missing[0]}). Add the column or remove the class."
        )
    return {} if missing else columns


def _check_paths(paths: list[str], sheet: Path, number: int) -> None:
    """Paths go into every output, so they may not tell where on this machine the data lie."""
    for path in map(PurePosixPath, paths):
        if path.is_absolute() or ".." in path.parts:
            raise InputError(
                f"{sheet}, line {number}: {path.name!r} is given by an absolute path or one with '..'. Paths are "
                "relative to data.root and appear in the outputs; set data.root to the folder that holds all files."
            )


def _invert(text: str, sheet: Path, number: int) -> str:
    try:
        return _TRUTH[text.lower()]
    except KeyError:
        raise InputError(
            f"{sheet}, line {number}: invert is {text!r}; write true, false, or nothing (as the file says)."
        ) from None

"""Samples from a sheet: a CSV or TSV file with one row per image."""

import csv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from segpipe.config import Data
from segpipe.errors import ConfigError, InputError
from segpipe.files.source import file_stamp
from segpipe.samples.sample import Listing, Sample, image_id_from_path, patient_key, safe_name

OWN_COLUMNS = ("image", "image_id", "mask", "patient", "site", "invert")
_TRUTH = {"": "", "true": "true", "yes": "true", "1": "true", "false": "false", "no": "false", "0": "false"}


def samples_from_sheet(
    data: Data, classes: list[str], fold_column: str | None, salt: bytes, needs_masks: bool
) -> Listing:
    """All samples; the carried columns are in the sheet's order.

    Raises:
        ConfigError: a column is missing.
        InputError: the sheet cannot be read; when the samples are gone through: it is empty, a row has no image, or no
            row a mask though masks are needed.
    """
    assert data.sheet is not None
    header = _header(data.root / data.sheet)
    columns = _mask_columns(header, classes, data.sheet)
    if fold_column and fold_column not in header:
        raise ConfigError(f"folds.column: {data.sheet} has no column {fold_column!r}; it has {', '.join(header)}.")
    own = {*OWN_COLUMNS, *columns.values()}
    carried = [name for name in header if name not in own]

    def samples() -> Iterator[Sample]:
        masks = 0
        for number, row in _rows(data.root / str(data.sheet), header):
            sample = _sample(row, number, data, columns, fold_column or "", salt, carried)
            masks += len(sample.masks)
            yield sample
        if needs_masks and not masks:
            raise InputError(_no_masks(str(data.sheet), classes, header))

    return Listing(samples(), carried, sorted(columns))


def _sample(
    row: dict[str, str],
    number: int,
    data: Data,
    columns: dict[str, str],
    fold_column: str,
    salt: bytes,
    carried: list[str],
) -> Sample:
    sheet = data.sheet
    assert sheet is not None
    if not row["image"]:
        raise InputError(f"{sheet}, line {number}: the column image is empty. Give a path or remove the row.")
    masks = {name: row[column] for name, column in columns.items() if row[column]}
    files = [row["image"], *masks.values()]
    _check_paths(files, sheet, number)
    return Sample(
        image_id=safe_name(row["image_id"]) if row.get("image_id") else image_id_from_path(row["image"]),
        image=row["image"],
        masks=masks,
        patient=patient_key(row["patient"], salt) if row.get("patient") else "",
        site=row.get("site", ""),
        fold=row[fold_column] if fold_column else "",
        invert=_invert(row.get("invert", ""), sheet, number),
        carried={name: row[name] for name in carried},
        stamp=" ".join(file_stamp(f"{data.root}/{file}") for file in files),
    )


def _no_masks(sheet: str, classes: list[str], header: list[str]) -> str:
    return (
        f"data.sheet: {sheet} names no mask, so there is nothing to train on. Name them in a column mask, or "
        f"in a column for each class ({', '.join(f'mask_{name}' for name in classes)}); its columns are "
        f"{', '.join(header)}. To apply a trained model, give model.weights."
    )


@contextmanager
def _opened(path: Path) -> "Iterator[csv.DictReader[str]]":
    if path.suffix.lower() not in (".csv", ".tsv"):
        raise ConfigError(f"data.sheet: {path} is neither .csv nor .tsv.")
    delimiter = "\t" if path.suffix.lower() == ".tsv" else ","
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            yield csv.DictReader(file, delimiter=delimiter, restval="")
    except OSError as error:
        raise InputError(f"data.sheet: {path} cannot be read: {error.strerror}.") from None
    except (csv.Error, UnicodeDecodeError) as error:
        raise InputError(f"data.sheet: {path} is not a table in UTF-8: {error}.") from None


def _header(path: Path) -> list[str]:
    with _opened(path) as reader:
        header = [name.strip() for name in reader.fieldnames or []]
    if "image" not in header:
        hint = " Its cells seem to be separated by semicolons; save it with commas." if ";" in "".join(header) else ""
        raise ConfigError(f"data.sheet: {path} has no column image; it has {', '.join(header) or 'no columns'}.{hint}")
    if len(set(header)) != len(header):
        raise ConfigError(f"data.sheet: {path} has a column twice: {', '.join(header)}.")
    return header


def _rows(path: Path, header: list[str]) -> Iterator[tuple[int, dict[str, str]]]:
    """Numbers and cells of the rows, counted from 2 as the header is 1."""
    number = 1
    with _opened(path) as reader:
        reader.fieldnames = header
        next(reader.reader, None)
        for number, row in enumerate(reader, start=2):
            yield number, {name: (value or "").strip() for name, value in row.items() if name}
    if number == 1:
        raise InputError(f"data.sheet: {path} has a header but no rows.")


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

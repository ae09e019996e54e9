"""A CSV with run lengths: a column for each structure, as CheXmask has them, or one column and several rows."""

import csv
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from segpipe.errors import ImageError, InputError
from segpipe.files.source import check_size
from segpipe.interop.import_folder import Record, own_names
from segpipe.log import track
from segpipe.masks.run_lengths import counts_of

# Run lengths to pixels: the text of CSV columns, and the counts of COCO.

EMPTY = ("", "-1")
CHOICES: dict[str, tuple[object, ...]] = {
    "order": ("rows", "columns"),
    "base": (0, 1),
    "starts": ("absolute", "relative"),
}


@dataclass(frozen=True)
class RunLengths:
    """How pairs "start length" are meant; the defaults are those of CheXmask.

    ``order``: pixels are counted along rows or along columns. ``base``: the number of the first pixel. ``starts``:
    absolute, or relative to the end of the run before.
    """

    order: str = "rows"  # rows | columns
    base: int = 1  # 0 | 1
    starts: str = "absolute"  # absolute | relative

    def __post_init__(self) -> None:
        for field, choices in CHOICES.items():
            if getattr(self, field) not in choices:
                expected = " or ".join(map(str, choices))
                raise InputError(f"--{field} {getattr(self, field)}: there is no such form; write {expected}.")

    def decode(self, text: str, shape: tuple[int, int]) -> np.ndarray:
        """The mask of ``shape`` (rows, columns), uint8 of 0 and 1.

        Empty text and -1 mean an empty mask. Raises ImageError for everything that is no row of runs within the
        picture, one after the other.
        """
        check_size(*shape)
        if text.strip() in EMPTY:
            return np.zeros(shape, np.uint8)
        starts, lengths = _pairs(text)
        if self.starts == "relative":
            starts = np.cumsum(starts) + np.concatenate([[0], np.cumsum(lengths)[:-1]])
        starts = starts - self.base
        ends = starts + lengths
        pixels = shape[0] * shape[1]
        if starts[0] < 0 or ends[-1] > pixels or (starts[1:] < ends[:-1]).any():
            raise ImageError(
                f"has runs that overlap, or leave the picture of {shape[0]} x {shape[1]} pixels; "
                "check its size, and whether starts are absolute or relative and count from 0 or 1"
            )
        gaps = starts - np.concatenate([[0], ends[:-1]])
        return _drawn(np.append(np.stack([gaps, lengths], axis=1).ravel(), pixels - ends[-1]), shape, self.order)


def from_coco_counts(counts: object, size: object, shape: tuple[int, int]) -> np.ndarray:
    """COCO's counts, a list or its compressed text: lengths of runs of 0 and 1 in turn, along columns."""
    if not isinstance(size, list) or tuple(size) != shape:
        raise ImageError(f"has run lengths of another size than its image's {shape[0]} x {shape[1]} pixels")
    runs = _uncompressed(counts) if isinstance(counts, str) else counts
    if not isinstance(runs, list) or not all(type(run) is int and 0 <= run <= shape[0] * shape[1] for run in runs):
        raise ImageError("has run lengths that are no counts of pixels")
    if sum(runs) != shape[0] * shape[1]:
        raise ImageError(f"has run lengths for {sum(runs)} pixels and an image of {shape[0]} x {shape[1]}")
    return _drawn(runs, shape, "columns")


def _pairs(text: str) -> tuple[np.ndarray, np.ndarray]:
    try:
        numbers = np.array(text.split()).astype(np.int64)
    except (ValueError, OverflowError):
        raise ImageError("has run lengths that are not whole numbers") from None
    if len(numbers) % 2:
        raise ImageError(f"has {len(numbers)} numbers, which are no pairs of start and length")
    if numbers.min() < 0 or numbers.max() > 2**40:
        raise ImageError("has run lengths below 0, or beyond any picture")
    return numbers[0::2], numbers[1::2]


def _uncompressed(text: str) -> list[int]:
    try:
        counts: list[int] = counts_of(text).tolist()
    except ValueError as error:
        raise ImageError(f"has {error}") from None
    return counts


def _drawn(runs: Sequence[int] | np.ndarray, shape: tuple[int, int], order: str) -> np.ndarray:
    values = np.arange(len(runs), dtype=np.int64) % 2
    pixels = np.repeat(values.astype(np.uint8), runs)
    plane = pixels.reshape(shape) if order == "rows" else pixels.reshape(shape[::-1]).T
    return np.ascontiguousarray(plane)


# A CSV with run lengths: a column for each structure, as CheXmask has them, or one column and several rows.

CHEXMASK = ("Left Lung", "Right Lung", "Heart")
IMAGE_COLUMNS = ("image_id", "Image Index", "ImageID", "dicom_id", "Path", "ImageId", "image")
SIZE_COLUMNS = ("Height", "Width")
QUALITY = "Dice RCA"  # CheXmask's estimates of a mask's quality start so
LONGEST_FIELD = 2**27  # bytes; run lengths of a large picture with ragged edges take some 100 KB


@dataclass(frozen=True)
class Layout:
    """Which columns there are: positions in a row. ``carried`` maps the sheet's columns to the file's."""

    header: list[str]
    image: int
    classes: Mapping[str, list[int]]
    size: tuple[int, int] | None
    carried: Mapping[str, int]


Row = tuple[int, list[str]]  # line number and fields


def find_layout(
    path: Path, image: str | None, classes: Mapping[str, list[str]], carried: Mapping[str, list[str]]
) -> Layout:
    """Look up columns by name, or as CheXmask names them where none is given.

    Raises:
        InputError: a column is missing; tells which ones there are.
    """
    with _rows(path) as rows:
        header = [name.strip() for name in next(rows, (0, []))[1]]
    image = image or next((name for name in IMAGE_COLUMNS if name in header), None)
    classes = classes or own_names((name for name in CHEXMASK if name in header), "--class")
    carried = carried or own_names((name for name in header if name.startswith(QUALITY)), "--carry")
    if image is None or not classes:
        missing, option = ("images", "--image-column NAME") if image is None else ("masks", "--class NAME=COLUMN")
        raise InputError(f"{path}: say with {option} which column has the {missing}; there are {_shown(header)}.")

    def position(name: str) -> int:
        if name not in header:
            raise InputError(f"{path}: there is no column {name!r}; there are {_shown(header)}.")
        return header.index(name)

    return Layout(
        header=header,
        image=position(image),
        classes={name: list(map(position, columns)) for name, columns in classes.items()},
        size=(position("Height"), position("Width")) if set(SIZE_COLUMNS) <= set(header) else None,
        carried={name: position(columns[0]) for name, columns in carried.items()},
    )


def read_records(
    path: Path, layout: Layout, runs: RunLengths, size: tuple[int, int] | None = None
) -> Generator[Record]:
    """The images of the file, which is read row by row; rows of an image that follow each other are united.

    ``size`` (rows, columns) is that of every mask where the file has no columns Height and Width.

    Raises:
        InputError: names the line.
    """
    if layout.size is None and size is None:
        raise InputError(
            f"{path} has no columns Height and Width; say with --size ROWSxCOLUMNS how large the masks are."
        )
    with _rows(path) as rows:
        next(rows, None)
        progress = track(rows, _count_lines(path) - 1, "import masks", "row")
        for image, group in groupby(_checked(progress, path, layout), key=lambda row: row[1][layout.image].strip()):
            of_image = list(group)
            line, first = of_image[0]

            def planes(of_image: list[Row] = of_image) -> dict[str, np.ndarray]:
                return {name: _united(of_image, name, layout, runs, size) for name in layout.classes}

            carried = {name: first[column] for name, column in layout.carried.items()}
            yield Record(image, f"{path}, line {line}", planes, carried)


def _united(
    rows: Sequence[Row], name: str, layout: Layout, runs: RunLengths, size: tuple[int, int] | None
) -> np.ndarray:
    plane: np.ndarray | None = None
    for line, row in rows:
        place = "" if line == rows[0][0] else f"line {line}, "
        shape = size or _size(row, layout)
        for column in layout.classes[name]:
            try:
                part = runs.decode(row[column], shape)
            except ImageError as error:
                raise ImageError(f"{place}column {layout.header[column]!r} {error}") from None
            if plane is not None and plane.shape != part.shape:
                raise ImageError(f"line {line} has another size than the line before of the same image")
            plane = part if plane is None else plane | part
    assert plane is not None
    return plane


def _size(row: list[str], layout: Layout) -> tuple[int, int]:
    assert layout.size is not None
    try:
        rows, columns = (float(row[position]) for position in layout.size)
        if rows == int(rows) and columns == int(columns):
            return int(rows), int(columns)
    except (ValueError, OverflowError):
        pass
    raise ImageError("has a Height or Width that is no whole number")


def _checked(rows: Iterator[Row], path: Path, layout: Layout) -> Iterator[Row]:
    for line, row in rows:
        if len(row) != len(layout.header):
            raise InputError(
                f"{path}, line {line}: has {len(row)} columns, the header {len(layout.header)}. Mend the line."
            )
        yield line, row


@contextmanager
def _rows(path: Path) -> Iterator[Iterator[Row]]:
    """Line numbers and fields, with fields as long as run lengths are."""
    before = csv.field_size_limit(LONGEST_FIELD)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            yield _numbered(csv.reader(file), path)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}.") from None
    finally:
        csv.field_size_limit(before)


def _numbered(reader: Any, path: Path) -> Iterator[Row]:
    while True:
        try:
            row = next(reader, None)
        except (csv.Error, UnicodeDecodeError) as error:
            kind = type(error).__name__
            raise InputError(f"{path}, line {reader.line_num + 1}: no CSV in UTF-8 ({kind}). Mend the file.") from None
        if row is None:
            return
        if row:
            yield reader.line_num, row


def _count_lines(path: Path) -> int:
    with path.open("rb") as file:
        return sum(block.count(b"\n") for block in iter(lambda: file.read(2**24), b""))


def _shown(names: Sequence[str]) -> str:
    return ", ".join(name[:40] for name in names[:30]) or "none"

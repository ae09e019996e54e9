"""Run lengths in a CSV, both ways: a column for each structure, as in CheXmask, or one column and several rows."""

import csv
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import groupby, islice
from pathlib import Path
from typing import Literal

import numpy as np

from segpipe.errors import ImageError, InputError
from segpipe.files.atomic import atomic_path
from segpipe.files.source import check_size
from segpipe.interop.finished_run import Exported, FinishedRun, RunImage
from segpipe.interop.import_folder import Drawn, Record, Target, assignments, own_names, write_folder
from segpipe.log import track

NAME = "masks.csv"
CHEXMASK = ("Left Lung", "Right Lung", "Heart")
IMAGE_COLUMNS = ("image_id", "Image Index", "ImageID", "dicom_id", "Path", "ImageId", "image")
SIZE_COLUMNS = ("Height", "Width")
QUALITY = "Dice RCA"  # CheXmask's estimates of a mask's quality start so
LONGEST_FIELD = 2**27  # bytes; run lengths of a large image with ragged edges take some 100 KB
EMPTY = ("", "-1")


def export(run: FinishedRun, output: Path, images: Iterable[RunImage]) -> Iterator[Exported]:
    """One file in CheXmask's form with a row per image, which is named by its path below ``data.root``."""
    path = output / NAME
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["Path", *SIZE_COLUMNS, *run.classes])
        for image in images:
            table.writerow([image.image, image.rows, image.columns, *map(pairs, run.masks(image))])
            yield Exported(image.image_id, (NAME,))


def pairs(mask: np.ndarray) -> str:
    """``mask`` (rows, columns) bool as "start length start length ...", counted along rows from 1."""
    padded = np.concatenate([[False], mask.ravel(), [False]])
    edges = np.flatnonzero(padded[1:] != padded[:-1])
    starts, ends = edges[0::2], edges[1::2]
    return " ".join(map(str, np.stack([starts + 1, ends - starts], axis=1).ravel()))


@dataclass(frozen=True)
class RunLengths:
    """How pairs "start length" are meant; the defaults are those of CheXmask.

    ``order``: pixels are counted along rows or along columns. ``base``: the number of the first pixel, 0 or 1.
    ``starts``: absolute, or relative to the end of the run before.
    """

    order: Literal["rows", "columns"] = "rows"
    base: int = 1
    starts: Literal["absolute", "relative"] = "absolute"

    def decode(self, text: str, shape: tuple[int, int]) -> np.ndarray:
        """The mask of ``shape`` (rows, columns), uint8 of 0 and 1.

        Empty text and -1 mean an empty mask. Raises ImageError for everything that is no row of runs within the
        image, one after the other.
        """
        check_size(*shape)
        if text.strip() in EMPTY:
            return np.zeros(shape, np.uint8)
        starts, lengths = _numbers(text)
        if self.starts == "relative":
            starts = np.cumsum(starts) + np.concatenate([[0], np.cumsum(lengths)[:-1]])
        starts = starts - self.base
        ends = starts + lengths
        pixels = shape[0] * shape[1]
        if starts[0] < 0 or ends[-1] > pixels or (starts[1:] < ends[:-1]).any():
            raise ImageError(
                f"has runs that overlap, or leave the image of {shape[0]} x {shape[1]} pixels; "
                "check its size, and whether starts are absolute or relative and count from 0 or 1"
            )
        gaps = np.diff(np.stack([starts, ends], axis=1).ravel(), prepend=0, append=pixels)
        plane = np.repeat((np.arange(len(gaps)) % 2).astype(np.uint8), gaps)
        return plane.reshape(shape) if self.order == "rows" else np.ascontiguousarray(plane.reshape(shape[::-1]).T)


def _numbers(text: str) -> tuple[np.ndarray, np.ndarray]:
    try:
        numbers = np.array(text.split()).astype(np.int64)
    except (ValueError, OverflowError):
        raise ImageError("has run lengths that are not whole numbers") from None
    if len(numbers) % 2:
        raise ImageError(f"has {len(numbers)} numbers, which are no pairs of start and length")
    if numbers.min() < 0 or numbers.max() > 2**40:
        raise ImageError("has run lengths below 0, or beyond any image")
    return numbers[0::2], numbers[1::2]


def import_rle(
    path: Path,
    target: Target,
    runs: RunLengths,
    classes: Sequence[str] = (),
    image_column: str | None = None,
    carry: Sequence[str] = (),
    size: str | None = None,
) -> str:
    """Write the file's masks into ``target``; return what to tell the user.

    ``classes`` and ``carry`` are texts ``NAME=COLUMN``; without them, and without ``image_column``, columns are found
    by CheXmask's names. ``size``, "ROWSxCOLUMNS", is that of every mask where the file has no columns Height and Width.

    Raises:
        InputError: a column is missing, or a row cannot be used; names it.
    """
    target.relative()  # before the file is read, which may take a while
    given, carried = assignments(classes, "--class"), assignments(carry, "--carry")
    with _long_fields():
        layout = _layout(path, image_column, given, carried, _given_size(size), runs)
        return write_folder(_records(path, layout), target, list(layout.classes), list(layout.carried))


def _given_size(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    match = re.fullmatch(r"(\d{1,6})x(\d{1,6})", text)
    if not match:
        raise InputError(f"--size {text!r}: write ROWSxCOLUMNS, as 1024x1024.")
    return int(match[1]), int(match[2])


@dataclass(frozen=True)
class Layout:
    """Which columns there are, as positions in a row, and what their run lengths mean.

    ``carried`` maps the sheet's columns to the file's. ``size`` (rows, columns) is that of all masks; without it, each
    row has its own in the columns ``own_size``.
    """

    header: list[str]
    image: int
    classes: Mapping[str, list[int]]
    carried: Mapping[str, int]
    own_size: tuple[int, int]
    size: tuple[int, int] | None
    runs: RunLengths


Row = tuple[int, list[str]]  # line number and fields


def _layout(
    path: Path,
    image: str | None,
    classes: Mapping[str, list[str]],
    carried: Mapping[str, list[str]],
    size: tuple[int, int] | None,
    runs: RunLengths,
) -> Layout:
    """Look up columns by name, or as CheXmask names them where none is given.

    Raises:
        InputError: a column is missing; tells which ones there are.
    """
    header = [name.strip() for name in next(_rows(path), (0, []))[1]]
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

    found = {name: list(map(position, columns)) for name, columns in classes.items()}
    if size is None and not set(SIZE_COLUMNS) <= set(header):
        raise InputError(
            f"{path} has no columns Height and Width; say with --size ROWSxCOLUMNS how large the masks are."
        )
    return Layout(
        header=header,
        image=position(image),
        classes=found,
        carried={name: position(columns[0]) for name, columns in carried.items()},
        own_size=(0, 0) if size else (position("Height"), position("Width")),
        size=size,
        runs=runs,
    )


def _records(path: Path, layout: Layout) -> Iterator[Record]:
    """The images of the file, which is read row by row; rows of an image that follow each other are united."""
    rows = track(islice(_rows(path), 1, None), _count_lines(path) - 1, "import masks", "row")
    for image, group in groupby(rows, key=lambda row: row[1][layout.image].strip()):
        of_image = list(group)
        yield Record(image, f"{path}, line {of_image[0][0]}", partial(_draw, of_image, layout))


def _draw(rows: Sequence[Row], layout: Layout) -> Drawn:
    planes = {name: _united(rows, name, layout) for name in layout.classes}
    return planes, {name: rows[0][1][column] for name, column in layout.carried.items()}


def _united(rows: Sequence[Row], name: str, layout: Layout) -> np.ndarray:
    plane: np.ndarray | None = None
    for line, row in rows:
        place = "" if line == rows[0][0] else f"line {line}, "
        shape = layout.size or _own_size(row, layout)
        for column in layout.classes[name]:
            try:
                part = layout.runs.decode(row[column], shape)
            except ImageError as error:
                raise ImageError(f"{place}column {layout.header[column]!r} {error}") from None
            if plane is not None and plane.shape != part.shape:
                raise ImageError(f"line {line} has another size than the line before of the same image")
            plane = part if plane is None else plane | part
    assert plane is not None
    return plane


def _own_size(row: list[str], layout: Layout) -> tuple[int, int]:
    try:
        rows, columns = (float(row[position]) for position in layout.own_size)
        if rows == int(rows) and columns == int(columns):
            return int(rows), int(columns)
    except (ValueError, OverflowError):
        pass
    raise ImageError("has a Height or Width that is no whole number")


@contextmanager
def _long_fields() -> Iterator[None]:
    """Run lengths are longer than the fields that the csv module takes otherwise."""
    before = csv.field_size_limit(LONGEST_FIELD)
    try:
        yield
    finally:
        csv.field_size_limit(before)


def _rows(path: Path) -> Iterator[Row]:
    """Line numbers and fields, the header first; each row has as many fields as the header."""
    columns = 0
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            for row in filter(None, reader := csv.reader(file)):
                columns = columns or len(row)
                if len(row) != columns:
                    where = f"{path}, line {reader.line_num}"
                    raise InputError(f"{where}: has {len(row)} columns, the header {columns}. Correct the line.")
                yield reader.line_num, row
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}.") from None
    except (csv.Error, UnicodeDecodeError) as error:
        line, kind = reader.line_num + 1, type(error).__name__
        raise InputError(f"{path}, line {line}: no CSV in UTF-8 ({kind}). Correct the file.") from None


def _count_lines(path: Path) -> int:
    with path.open("rb") as file:
        return sum(block.count(b"\n") for block in iter(lambda: file.read(2**24), b""))


def _shown(names: Sequence[str]) -> str:
    return ", ".join(name[:40] for name in names[:30]) or "none"

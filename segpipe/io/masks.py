"""Reference masks: one label file or one file per class, to one bit per class and pixel."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import cv2
import numpy as np

from segpipe.errors import ImageError
from segpipe.io.mask_values import MaskValues, read_mask

Classes = Mapping[str, list[int] | None]

ASPECT_TOLERANCE = 0.02
HISTOGRAM_LENGTH = 8
MOST_LABELS = 16  # a file with more values between black and white has soft edges
AREA_SHARE = 0.2  # of a value's pixels that lie among their like: few on an edge, most in an area


@dataclass(frozen=True)
class ReferenceMask:
    """Where each class is: ``bits`` is (rows, columns), uint8, uint16 or uint32, bit i is class i.

    ``notes`` says what had to be done: ``mask_antialiased``, ``mask_resampled:<class or all>:RxC->RxC``,
    ``mask_missing:<class>``, ``mask_empty:<class>``.
    """

    bits: np.ndarray
    notes: tuple[str, ...]


def read_reference(
    files: Mapping[str, Path],
    classes: Classes,
    shape: tuple[int, int],
    missing: Literal["quarantine", "empty"] = "quarantine",
    root: Path = Path(),
) -> ReferenceMask:
    """Read the reference mask of one image of ``shape`` (rows, columns).

    ``files`` is ``{"": path}`` for one file with all classes, or ``{class: path}``; such files may overlap.
    ``classes`` maps each class to its pixel values, or to None where a file shows that class only. For a
    class without file ``missing`` says whether that is an error or an empty class. Raises ImageError that
    names the file, relative to ``root``, and what is wrong with it.
    """
    sources = _sources(files, classes, missing)
    loaded = {path: _load(path, root) for path in dict.fromkeys(path for path in sources.values() if path)}
    named = {value for values in classes.values() for value in values or ()}
    bits = np.zeros(shape, mask_dtype(len(classes)))
    notes: list[str] = []
    for number, (name, path) in enumerate(sources.items()):
        if path is None:
            notes.append(f"mask_missing:{name}")
            continue
        with _Named(path, root):
            plane = _plane(loaded[path], classes[name], named, notes)
            plane = _fit(plane, shape, "all" if "" in files else name, notes)
        if not plane.any():
            notes.append(f"mask_empty:{name}")
        bits |= plane.astype(bits.dtype) << bits.dtype.type(number)
    return ReferenceMask(bits, tuple(dict.fromkeys(notes)))


class _Named:
    """Put the mask's name before the reason of an ImageError."""

    def __init__(self, path: Path, root: Path) -> None:
        self.name = path.relative_to(root) if path.is_relative_to(root) else Path(path.name)

    def __enter__(self) -> None: ...

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if isinstance(error, ImageError):
            raise ImageError(f"mask {self.name} {error}") from None


def _load(path: Path, root: Path) -> MaskValues:
    with _Named(path, root):
        return read_mask(path)


def _sources(
    files: Mapping[str, Path], classes: Classes, missing: Literal["quarantine", "empty"]
) -> dict[str, Path | None]:
    """The file of each class, in the classes' order; None where it has none and may have none."""
    if "" in files:
        binary = [name for name, values in classes.items() if values is None]
        if binary and len(classes) > 1:
            raise ImageError(
                f"mask {files[''].name} is one file for several classes, but the config gives no pixel values for "
                f"{', '.join(binary)}; write them as classes: {{{binary[0]}: [1], ...}}"
            )
        return dict.fromkeys(classes, files[""])
    unknown = [name for name in files if name not in classes]
    if unknown:
        raise ImageError(f"masks are given for {', '.join(unknown)}, which the config's classes do not name; add them")
    absent = [name for name in classes if name not in files]
    if absent and missing == "quarantine":
        raise ImageError(
            f"there is no mask for {', '.join(absent)}; add the file, or set data.missing_mask to empty "
            "if no file means that the class is not there"
        )
    return {name: files.get(name) for name in classes}


def mask_dtype(classes: int) -> np.dtype:
    """The smallest unsigned integer with a bit for each class (at most 32, as the config ensures)."""
    return np.dtype(np.uint8 if classes <= 8 else np.uint16 if classes <= 16 else np.uint32)


def _plane(mask: MaskValues, values: list[int] | None, named: set[int], notes: list[str]) -> np.ndarray:
    """Where one class is: uint8 of 0 and 1, in the file's size."""
    if values is None:
        return _binary(mask, notes)
    counts = _counts(mask.labels)
    strange = [value for value in counts if value != 0 and value not in named]
    if strange:
        raise ImageError(
            f"has values that no class names ({_histogram(counts)}); give {', '.join(map(str, strange[:8]))} "
            "to a class in the config's classes, or mend the mask"
        )
    table = np.zeros(65536 if mask.labels.dtype == np.uint16 else 256, np.uint8)
    table[[value for value in values if value < len(table)]] = 1
    plane: np.ndarray = table[mask.labels]
    return plane


def _binary(mask: MaskValues, notes: list[str]) -> np.ndarray:
    """Foreground of a file that shows one class: what is not 0, or brighter than half if anti-aliased."""
    counts = _counts(mask.grey)
    if len(counts) == 1 or (len(counts) == 2 and 0 in counts):
        return _where(mask.grey > 0)
    if mask.maximum and max(counts) > mask.maximum // 2 and not _has_areas_between(mask.grey, counts):
        notes.append("mask_antialiased")
        return _where(mask.grey > mask.maximum // 2)
    raise ImageError(
        f"should show one class, but looks like a label image ({_histogram(counts)}); "
        "name its values in the config, as in classes: {lung: [1, 2]}"
    )


def _has_areas_between(grey: np.ndarray, counts: Mapping[int, int]) -> bool:
    """Whether a value between the lowest and the highest fills areas, as labels do and soft edges do not."""
    between = [value for value in list(counts)[:-1] if value != 0]
    if len(between) > MOST_LABELS:
        return False
    inner = {value: int(cv2.erode(_where(grey == value), np.ones((3, 3), np.uint8)).sum()) for value in between}
    return any(inner[value] > AREA_SHARE * counts[value] for value in between)


def _where(foreground: np.ndarray) -> np.ndarray:
    plane: np.ndarray = foreground.astype(np.uint8)
    return plane


def _counts(values: np.ndarray) -> dict[int, int]:
    """Value -> number of pixels, rising."""
    counts = np.bincount(values.ravel())
    return {int(value): int(counts[value]) for value in np.flatnonzero(counts)}


def _histogram(counts: Mapping[int, int]) -> str:
    shown = [f"{value}: {count}" for value, count in list(counts.items())[:HISTOGRAM_LENGTH]]
    more = len(counts) - len(shown)
    return "value: pixels " + ", ".join(shown) + (f" and {more} more" if more else "")


def _fit(plane: np.ndarray, shape: tuple[int, int], name: str, notes: list[str]) -> np.ndarray:
    """Bring a plane to the image's size by nearest neighbour; pixel centres stay where they are."""
    if plane.shape == shape:
        return plane
    (rows, columns), (height, width) = plane.shape, shape
    stretch = (rows / height) / (columns / width)
    if abs(stretch - 1) > ASPECT_TOLERANCE:
        raise ImageError(
            f"has {rows} x {columns} pixels and its image {height} x {width}: another shape, so it may belong to "
            "another image; give the mask that was drawn on this one"
        )
    notes.append(f"mask_resampled:{name}:{rows}x{columns}->{height}x{width}")
    resized: np.ndarray = cv2.resize(plane, (width, height), interpolation=cv2.INTER_NEAREST_EXACT)
    return resized

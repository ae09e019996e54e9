"""Reference masks: one label file or one file per class, in any format, to one bit per class and pixel.

PNG, TIFF, BMP, GIF, NIfTI, DICOM and labelme files are told apart by their content.
"""

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import cv2
import numpy as np

from segpipe.config import Classes
from segpipe.errors import ImageError
from segpipe.files.source import quiet, read_bytes, sniff
from segpipe.masks.labelme import read_labelme
from segpipe.masks.mask_file import MaskFile, image_from_nifti, image_from_raster

ASPECT_TOLERANCE = 0.02
LEAST_OUTSIDE = 0.00005  # of what was drawn; less would be shown as 0.0000


@dataclass(frozen=True)
class ReferenceMask:
    """Where each class is: ``bits`` is (rows, columns), uint8, uint16 or uint32, bit i is class i.

    ``notes`` says what had to be done: ``mask_antialiased``, ``mask_fractional``, ``mask_shapes_without_area:<n>``,
    ``mask_outside:<class>:<fraction>``, ``mask_resampled:<class or all>:RxC->RxC``, ``mask_missing:<class>``,
    ``mask_empty:<class>``. ``sha256`` are hashes of the files, by the names under which they were given.
    """

    bits: np.ndarray
    notes: tuple[str, ...]
    sha256: Mapping[str, str]


def read_reference(
    files: Mapping[str, Path],
    classes: Classes,
    shape: tuple[int, int],
    missing: Literal["quarantine", "empty"] = "quarantine",
    root: Path = Path(),
) -> ReferenceMask:
    """Read the reference mask of one image of ``shape`` (rows, columns).

    ``files`` is ``{"": path}`` for one file with all classes, or ``{class: path}``; such files may overlap.
    ``classes`` maps each class to its pixel values or to the texts of its labels, or to None where a file shows
    that class only. For a class without file ``missing`` says whether that is an error or an empty class.
    Raises ImageError that names the file, relative to ``root``, and what is wrong with it.
    """
    sources = _sources(files, classes, missing)
    loaded, hashes = {}, {}
    for file in dict.fromkeys(path for path in sources.values() if path):
        loaded[file], hashes[file] = _load(file, root, shape)
    named: set[int | str] = {value for values in classes.values() for value in values or ()}
    bits = np.zeros(shape, mask_dtype(len(classes)))
    notes: list[str] = []
    for number, (name, path) in enumerate(sources.items()):
        if path is None:
            notes.append(f"mask_missing:{name}")
            continue
        with _reading(path, root):
            plane = loaded[path].plane_of(name, classes[name], named)
            notes += plane.notes
            notes += outside_notes({name: plane.outside})
            pixels = _fit(plane.pixels, shape, "all" if "" in files else name, notes)
        if not pixels.any():
            notes.append(f"mask_empty:{name}")
        bits |= pixels.astype(bits.dtype) << bits.dtype.type(number)
    return ReferenceMask(bits, tuple(dict.fromkeys(notes)), {name: hashes[path] for name, path in files.items()})


def outside_notes(shares: Mapping[str, float]) -> list[str]:
    """``mask_outside:<class>:<fraction>`` of each class of which something lies beyond the image."""
    return [f"mask_outside:{name}:{share:.4f}" for name, share in shares.items() if share >= LEAST_OUTSIDE]


@contextmanager
def _reading(path: Path, root: Path) -> Iterator[None]:
    """Turn whatever a decoder raises into an ImageError that names the mask and quotes nothing of it."""
    name = path.relative_to(root) if path.is_relative_to(root) else Path(path.name)
    with quiet():
        try:
            yield
        except ImageError as error:
            raise ImageError(f"mask {name} {error}") from None
        except Exception as error:
            kind = type(error).__name__
            raise ImageError(f"mask {name} cannot be decoded ({kind}); the file is damaged") from None


def _load(path: Path, root: Path, shape: tuple[int, int]) -> tuple[MaskFile, str]:
    """A mask and the hash of its file: of one read, so that they belong together."""
    with _reading(path, root):
        data = read_bytes(path)
        return _decode(data, shape), hashlib.sha256(data).hexdigest()


def _decode(data: bytes, shape: tuple[int, int]) -> MaskFile:
    """``shape`` is the image's (rows, columns), for files that do not say theirs."""
    if data.removeprefix(b"\xef\xbb\xbf")[:64].lstrip().startswith((b"{", b"[")):
        return read_labelme(data, shape)
    format_ = sniff(data)
    if format_ == "JPEG":
        raise ImageError("is a JPEG, whose compression changes labels near every edge; export the mask as PNG")
    if format_ == "DICOM":
        from segpipe.masks.seg import read_dicom_mask

        return read_dicom_mask(data)
    return image_from_nifti(data) if format_ == "NIfTI" else image_from_raster(data, format_)


def _sources(
    files: Mapping[str, Path], classes: Classes, missing: Literal["quarantine", "empty"]
) -> dict[str, Path | None]:
    """The file of each class, in the classes' order; None where it has none and may have none."""
    if "" in files:
        binary = [name for name, values in classes.items() if values is None]
        if binary and len(classes) > 1:
            raise ImageError(
                f"mask {files[''].name} is one file for several classes, but the config gives no values for "
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

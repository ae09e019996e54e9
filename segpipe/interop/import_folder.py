"""The folder that an import writes: ``masks/<class>/<image>.png`` and ``samples.csv``, a sheet for ``data.sheet``."""

import csv
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import cv2
import numpy as np

from segpipe.errors import ImageError, InputError
from segpipe.files.atomic import atomic_path, write_bytes
from segpipe.log import logger
from segpipe.samples.sample import safe_name

# What the command line says of names: ``lung=Left Lung``, and names that follow from those of a file.

_CLASS = re.compile(r"[a-z][a-z0-9_]{0,39}")  # as in segpipe.config


def assignments(options: Sequence[str], option: str) -> dict[str, list[str]]:
    """``name=text`` given once or several times, by name in the order of the first.

    Raises:
        InputError: without "=", or the name is none that a class may have.
    """
    found: dict[str, list[str]] = {}
    for text in options:
        name, equals, value = text.partition("=")
        if not equals or not value or not _CLASS.fullmatch(name):
            raise InputError(
                f"{option} {text!r}: write NAME=TEXT, as lung='Left Lung'; NAME has small letters, digits and "
                "underscores, TEXT is what the file says. Give the option again for more."
            )
        found.setdefault(name, []).append(value)
    return found


def own_names(texts: Iterable[str], option: str) -> dict[str, list[str]]:
    """A class for each text of a file, named after it: "Left Lung" is left_lung.

    Raises:
        InputError: that leads to no name, or to one name twice.
    """
    found: dict[str, list[str]] = {}
    for text in texts:
        name = re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")
        if not _CLASS.fullmatch(name) or name in found:
            raise InputError(f"No class can be named after {text[:40]!r}; name the classes with {option} NAME=TEXT.")
        found[name] = [text]
    return found


# The folder that an import writes: ``masks/<class>/<image>.png`` and ``samples.csv``, a sheet for ``data.sheet``.

SHEET = "samples.csv"
NOTES = "mask_notes"  # its column that tells what of drawn masks was cut off or left out
PNG_LEVEL = 1  # masks compress to a few KB at any level


@dataclass(frozen=True)
class Record:
    """The masks of one image: ``planes`` makes (rows, columns) uint8 of 0 and 1 by class, when asked.

    ``where`` tells the place in the file, for messages; ``carried`` go to the sheet as they are.
    """

    image: str
    where: str
    planes: Callable[[], Mapping[str, np.ndarray]]
    carried: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Target:
    """Where masks go and where images are.

    ``root`` is the folder that will be ``data.root``; ``output`` lies in it. ``images`` is the path of an image below
    the root, with ``{image}`` for its name in the set's file; without that, a folder.
    """

    output: Path
    root: Path
    images: str = ""

    def image_path(self, name: str, where: str) -> str:
        """The path of an image relative to the root.

        Raises:
            InputError: the name is empty, absolute, or climbs out of the root.
        """
        pattern = self.images if "{image}" in self.images else f"{self.images.rstrip('/')}/{{image}}".lstrip("/")
        path = PurePosixPath(pattern.replace("{image}", name))
        unsafe = not name or "\0" in name or PurePosixPath(name).is_absolute() or path.is_absolute()
        if unsafe or ".." in path.parts or not path.parts:
            raise InputError(f"{where}: the image's name leads out of the data folder, or is empty. Mend the file.")
        return path.as_posix()

    def relative(self) -> PurePosixPath:
        """The output folder as seen from the root."""
        try:
            return PurePosixPath(self.output.resolve().relative_to(self.root.resolve()).as_posix())
        except ValueError:
            raise InputError(
                f"{self.output} is not in {self.root}. The sheet names images and masks relative to one folder, the "
                "later data.root: give a folder that holds both with --root."
            ) from None


@dataclass
class Imported:
    """What was done."""

    images: int = 0
    written: int = 0  # mask files that were not there yet
    absent: int = 0  # images that the file names and the folder lacks


def write_folder(
    records: Iterable[Record], target: Target, classes: Sequence[str], carried: Sequence[str] = ()
) -> Imported:
    """Write masks and sheet; masks that are there with the same content are left alone, so it can go on.

    Images that are not there are left out, and counted.

    Raises:
        InputError: a record cannot be used, an image comes twice, or no image is there.
    """
    folder = target.relative()
    done, seen = Imported(), set[bytes]()
    with atomic_path(target.output / SHEET) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        sheet = csv.writer(file, lineterminator="\n")
        sheet.writerow(["image", *(f"mask_{name}" for name in classes), *carried])
        example = ""
        for record in records:
            image = target.image_path(record.image, record.where)
            if not (target.root / image).is_file():
                done.absent += 1
                example = example or image
                continue
            key = safe_name(image)
            _check_twice(key, seen, record.where)
            masks = [f"masks/{name}/{key}.png" for name in classes]
            done.written += _write(record, target.output, dict(zip(classes, masks, strict=True)))
            done.images += 1
            row = [image, *(str(folder / mask) for mask in masks), *(record.carried.get(name, "") for name in carried)]
            sheet.writerow(row)
        if not done.images:
            raise InputError(
                f"None of the {done.absent} images is there; the first was looked for as {example!r} below "
                f"{target.root}. Say with --root and --images where they are, as in --images 'files/{{image}}.png'."
            )
    if done.absent:
        logger.warning("%d images of the file are not there and were left out, as %r", done.absent, example)
    return done


def _check_twice(key: str, seen: set[bytes], where: str) -> None:
    """Case-folded, because two names that differ in case only are one file on some file systems."""
    name = key.casefold().encode()
    if name in seen:
        raise InputError(f"{where}: the image was there before. Sort the file by its images, or remove one of them.")
    seen.add(name)


def _write(record: Record, output: Path, paths: Mapping[str, str]) -> int:
    try:
        planes = record.planes()
    except ImageError as error:
        raise InputError(f"{record.where}: {error}.") from None
    return sum(_write_new(output / path, _png(planes[name])) for name, path in paths.items())


def _write_new(path: Path, content: bytes) -> bool:
    with suppress(FileNotFoundError):
        if path.read_bytes() == content:
            return False
    write_bytes(path, content)
    return True


def _png(plane: np.ndarray) -> bytes:
    encoded = cv2.imencode(".png", plane * np.uint8(255), [cv2.IMWRITE_PNG_COMPRESSION, PNG_LEVEL])[1]
    return encoded.tobytes()

"""The folder that an import writes: ``masks/<class>/<image>.png`` and ``samples.csv``, a sheet for ``data.sheet``."""

import csv
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from segpipe.errors import ImageError, InputError
from segpipe.files.atomic import atomic_path, write_bytes_if_changed
from segpipe.log import logger
from segpipe.masks.encode import encode_png
from segpipe.samples.sample import safe_name

SHEET = "samples.csv"
NOTES = "mask_notes"  # its column that tells what of drawn masks was cut off or left out
_CLASS = re.compile(r"[a-z][a-z0-9_]{0,39}")  # as in segpipe.config

Drawn = tuple[Mapping[str, np.ndarray], Mapping[str, str]]


@dataclass(frozen=True)
class Record:
    """The masks of one image; ``where`` is their place in the file, for messages.

    ``draw`` makes the masks by class, (rows, columns) uint8 of 0 and 1, and more cells of the image's row in the sheet.
    It is called only where the image exists.
    """

    image: str
    where: str
    draw: Callable[[], Drawn]


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
            raise InputError(f"{where}: the image's name leads out of the data folder, or is empty. Correct the file.")
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


def assignments(options: Sequence[str], option: str) -> dict[str, list[str]]:
    """``name=text`` given once or several times, by name in the order of the first.

    Raises:
        InputError: there is no "=", or a class may not have that name.
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


def write_folder(records: Iterable[Record], target: Target, classes: Sequence[str], carried: Sequence[str] = ()) -> str:
    """Write masks and sheet; return what to tell the user, with the config to go on with.

    ``carried`` are the sheet's columns beside images and masks. Masks with the same content are left alone, so a
    stopped import goes on. Images that do not exist are left out, and counted.

    Raises:
        InputError: a record cannot be used, an image comes twice, or no image exists.
    """
    folder = target.relative()
    images, written, absent, seen = 0, 0, list[str](), set[bytes]()
    with atomic_path(target.output / SHEET) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        sheet = csv.writer(file, lineterminator="\n")
        sheet.writerow(["image", *(f"mask_{name}" for name in classes), *carried])
        for record in records:
            image = target.image_path(record.image, record.where)
            if not (target.root / image).is_file():
                absent.append(image)
                continue
            key = safe_name(image)
            _check_twice(key, seen, record.where)
            paths = {name: f"masks/{name}/{key}.png" for name in classes}
            planes, cells = _drawn(record)
            written += sum(_write_mask(target.output / path, planes[name]) for name, path in paths.items())
            images += 1
            masks = (str(folder / path) for path in paths.values())
            sheet.writerow([image, *masks, *(cells.get(name, "") for name in carried)])
        if not images:
            example = absent[0] if absent else ""
            raise InputError(
                f"None of the {len(absent)} images exists; the first was looked for as {example!r} below "
                f"{target.root}. Say with --root and --images where they are, as in --images 'files/{{image}}.png'."
            )
    if absent:
        logger.warning("%d images of the file do not exist and were left out, as %r", len(absent), absent[0])
    lines = [
        f"{images} images, {written} mask files written, {len(absent)} images not found: {target.output}",
        "",
        "data:",
        f"  root: {target.root.as_posix()}",
        f"  sheet: {folder / SHEET}",
        "classes:",
        *(f"  {name}: null" for name in classes),
    ]
    return "\n".join(lines)


def _check_twice(key: str, seen: set[bytes], where: str) -> None:
    """Case-folded, because two names that differ in case only are one file on some file systems."""
    name = key.casefold().encode()
    if name in seen:
        raise InputError(f"{where}: the image was there before. Sort the file by its images, or remove one of them.")
    seen.add(name)


def _drawn(record: Record) -> Drawn:
    try:
        return record.draw()
    except ImageError as error:
        raise InputError(f"{record.where}: {error}.") from None


def _write_mask(path: Path, plane: np.ndarray) -> bool:
    return write_bytes_if_changed(path, encode_png(plane * np.uint8(255)))

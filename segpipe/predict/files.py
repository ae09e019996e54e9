"""Which files are meant by folders, files and patterns on the command line, and what their masks are called."""

import glob
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

from segpipe.errors import InputError
from segpipe.masks.journal import NAME
from segpipe.samples.patterns import list_files
from segpipe.samples.sample import Sample, image_id_from_path, safe_name

Links = Literal["inside", "follow"]


def find_images(places: Sequence[str], output: Path, links: Links = "inside") -> tuple[Path, list[Sample]]:
    """The folder that all files lie in, and the files as samples, sorted; nothing below ``output`` is among them.

    Raises:
        InputError: a place does not exist, or there is no file.
    """
    found = sorted({path for place in places for path in _files(place, output, links)})
    if not found:
        if any(_lies_in(place, output.resolve()) for place in places):
            raise InputError(
                f"{', '.join(places)}: lies in --output {output}, where masks are, not images. Name another --output."
            )
        raise InputError(
            f"{', '.join(places)}: no file there. Name a folder, files, or a pattern such as 'a/**/*.dcm'."
        )
    root = (
        Path(places[0]) if len(places) == 1 and Path(places[0]).is_dir() else Path(os.path.commonpath(_folders(found)))
    )
    return root, _samples([os.path.relpath(path, root) for path in found])


def refuse_foreign(output: Path, names: Sequence[str]) -> None:
    """Nothing is written over that is not known to come from an earlier call, which leaves a journal.

    Raises:
        InputError: ``output`` has no journal, but one of the files ``names``.
    """
    if not output.is_dir() or (output / NAME).exists():
        return
    there = {path.name for path in output.iterdir()} & set(names)
    if there:
        raise InputError(
            f"--output {output}: {min(there)} lies there and {len(there)} of its files would be written over, but "
            f"there is no {NAME} that says they are masks of `segpipe predict`. Name another folder."
        )


def _files(place: str, output: Path, links: Links) -> Iterator[str]:
    folder = Path(place)
    if folder.is_dir():
        yield from (os.path.join(place, name) for name in list_files(folder, "", output, links))
        return
    matches = [place] if folder.exists() else glob.glob(place, recursive=True)  # noqa: PTH207 - Path.glob takes no absolute patterns
    if not matches:
        raise InputError(f"{place} does not exist, and as a pattern it matches no file.")
    top = output.resolve()
    yield from (path for path in matches if Path(path).is_file() and not Path(path).resolve().is_relative_to(top))


def _lies_in(place: str, output: Path) -> bool:
    """Whether a place, which may be a pattern, is passed over for being the output, or files below it."""
    path = Path(place)
    return path.resolve() == output or (path.resolve().is_relative_to(output) and not path.is_dir())


def _folders(paths: Sequence[str]) -> set[Path]:
    return {Path(path).absolute().parent for path in paths}


def _samples(paths: Sequence[str]) -> list[Sample]:
    """Ids are the paths without endings; where two files differ in their endings only, they keep them."""
    counts = Counter(image_id_from_path(path).casefold() for path in paths)
    plain = [counts[image_id_from_path(path).casefold()] == 1 for path in paths]
    ids = [image_id_from_path(path) if alone else safe_name(path) for path, alone in zip(paths, plain, strict=True)]
    again = Counter(name.casefold() for name in ids)
    for path, name in zip(paths, ids, strict=True):
        if again[name.casefold()] > 1:
            raise InputError(f"{path}: another file's masks would have the same name, {name}. Predict them apart.")
    return [Sample(image_id=name, image=path) for name, path in zip(ids, paths, strict=True)]

"""Path patterns as in a Snakefile, ``archive/{site}/{patient}_{view}.png``: each file that matches is an image."""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from segpipe.config import Data
from segpipe.errors import ConfigError, InputError
from segpipe.files.source import MISSING, file_stamp
from segpipe.log import logger
from segpipe.samples.sample import Listing, Sample, image_id_from_path, leads_out, patient_key

_WILDCARD = re.compile(r"\{(?P<name>[A-Za-z_]\w*)(?:,(?P<constraint>(?:[^{}]|\{[^{}]*\})+))?\}")


def samples_from_patterns(data: Data, salt: bytes, results: Path | None = None) -> Listing:
    """All samples; nothing below ``results`` is an input.

    Raises:
        ConfigError: a mask pattern uses a wildcard that an image pattern lacks.
        InputError: when the samples are gone through: an image pattern matches no file, or the mask patterns none
            for any image.
    """
    masks = data.masks if isinstance(data.masks, dict) else {"": data.masks} if data.masks else {}
    for pattern in data.images:
        _check_wildcards(pattern, masks)
    names = wildcard_names("".join(data.images))
    carried = [name for name in names if name not in ("patient", "site")]
    return Listing(_samples(data, masks, carried, salt, results), carried, sorted(masks))


def _samples(
    data: Data, masks: dict[str, str], carried: list[str], salt: bytes, results: Path | None
) -> Iterator[Sample]:
    count, unseen, root = 0, set(masks), str(data.root)
    for pattern in data.images:
        before, folder = count, constant_folder(pattern)
        for path, values in _matches(data, pattern, results):
            sample = _sample(path, path.removeprefix(folder), values, masks, root, salt, carried)
            if unseen:
                unseen -= sample.masks.keys()
            count += 1
            yield sample
        if count == before:
            raise InputError(_nothing_found(data, pattern))
    if masks and len(unseen) == len(masks):
        raise InputError(_no_masks(data, masks, count))
    if unseen and data.missing_mask == "quarantine":
        first = next(name for name in masks if name in unseen)
        raise InputError(_no_masks(data, {first: masks[first]}, count))


def _matches(data: Data, pattern: str, results: Path | None = None) -> Iterator[tuple[str, dict[str, str]]]:
    regex = pattern_regex(pattern)
    for path in list_files(data.root, constant_folder(pattern), results, data.links):
        match = regex.fullmatch(path)
        if match:
            yield path, match.groupdict()


def _sample(
    path: str,
    name: str,
    values: dict[str, str],
    masks: dict[str, str],
    root: str,
    salt: bytes,
    carried: list[str],
) -> Sample:
    """The sample of an image's ``path``; ``name`` is the part from the first wildcard's folder on."""
    # Paths are joined as text, because this runs for every file of an archive.
    wanted = {name: fill(mask, values) for name, mask in masks.items()}
    stamps = {name: file_stamp(f"{root}/{mask}") for name, mask in wanted.items()}
    # No mask file at all means unlabelled; some but not all is for the reader of the masks to judge.
    there = {name: mask for name, mask in wanted.items() if stamps[name] != MISSING}
    return Sample(
        image_id=image_id_from_path(name),
        image=path,
        masks=there,
        patient=patient_key(values["patient"], salt) if "patient" in values else "",
        site=values.get("site", ""),
        carried={name: values.get(name, "") for name in carried},
        stamp=" ".join([file_stamp(f"{root}/{path}"), *(stamps[name] for name in there)]),
    )


def _check_wildcards(pattern: str, masks: dict[str, str]) -> None:
    for name, mask in masks.items():
        unknown = set(wildcard_names(mask)) - set(wildcard_names(pattern))
        if unknown:
            key = f"data.masks.{name}" if name else "data.masks"
            raise ConfigError(
                f"{key}: the wildcard {{{sorted(unknown)[0]}}} of {mask!r} is not in the image pattern {pattern!r}, "
                "so the mask of an image cannot be named. Use the same wildcards in both."
            )


def _no_masks(data: Data, masks: dict[str, str], images: int) -> str:
    path, values = next(_matches(data, data.images[0]))
    name, mask = next(iter(masks.items()))
    what = f"a mask of the class {name}" if len(masks) == 1 and name else "a mask"
    return (
        f"data.masks: none of the {images} images has {what}. For {path} segpipe looked for {fill(mask, values)} below "
        f"{data.root}. Check the patterns; to apply a trained model to unlabelled images, leave data.masks out "
        "and give model.weights."
    )


def _nothing_found(data: Data, pattern: str) -> str:
    folder = constant_folder(pattern)
    files = sorted(list_files(data.root, folder, links=data.links))
    where = f"{data.root / folder}"
    if data.links == "inside" and leads_out(data.root, folder):
        return (
            f"data.images: {pattern!r} matches no file, since {where} is a link that leads out of data.root. "
            "If that is meant, set data.links to follow; or set data.root to where the files are."
        )
    if not files:
        return (
            f"data.images: {pattern!r} matches no file; {where} does not exist or is empty. "
            "Check data.root and the pattern."
        )
    return (
        f"data.images: {pattern!r} matches none of the {len(files)} files in {where} (for example {files[0]!r}). "
        "A wildcard matches within one folder level; check the folders, the suffix and the underscores."
    )


def wildcard_names(pattern: str) -> list[str]:
    """The wildcards of a pattern in order, each once."""
    return list(dict.fromkeys(match["name"] for match in _WILDCARD.finditer(pattern)))


def constant_folder(pattern: str) -> str:
    """The folder before the first wildcard, with a closing slash, or nothing."""
    return pattern.split("{", 1)[0].rpartition("/")[0] + "/" if "/" in pattern.split("{", 1)[0] else ""


def pattern_regex(pattern: str) -> re.Pattern[str]:
    """A regular expression for whole paths. A wildcard matches within one folder level.

    As in Snakemake a wildcard may carry a constraint, ``{patient,\\d+}``, and one that is repeated
    must match the same text.

    Raises:
        ConfigError: unbalanced braces, or a constraint that is no regular expression.
    """
    parts, position, seen = [], 0, set()
    for match in _WILDCARD.finditer(pattern):
        parts.append(re.escape(pattern[position : match.start()]))
        name = match["name"]
        parts.append(f"(?P={name})" if name in seen else f"(?P<{name}>{match['constraint'] or '[^/]+?'})")
        seen.add(name)
        position = match.end()
    rest = pattern[position:]
    literal = _WILDCARD.sub("", pattern)
    if "{" in literal or "}" in literal:
        raise ConfigError(f"Pattern {pattern!r}: a brace that opens or closes no wildcard; write {{name}}.")
    try:
        return re.compile("".join(parts) + re.escape(rest), re.DOTALL)
    except re.error as error:
        raise ConfigError(f"Pattern {pattern!r}: the constraint is no regular expression: {error}.") from None


def fill(pattern: str, values: dict[str, str]) -> str:
    """The path that a pattern means for given wildcard values."""
    return _WILDCARD.sub(lambda match: values[match["name"]], pattern)


def list_files(
    root: Path, folder: str, skip: Path | None = None, links: Literal["inside", "follow"] = "inside"
) -> Iterator[str]:
    """All files below ``root/folder``, as paths relative to the root, in no order.

    Passed over are hidden files and folders, the folder ``skip`` (results are no input), folders that a link leads
    back to, and, each with a warning, folders that cannot be listed and those behind a link that leads out
    of the root, unless ``links`` is follow: nobody knows how much is out there. A file that is such a link
    is listed, and refused when it is read.

    Raises:
        InputError: a name is not UTF-8, so that no table could hold it.
    """
    pending, seen = [folder.rstrip("/")], set()
    skipped, top = skip.resolve() if skip else None, root.resolve()
    while pending:
        relative = pending.pop()
        place = (root / relative).resolve()
        if place in seen or place == skipped:
            continue
        seen.add(place)
        if links == "inside" and not place.is_relative_to(top):
            logger.warning(
                "%s is a link out of data.root and is passed over; if that is meant, set data.links to follow", relative
            )
            continue
        try:
            with os.scandir(root / relative) as entries:
                for entry in entries:
                    if entry.name.startswith("."):
                        continue
                    path = f"{relative}/{entry.name}" if relative else entry.name
                    if _is_folder(entry):
                        pending.append(path)
                    else:
                        yield _utf8(path)
        except FileNotFoundError:
            continue
        except OSError as error:
            logger.warning("%s cannot be listed (%s) and is passed over", root / relative, error.strerror)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself: no folder, and no reason to leave the rest of this one
        return False


def _utf8(path: str) -> str:
    try:
        path.encode()
    except UnicodeEncodeError:
        raise InputError(
            f"The file name {os.fsencode(path)!r} is not UTF-8, so no table can hold it. Rename the file, for example "
            "with convmv."
        ) from None
    return path

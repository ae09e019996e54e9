"""Snakefile-style path patterns: ``archive/{site}/{patient}_{view}.png``."""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from segpipe.errors import ConfigError, InputError
from segpipe.log import logger

_WILDCARD = re.compile(r"\{(?P<name>[A-Za-z_]\w*)(?:,(?P<constraint>(?:[^{}]|\{[^{}]*\})+))?\}")


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

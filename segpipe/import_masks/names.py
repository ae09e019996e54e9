"""What the command line says of names: ``lung=Left Lung``, and names that follow from those of a file."""

import re
from collections.abc import Iterable, Sequence

from segpipe.errors import InputError

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

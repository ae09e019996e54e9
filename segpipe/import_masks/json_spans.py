"""Where the elements of a JSON file's top-level lists are, without parsing the file as a whole."""

import json
import mmap
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from segpipe.errors import InputError

# A string as a whole (without giving back, so that no text makes it slow), or a bracket.
_TOKEN = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|[\[\]{}]', re.DOTALL)
LARGEST_ELEMENT = 2**26  # bytes
DEEPEST = 100

Span = tuple[int, int]


@contextmanager
def mapped(path: Path) -> Iterator[mmap.mmap]:
    """The file's bytes, without reading them into memory.

    Raises:
        InputError: it cannot be opened, or is empty.
    """
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            yield content
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}.") from None
    except ValueError:
        raise InputError(f"{path} is empty.") from None


def elements(content: mmap.mmap, path: Path) -> Iterator[tuple[str, Span]]:
    """Every object in a list of the top-level object: the list's key, and where the object lies.

    ``{"images": [{...}, {...}]}`` yields ``("images", span)`` twice. The file is gone through once; memory does
    not grow with it.

    Raises:
        InputError: brackets do not match, or are nested more deeply than any annotation.
    """
    stack: list[bytes] = []
    key, start = b"", 0
    for token in _TOKEN.finditer(content):
        text = token[0] if token.end() - token.start() < 100 else b'"'
        if text.startswith(b'"'):
            if stack == [b"{"]:
                key = text
        elif text in b"[{":
            if text == b"{" and stack == [b"{", b"["]:
                start = token.start()
            stack.append(text)
            if len(stack) > DEEPEST:
                raise InputError(f"{path} is nested so deeply that it is no COCO file.")
        else:
            if not stack or stack.pop() != {b"]": b"[", b"}": b"{"}[text]:
                raise InputError(f"{path} is no valid JSON: a bracket closes at byte {token.start()} that is not open.")
            if text == b"}" and stack == [b"{", b"["]:
                yield key.strip(b'"').decode("utf-8", "replace"), (start, token.end())
    if stack:
        raise InputError(f"{path} ends too early, as an interrupted copy does. Copy it again.")


def element(content: mmap.mmap, span: Span, path: Path) -> dict[str, Any]:
    """Parse one object.

    Raises:
        InputError: it is no valid JSON, or far too large.
    """
    start, end = span
    if end - start > LARGEST_ELEMENT:
        raise InputError(f"{path}: the object at byte {start} has {end - start} bytes, too many for one annotation.")
    try:
        parsed: dict[str, Any] = json.loads(content[start:end])
    except (ValueError, RecursionError):
        raise InputError(f"{path}: the object at byte {start} is no valid JSON. Mend the file.") from None
    return parsed

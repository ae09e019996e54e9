"""JSON files that segpipe writes: one text for one value, read back with a clear error."""

import json
from pathlib import Path
from typing import Any

from segpipe.errors import InputError

# JSON files that segpipe wrote, read with the caller's word on what to do where they are missing or damaged.


def read_json(path: Path, missing: str, damaged: str) -> Any:
    """What the file holds.

    Raises:
        InputError: with the text ``missing`` where it cannot be read, and ``damaged`` where it is no JSON; in both,
            ``{path}`` and ``{reason}`` are filled in.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(missing.format(path=path, reason=error.strerror)) from None
    except ValueError as error:
        raise InputError(damaged.format(path=path, reason=error)) from None


# The text of a config, for files that are compared and hashed.


def canonical_json(value: Any) -> str:
    """The one JSON text of a value, for files that are compared and hashed.

    Keys keep their order: that of ``classes`` is the order of the network's channels.
    """
    return json.dumps(value, indent=1, ensure_ascii=False) + "\n"

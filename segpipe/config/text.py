"""The text of a config, for files that are compared and hashed."""

import json
from typing import Any


def canonical_json(value: Any) -> str:
    """The one JSON text of a value, for files that are compared and hashed.

    Keys keep their order: that of ``classes`` is the order of the network's channels.
    """
    return json.dumps(value, indent=1, ensure_ascii=False) + "\n"

"""A config over a few files, whose contents do not matter."""

import json
from pathlib import Path

from segpipe.config import Config
from segpipe.config.load import parse_config


def write_config(folder: Path, **sections: dict) -> Config:
    """Write ``config.json`` and sixteen images with masks, in two shards."""
    for kind in ("images", "masks"):
        (folder / "data" / kind).mkdir(parents=True, exist_ok=True)
        for number in range(16):
            (folder / "data" / kind / f"p{number}.png").touch()
    data = {"root": str(folder / "data"), "images": "images/{patient}.png", "masks": "masks/{patient}.png", "shards": 2}
    values = {
        "name": "run", "results": str(folder / "results"), "classes": {"lung": [1]}, "data": data, "folds": {"k": 2},
        **sections,
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(values))
    return parse_config(values)

"""Which models are meant, and what they are called in tables."""

import os
from collections.abc import Sequence
from pathlib import Path

from segpipe.errors import ConfigError, InputError

CARD = "model.json"


def by_name(folders: Sequence[Path]) -> dict[str, Path]:
    """Model folders by the shortest ends of their paths that differ: fold0 and fold1, or a/fold0 and b/fold0.

    Names go into tables, so they tell no more of a path than they must.

    Raises:
        ConfigError: a folder is there twice.
    """
    paths = [Path(os.path.normpath(folder.absolute())) for folder in folders]
    if len(set(paths)) < len(paths):
        twice = next(path for path in paths if paths.count(path) > 1)
        raise ConfigError(f"The model {twice} is given twice, so that it would count double in the mean. Name it once.")
    for depth in range(1, max((len(path.parts) for path in paths), default=0) + 1):
        names = ["/".join(path.parts[-depth:]) for path in paths]
        if len(set(names)) == len(names):
            return dict(zip(names, folders, strict=True))
    return {}


def find_models(place: Path) -> list[Path]:
    """The model folders that ``place`` means: one itself, an exported bundle, or a run's models.

    Raises:
        InputError: there is none.
    """
    for folder in (place, place / "models"):  # a model; a bundle, or the results folder of a run
        if (folder / CARD).exists():
            return [folder]
        found = sorted(path.parent for path in folder.glob(f"*/{CARD}"))
        if found:
            return found
    what = "does not exist" if not place.exists() else "holds no model.json, neither itself nor one or two levels below"
    raise InputError(
        f"--model {place}: {what}. Give the folder of a trained model (results/<name>/models/fold0), of all models of "
        "a run (results/<name>/models), or an exported bundle."
    )

"""A config that can be shown to anybody: without the paths that say whose machine it was."""

from pathlib import PurePosixPath, PureWindowsPath
from typing import Any

LEFT_OUT = "(left out)"
_OF_THE_PLACE = ("name", "results")  # where a run's results go changes none of them


def shareable(config: dict[str, Any]) -> dict[str, Any]:
    """The config, as JSON has it, with absolute paths and addresses left out; relative paths stay as they are.

    >>> shareable({"name": "a", "data": {"root": "/home/alice/archive", "images": ["{patient}.png"]}})
    {'data': {'root': '(left out)', 'images': ['{patient}.png']}}
    """
    return {key: _without_paths(value) for key, value in config.items() if key not in _OF_THE_PLACE}


def left_out(config: Any, where: str = "") -> list[str]:
    """The keys, as ``data.root``, whose values :func:`shareable` left out."""
    if isinstance(config, dict):
        return [found for key, value in config.items() for found in left_out(value, f"{where}.{key}".lstrip("."))]
    if isinstance(config, list):
        return sorted({found for value in config for found in left_out(value, where)})
    return [where] if config == LEFT_OUT else []


def _without_paths(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_paths(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_without_paths(each) for each in value]
    return LEFT_OUT if isinstance(value, str) and _names_a_place(value) else value


def _names_a_place(text: str) -> bool:
    absolute = PurePosixPath(text).is_absolute() or PureWindowsPath(text).is_absolute()
    return absolute or text.startswith("~") or "://" in text

"""Reading a config, saying what is wrong with it in the user's words, and showing it without the paths of a machine."""

from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import yaml
from pydantic import ValidationError

from segpipe.config import Config
from segpipe.errors import ConfigError

# Reading a config, and saying what is wrong with it in the user's words.

MOST_ALIASES = 20


def parse_config(values: Mapping[str, Any], source: str = "config") -> Config:
    """Validate a mapping, as Snakemake or YAML gives it.

    Raises:
        ConfigError: names every wrong key, what was found and, for a misspelt key, the likely one.
    """
    try:
        return Config.model_validate(values)
    except ValidationError as error:
        problems = "\n".join(f"  {_explain(problem)}" for problem in error.errors())
        raise ConfigError(
            f"{source} cannot be used:\n{problems}\nAll keys are described in config/README.md."
        ) from None


def load_config(path: Path) -> Config:
    """Read and validate a YAML file; a run without a name is called as its file."""
    try:
        text = path.read_text(encoding="utf-8")
        _check_aliases(text, path)
        values = yaml.safe_load(text)
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}.") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not valid YAML: {error}") from None
    if not isinstance(values, dict):
        raise ConfigError(f"{path} holds no keys; a config needs at least data.")
    return parse_config({"name": path.stem, **values}, str(path))


def _check_aliases(text: str, path: Path) -> None:
    """A few aliases are a convenience; aliases of aliases of aliases are a list longer than any memory."""
    count = sum(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, Loader=yaml.SafeLoader))
    if count > MOST_ALIASES:
        raise ConfigError(f"{path} has {count} YAML aliases (*name), more than the {MOST_ALIASES} that are followed.")


def _explain(problem: Any) -> str:
    location = [str(part) for part in problem["loc"]]
    key = ".".join(location)
    if problem["type"] == "extra_forbidden":
        return f"{key}: there is no such key{_suggestion(location)}; it would have been ignored."
    message = problem["msg"].removeprefix("Value error, ")
    if problem["type"] == "value_error" or problem["type"] == "missing":
        return f"{key}: {message}" if key else message
    return f"{key}: found {problem['input']!r}; {message[0].lower()}{message[1:]}."


def _suggestion(location: list[str]) -> str:
    section: Any = Config
    for part in location[:-1]:
        known = getattr(section, "model_fields", {}).get(part)
        section = known.annotation if known else None
    close = get_close_matches(location[-1], getattr(section, "model_fields", {}), n=1)
    return f" (did you mean {'.'.join([*location[:-1], close[0]])}?)" if close else ""


# A config that can be shown to anybody: without the paths that say whose machine it was.

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

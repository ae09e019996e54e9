"""Reading a config, and saying what is wrong with it in the user's words."""

from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from segpipe.config import Config
from segpipe.errors import ConfigError

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
    """Read and validate a YAML file."""
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
    return parse_config(values, str(path))


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

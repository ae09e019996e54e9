"""The config's reference, made from its types: ``python -m segpipe.config.reference`` writes both files.

``config/README.md`` is for people, ``workflow/schemas/config.schema.json`` for editors. A test holds them
equal to the types.
"""

import json
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from segpipe.config import Config
from segpipe.files.atomic import write_text

INTRODUCTION = """# The config, key by key

Generated from the types in `segpipe/config/`; `config.yaml` is the commented example (the demo) and
`examples/` holds real ones. An unknown key is an error, so that a misspelt one cannot be ignored.
"""


def markdown() -> str:
    """The text of config/README.md."""
    return "\n".join([INTRODUCTION, *_section("", Config)]).rstrip() + "\n"


def schema() -> str:
    """The JSON schema of a config file."""
    return json.dumps(Config.model_json_schema(), indent=1, sort_keys=True) + "\n"


def _section(name: str, section: type[BaseModel]) -> Iterator[str]:
    description = " ".join((section.__doc__ or "").split())
    yield f"## {name or 'Top level'}\n\n{description}\n"
    own = {key: info for key, info in section.model_fields.items() if not _subsection(info)}
    if own:
        yield "| key | type | default | what it decides |\n|---|---|---|---|"
        yield from (_row(key, info) for key, info in own.items())
        yield ""
    for key, info in section.model_fields.items():
        inner = _subsection(info)
        if inner:
            yield from _section(f"{name}.{key}".lstrip("."), inner)


def _subsection(info: FieldInfo) -> type[BaseModel] | None:
    """The section that a key holds, whether or not it may be left out; None for a plain value."""
    kinds = [kind for kind in get_args(info.annotation) or [info.annotation] if kind is not type(None)]
    kind = kinds[0] if len(kinds) == 1 else None
    return kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None


def _row(key: str, info: FieldInfo) -> str:
    default = "required" if info.default is PydanticUndefined else f"`{_yaml(info.default)}`"
    return f"| `{key}` | {_type(info.annotation)} | {default} | {info.description or ''} |"


def _yaml(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, Path):
        return value.as_posix()
    return json.dumps(list(value) if isinstance(value, tuple) else value).strip('"')


def _type(kind: Any) -> str:
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Literal:
        return ", ".join(map(str, arguments))
    if origin in (Union, types.UnionType):
        return " or ".join(dict.fromkeys(_type(argument) for argument in arguments))
    if origin is None:
        return {type(None): "null", str: "text", Path: "path"}.get(kind, getattr(kind, "__name__", str(kind)))
    if origin in (list, tuple):
        return f"list of {_type(arguments[0])}"
    if origin is dict:
        return f"mapping to {_type(arguments[1])}"
    return _type(arguments[0])


if __name__ == "__main__":
    write_text(Path("config/README.md"), markdown())
    write_text(Path("workflow/schemas/config.schema.json"), schema())

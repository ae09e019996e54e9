"""What the page says, in each language: one file per language in ``texts/``, the same keys in all of them."""

import tomllib
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "texts"


def languages() -> list[str]:
    """The languages there are, English first."""
    return sorted((path.stem for path in FOLDER.glob("*.toml")), key=lambda name: (name != "en", name))


def load_texts(language: str) -> dict[str, str]:
    """Key to text, the tables of the file joined by dots: ``summary.images``.

    Gaps in a text are names in braces, which :func:`filled` fills.
    """
    found = tomllib.loads((FOLDER / f"{language}.toml").read_text(encoding="utf-8"))
    return dict(_flat(found, ""))


def filled(text: str, gaps: dict[str, Any]) -> str:
    """The text with its gaps filled; the page's script does the same when the language changes.

    Not str.format, which would take a brace in a value's place for its own.

    >>> filled("{n} images", {"n": 3})
    '3 images'
    """
    for name, value in gaps.items():
        text = text.replace(f"{{{name}}}", str(value))
    return text


def _flat(table: dict[str, Any], prefix: str) -> list[tuple[str, str]]:
    rows: list[tuple[str, str]] = []
    for key, value in table.items():
        rows += _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else [(f"{prefix}{key}", value)]
    return rows

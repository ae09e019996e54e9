"""The page's own script and styles, and the policy that lets a browser run nothing else."""

import base64
import hashlib
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent / "static"
STYLES = ("vendor/uplot.css", "page.css", "browser.css", "viewer.css", "print.css")
SCRIPTS = (
    "columns.js",
    "language.js",
    "theme.js",
    "filters.js",
    "sorting.js",
    "browser.js",
    "controls.js",
    "layers.js",
    "zoom.js",
    "viewer.js",
    "plots.js",
    "distributions.js",
    "group_table.js",
    "dots.js",
    "curves.js",
    "start.js",
)
LIBRARY = "vendor/uplot.js"


@dataclass(frozen=True)
class Assets:
    """Texts for the page's style and script elements, and the Content-Security-Policy that names their hashes."""

    style: str
    library: str
    script: str
    policy: str


def load_assets() -> Assets:
    """Read the files; the script's parts share one scope, so that none of their names is global."""
    style = "\n".join(_read(name) for name in STYLES)
    script = '(() => {\n"use strict";\n' + "\n".join(_read(name) for name in SCRIPTS) + "\n})();\n"
    library = _read(LIBRARY)
    policy = (
        f"default-src 'none'; img-src data:; script-src {_hash(library)} {_hash(script)}; style-src {_hash(style)}; "
        "base-uri 'none'; form-action 'none'"
    )
    return Assets(style, library, script, policy)


def _read(name: str) -> str:
    return (FOLDER / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    """As Content Security Policy Level 3, 2.3.1, writes it."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"

"""The order of the folders: each imports from those before it in the list, and no module imports itself in a circle."""

import ast
import re
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from tests.conftest import PROJECT

LAYERS = [
    "errors",
    "log",
    "files",
    "pool",
    "demo",
    "config",
    "samples",
    "images",
    "masks",
    "preprocess",
    "score",
    "dataset",
    "models",
    "train",
    "predict",
    "report",
    "compare",
    "interop",
    "audit",
    "commands",
    "cli",
]


def modules() -> dict[str, Path]:
    paths = (PROJECT / "segpipe").rglob("*.py")
    named = {".".join(path.relative_to(PROJECT).with_suffix("").parts): path for path in paths}
    return {name.removesuffix(".__init__"): path for name, path in named.items()}


def imported(path: Path, known: dict[str, Path]) -> Iterator[str]:
    """The project's modules that a file imports, also within functions."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield from (name for name in [inner if inner in known else node.module] if name in known)


def graph() -> dict[str, set[str]]:
    known = modules()
    return {name: {other for other in imported(path, known) if other != "segpipe"} for name, path in known.items()}


def layer(module: str) -> str:
    return module.split(".")[1]


def test_every_folder_has_its_place_in_the_list():
    found = {layer(module) for module in modules() if module not in ("segpipe", "segpipe.__main__")}
    assert found == set(LAYERS)


def test_imports_point_downwards():
    inner = {name: others for name, others in graph().items() if name not in ("segpipe", "segpipe.__main__")}
    assert len(inner) > 100
    upward = [
        f"{name} imports {other}"
        for name, others in inner.items()
        for other in others
        if LAYERS.index(layer(other)) > LAYERS.index(layer(name))
    ]
    assert not upward


def test_the_drawing_of_the_house_has_the_same_order():
    drawing = (PROJECT / "docs/design.md").read_text().partition("```text\nsegpipe/\n")[2].partition("```")[0]
    lines = re.findall(r"^  (\w\S*(?: \w\S*)*)  ", drawing, re.M)
    assert [re.sub(r"\.py$|/$", "", name) for line in lines for name in line.split()] == LAYERS


def test_no_circles():
    try:
        list(TopologicalSorter(graph()).static_order())
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))

"""The container files: they agree with each other and with the project's versions. No engine runs them here."""

import re
import subprocess
import sys
import tomllib
from fnmatch import fnmatch
from pathlib import Path

import pytest

from tests.conftest import PROJECT

DOCKERFILE, DEFINITION = PROJECT / "containers/Dockerfile", PROJECT / "containers/segpipe.def"


def instructions():
    """(word, rest) of each instruction of the Dockerfile, continued lines joined."""
    text = re.sub(r"^\s*#.*\n", "", DOCKERFILE.read_text(), flags=re.M).replace("\\\n", " ")
    return [tuple(line.split(None, 1)) for line in text.splitlines() if line.strip()]


def all_of(word):
    return [rest for name, rest in instructions() if name == word]


def sections():
    """Header and sections of the Apptainer definition."""
    text = re.sub(r"^\s*#.*\n", "", DEFINITION.read_text(), flags=re.M)
    header, *parts = re.split(r"^%", text, flags=re.M)
    found = dict(part.split("\n", 1) for part in parts)
    return dict(line.split(": ") for line in header.split("\n") if line), found


def copied():
    """What the image has of the project: folders and files."""
    return {name for rest in all_of("COPY") for name in rest.split()[:-1]}


def test_hadolint_has_nothing_to_say():
    done = subprocess.run(
        [str(Path(sys.executable).with_name("hadolint")), "--no-color", str(DOCKERFILE)], capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (0, "")


def test_the_base_is_a_python_that_the_project_supports():
    (base,) = all_of("FROM")
    version = re.fullmatch(r"python:(3\.\d+)-slim-\w+", base)[1]
    low, high = re.findall(
        r"3\.(\d+)", tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["requires-python"]
    )
    assert int(low) <= int(version.split(".")[1]) < int(high)
    header, _ = sections()
    assert header == {"Bootstrap": "docker", "From": base}


def test_versions_are_those_of_the_constraints_and_nothing_else_is_pinned():
    runs, (_, parts) = "\n".join(all_of("RUN")), sections()
    for text in (runs, parts["post"]):
        assert """"torch==$(sed -n 's/^torch==//p' constraints.txt)\"""" in text
        assert "--constraint constraints.txt" in text
        assert "pip check" in text
        assert re.findall(r"==\s*\d", text) == []
    command = "sed -n 's/^torch==//p' constraints.txt"
    version = subprocess.run(command, shell=True, cwd=PROJECT, capture_output=True, text=True, check=True).stdout
    assert re.fullmatch(r"\d+\.\d+\.\d+\n", version)


def test_torch_alone_can_have_options_of_pip_and_has_none_by_default():
    assert all_of("ARG") == ['TORCH_OPTIONS=""', 'EXTRAS=""']
    torch, package = [run for run in all_of("RUN") if "pip install" in run]
    assert ' --no-deps $TORCH_OPTIONS "torch==' in torch
    assert "OPTIONS" not in package
    _, parts = sections()
    assert parts["arguments"].split() == ["TORCH_OPTIONS=", "EXTRAS="]
    assert parts["post"].count(' --no-deps {{ TORCH_OPTIONS }} "torch==') == parts["post"].count("OPTIONS") == 1


def test_it_does_not_run_as_root():
    words = [name for name, _ in instructions()]
    assert words.index("USER") > max(number for number, word in enumerate(words) if word in ("RUN", "COPY"))
    assert int(all_of("USER")[-1]) > 0


def test_everything_that_a_run_reads_is_copied_and_no_data():
    assert copied() >= {"Snakefile", "segpipe", "workflow", "profiles", "config", "pyproject.toml", "constraints.txt"}
    assert not copied() & {".", "data", "results", "shared"}
    assert all((PROJECT / name).exists() for name in copied())
    _, parts = sections()
    assert {line.split()[0] for line in parts["files"].splitlines() if line.strip()} == copied()


def test_only_what_is_copied_goes_to_the_engine():
    lines = (PROJECT / ".dockerignore").read_text().splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    assert rules[0] == "*"
    allowed = {rule[1:] for rule in rules if rule.startswith("!")}
    assert allowed == copied()
    assert any(fnmatch("segpipe/images/__pycache__", rule.replace("**/", "*/")) for rule in rules[1:])


@pytest.mark.parametrize("path", [DOCKERFILE, DEFINITION], ids=lambda path: path.name)
def test_no_index_is_named(path):
    """Which one pip asks is the builder's choice, by its own settings or by the build argument."""
    text = path.read_text()
    assert "://" not in text
    assert "--index-url" not in re.sub(r"^#.*\n", "", text, flags=re.M)

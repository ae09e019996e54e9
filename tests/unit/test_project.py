"""The project's own promises: files that must agree, and layers that imports must keep."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from segpipe.config import reference as config_reference
from segpipe.config.load import load_config
from segpipe.errors import ExitCode
from segpipe.images.types import Decisions
from segpipe.report.columns import report_columns
from tests.conftest import PROJECT

# From the top down; a module may import its own layer and those below.
WITHOUT_TORCH = [
    "cli",
    "samples.scan",
    "preprocess.stage",
    "dataset.stage",
    "score.stage",
    "report.stage",
    "audit.provenance",
    "images.dicom.read",
    "audit.explain",
    "audit.validate",
    "audit.status",
]


def test_nothing_in_the_package_knows_snakemake():
    for path in (PROJECT / "segpipe").rglob("*.py"):
        assert not re.search(r"^\s*(import|from) snakemake", path.read_text(), re.M), path


def test_no_reader_depends_on_pydicoms_plugins_which_only_the_tests_install():
    for path in (PROJECT / "segpipe").rglob("*.py"):
        assert not re.search(
            r"get_decoder|pixel_array|^\s*(import|from) (openjpeg|jpeg_ls|pylibjpeg)", path.read_text(), re.M
        ), path


@pytest.mark.parametrize("module", WITHOUT_TORCH)
def test_light_stages_start_without_torch(module):
    code = f"import sys, segpipe.{module}; print(sorted({{'torch', 'monai'}} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_environment_yml_has_the_ranges_of_pyproject():
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    python, pip, packages = yaml.safe_load((PROJECT / "environment.yml").read_text())["dependencies"]
    assert python == f"python{project['requires-python']}"
    assert pip == "pip"
    assert packages["pip"] == [*project["dependencies"], "-e ."]
    rules = yaml.safe_load((PROJECT / "workflow/envs/segpipe.yaml").read_text())["dependencies"]
    assert rules == [python, pip, {"pip": project["dependencies"]}]


def test_constraints_pin_every_dependency():
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    lines = (PROJECT / "constraints.txt").read_text().lower().replace("_", "-").splitlines()
    pinned = {line.split("==")[0] for line in lines if "==" in line}
    wanted = [*project["dependencies"], *project["optional-dependencies"]["dev"]]
    names = {re.split(r"[<>=!~\[ ]", name)[0].lower().replace("_", "-") for name in wanted}
    assert names - pinned == set()


def test_the_configs_reference_is_that_of_the_types():
    assert (PROJECT / "config/README.md").read_text() == config_reference.markdown()
    assert (PROJECT / "workflow/schemas/config.schema.json").read_text() == config_reference.schema()


@pytest.mark.parametrize("path", sorted((PROJECT / "config").rglob("*.yaml")), ids=lambda path: path.name)
def test_every_config_that_ships_is_valid(path):
    assert load_config(path).class_values


def test_every_decision_of_a_reader_is_a_column_of_the_report():
    columns = {column.name for column in report_columns(["lung"], [])}
    assert set(Decisions.__dataclass_fields__) <= columns


def test_help_imports_nothing_that_takes_long_and_every_verb_has_some():
    segpipe = str(Path(sys.executable).with_name("segpipe"))
    text = subprocess.run([segpipe, "--help"], capture_output=True, text=True, check=True).stdout
    code = "import sys, segpipe.cli; print(*{'numpy', 'pandas', 'pydantic', 'torch', 'monai'} & set(sys.modules))"
    slow = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert slow.split() == []
    verbs = re.findall(r"^│ ([\w-]+)  ", text, re.M)
    assert {"scan", "preprocess", "dataset", "train", "predict-shard", "score", "report", "check"} <= set(verbs)
    assert {"phantom", "doctor", "explain", "validate", "predict", "export", "verify", "clean"} <= set(verbs)


def test_the_exit_codes_are_documented():
    text = (PROJECT / "docs/cli.md").read_text()
    for code in ExitCode:
        assert re.search(rf"\|\s*{code.value}\s*\|", text), code

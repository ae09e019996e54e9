"""README and docs: what they link to and name exists."""

import re
import shlex
from typing import get_args

import pytest
import typer.main
import yaml
from pydantic import BaseModel

from segpipe.cli import app
from segpipe.config import Config
from segpipe.config.load import parse_config
from tests.conftest import PROJECT

PAGES = [PROJECT / "README.md", *sorted((PROJECT / "docs").glob("*.md")), PROJECT / "benchmarks/README.md"]
CLUSTER = PROJECT / "docs/cluster.md"
# Not keys of the config: names of files, and a key of summary.json.
FILES = {"csv", "html", "json", "parquet", "png", "pt", "py", "safetensors", "smk", "tsv", "txt"}
SUMMARY = {"unlabelled_copies_of_labelled"}


def anchors(path):
    """GitHub's names of the headings."""
    headings = re.findall(r"^#+ (.+)$", path.read_text(), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_headings_that_exist(page):
    links = re.findall(r"\]\((?!https?:)([^)#\s]*)(?:#([\w-]+))?\)", page.read_text())
    for name, anchor in links:
        target = (page.parent / name).resolve() if name else page
        assert target.exists(), name
        assert not anchor or anchor in anchors(target), f"{name}#{anchor}"


def test_every_page_is_in_the_index():
    index = (PROJECT / "docs/README.md").read_text()
    assert [page.name for page in PAGES[1:-1] if f"({page.name})" not in index and page.name != "README.md"] == []


def test_every_benchmark_that_is_listed_exists():
    listed = re.findall(r"^\| `(\w+\.py)`", PAGES[-1].read_text(), re.M)
    assert listed
    assert [name for name in listed if not (PROJECT / "benchmarks" / name).exists()] == []


def options(command):
    """All options of a verb, and of the verbs below it."""
    below = getattr(command, "commands", {}).values()
    return {name for each in [command, *below] for parameter in each.params for name in parameter.opts}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_verbs_have_the_options_that_are_named(page):
    verbs = typer.main.get_command(app).commands
    calls = re.findall(r"segpipe ([a-z]+(?:-[a-z]+)*)((?: [^\s`()|]+)*)", page.read_text())
    for verb, rest in calls:
        if verb in verbs:
            assert set(re.findall(r"(?<= )--[a-z-]+", rest)) <= options(verbs[verb]) | {"--help"}, verb


def sections(model):
    """Sections of the config by name."""
    for name, field in model.model_fields.items():
        for kind in (field.annotation, *get_args(field.annotation)):
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                yield name, kind


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_config_has_the_keys_that_are_named(page):
    keys = {name: set(kind.model_fields) | FILES | SUMMARY for name, kind in sections(Config)}
    named = re.findall(r"`(\w+)\.(\w+)\b", page.read_text())
    assert [f"{name}.{key}" for name, key in named if name in keys and key not in keys[name]] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_whole_configs_are_valid(page):
    for block in re.findall(r"^```yaml\n(.*?)^```", page.read_text(), re.M | re.S):
        values = yaml.safe_load(block)
        if {"classes", "data"} <= set(values):
            parse_config(values)


def test_the_profile_has_the_values_that_the_page_names():
    text, page = (PROJECT / "profiles/slurm/config.yaml").read_text(), CLUSTER.read_text()
    profile = yaml.safe_load(text)
    assert profile["slurm-jobname-prefix"] == "segpipe"
    assert f"`latency-wait: {profile['latency-wait']}`" in page
    assert f"`retries: {profile['retries']}`" in page
    assert f"`runtime: {profile['set-resources']['train']['runtime']}`" in page
    assert "--signal=TERM@120" in profile["set-resources"]["train"]["slurm_extra"]
    assert shlex.split(profile["set-resources"]["train"]["slurm_extra"]) == ["--signal=TERM@120"]


def test_the_config_has_the_masks_that_the_page_names():
    assert "`predict.masks: rle`" in CLUSTER.read_text()
    data = {"images": "{patient}.png", "masks": "m/{patient}.png"}
    assert parse_config({"classes": {"a": None}, "data": data, "predict": {"masks": "rle"}}).predict.masks == "rle"

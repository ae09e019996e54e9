"""docs/cluster.md and docs/gpu.md: what they name is there."""

import re
import shlex

import pytest
import typer.main
import yaml

from segpipe.cli import app
from segpipe.config.load import parse_config
from tests.conftest import PROJECT

PAGES = [PROJECT / "docs/cluster.md", PROJECT / "docs/gpu.md"]


def anchors(path):
    """GitHub's names of the headings."""
    headings = re.findall(r"^#+ (.+)$", path.read_text(), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_headings_that_are_there(page):
    links = re.findall(r"\]\(([^)#]*)(?:#([\w-]+))?\)", page.read_text())
    assert links
    for name, anchor in links:
        target = (page.parent / name).resolve() if name else page
        assert target.exists(), name
        assert not anchor or anchor in anchors(target), f"{name}#{anchor}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_verbs_have_the_options_that_are_named(page):
    verbs = typer.main.get_command(app).commands
    calls = re.findall(r"segpipe ([a-z]+(?:-[a-z]+)*)((?: [^\s`()]+)*)", page.read_text())
    known = [(verb, re.findall(r"--[a-z-]+", rest)) for verb, rest in calls if verb in verbs]
    assert known
    for verb, options in known:
        assert set(options) <= {name for parameter in verbs[verb].params for name in parameter.opts}, verb


def test_the_profile_has_the_keys_that_the_page_names():
    text, page = (PROJECT / "profiles/slurm/config.yaml").read_text(), PAGES[0].read_text()
    profile = yaml.safe_load(text)
    assert profile["slurm-jobname-prefix"] == "segpipe"
    assert f"`latency-wait: {profile['latency-wait']}`" in page
    assert f"`retries: {profile['retries']}`" in page
    assert "--signal=TERM@120" in profile["set-resources"]["train"]["slurm_extra"]
    assert shlex.split(profile["set-resources"]["train"]["slurm_extra"]) == ["--signal=TERM@120"]


def test_the_config_has_the_keys_that_the_page_names():
    assert "`predict.masks: rle`" in PAGES[0].read_text()
    data = {"images": "{patient}.png", "masks": "m/{patient}.png"}
    assert parse_config({"classes": {"a": None}, "data": data, "predict": {"masks": "rle"}}).predict.masks == "rle"

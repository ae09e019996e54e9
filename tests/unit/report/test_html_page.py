"""The page as a file: safe whatever texts it shows, the same every time, and whole without scripts."""

import base64
import hashlib
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest

from segpipe.report.page import page as page_module
from segpipe.report.page.run_facts import ModelFacts, read_facts
from tests.unit.report_page import HOSTILE, run_page, run_stage, run_table


class Elements(HTMLParser):
    """All elements with their attributes, the texts outside scripts, and the contents of scripts."""

    def __init__(self, html):
        super().__init__()
        self.found, self.text, self.scripts, self._inside = [], [], [], ""
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))
        self._inside = tag
        if tag == "script":
            self.scripts.append([dict(attrs), ""])

    def handle_data(self, data):
        if self._inside == "script":
            self.scripts[-1][1] += data
        elif self._inside != "style":
            self.text.append(data)

    def handle_endtag(self, tag):
        self._inside = ""


@pytest.fixture(scope="module")
def html():
    return run_page()


@pytest.fixture(scope="module")
def elements(html):
    return Elements(html)


def test_texts_of_the_run_become_no_elements(elements):
    assert HOSTILE in "".join(elements.text)
    assert [tag for tag, _ in elements.found if tag == "img"] == []
    assert [name for _, attrs in elements.found for name in attrs if name.startswith("on")] == []


def test_the_policy_allows_its_own_scripts_and_styles_only(html, elements):
    policy = next(attrs["content"] for _, attrs in elements.found if attrs.get("http-equiv"))
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    run = [text for attrs, text in elements.scripts if "type" not in attrs]
    style = re.search(r"<style>(.*?)</style>", html, re.S)[1]
    for text in [*run, style]:
        assert base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() in policy
    assert not [attrs for _, attrs in elements.found if "style" in attrs]


def test_nothing_is_fetched(elements):
    links = [attrs[key] for _, attrs in elements.found for key in ("src", "href") if key in attrs]
    assert links
    assert {link[:5] for link in links if not link.startswith("#")} == {"data:"}


def test_the_same_run_gives_the_same_bytes(html):
    assert run_page() == html


def test_every_label_leads_to_an_element(elements):
    ids = [attrs["id"] for _, attrs in elements.found if "id" in attrs]
    assert len(ids) == len(set(ids))
    wanted = {attrs["aria-labelledby"] for _, attrs in elements.found if "aria-labelledby" in attrs}
    assert wanted <= set(ids)


def test_without_scripts_headline_worst_cases_and_tables_are_there(elements):
    text = " ".join(" ".join(elements.text).split())
    assert "95 % interval over patients" in text
    cases = [attrs["data-case"] for tag, attrs in elements.found if tag == "figure" and "data-case" in attrs]
    assert cases[:3] == ["case09", "case08", "case07"]
    assert sum(tag == "image" for tag, _ in elements.found) == len(cases)
    assert f"has 3 {HOSTILE}" in text, "the reason of the quarantined"
    assert "Scripts are off" in text
    assert any(tag == "noscript" for tag, _ in elements.found)


def test_chinese_is_the_pages_language_where_the_config_says_so():
    html = run_page(run_stage(language="zh"))
    assert '<html lang="zh"' in html
    assert "最差的病例排在最前" in html


@pytest.mark.parametrize("table", [run_table(scored=0), run_table(scored=1), run_table(0)[lambda t: t["status"] == ""]])
def test_runs_with_few_images_have_a_page(table):
    text = "".join(Elements(run_page(table=table)).text)
    assert ("No image was scored" in text) == (not (table["status"] == "scored").any())


def test_columns_that_do_not_fit_are_named(monkeypatch):
    monkeypatch.setattr(page_module, "MOST_BYTES", 0)
    html = run_page()
    assert "these columns are in report.csv only" in html
    data = json.loads(next(text for attrs, text in Elements(html).scripts if attrs.get("id") == "page-data"))
    assert {column["name"] for column in data["columns"]} == {
        "image_id",
        "image",
        "patient",
        "status",
        "reason",
        "miou",
    }


def test_long_training_curves_leave_less_room_for_columns(monkeypatch):
    history = {"epoch": [float(epoch) for epoch in range(1, 60_000)]}
    facts = replace(read_facts(Path("nowhere"), {}), models=[ModelFacts("fold0", "unet", {}, "", history)])
    most = len(run_page(facts=facts).encode()) - 1
    monkeypatch.setattr(page_module, "MOST_BYTES", most)
    assert len(run_page(facts=facts).encode()) <= most


def test_the_run_is_described_without_its_paths(tmp_path):
    (tmp_path / "config").mkdir()
    (tmp_path / "config/preprocess.json").write_text(
        json.dumps({"root": "/home/me/secret", "preprocess": {"size": 64, "fit": "letterbox", "percentiles": [1, 99]}})
    )
    (tmp_path / "config/predict.json").write_text(json.dumps({"predict": {"threshold": 0.4, "mirror": True}}))
    train = {"model": {"weights": ["/home/me/secret/fold0"]}, "train": {"device": "cpu", "init": "/home/me/secret"}}
    (tmp_path / "config/train.json").write_text(json.dumps(train))
    html = run_page(facts=read_facts(tmp_path, {path.stem: path for path in (tmp_path / "config").iterdir()}))
    assert "secret" not in html
    assert "(left out)" in html
    assert "64 × 64 pixels" in html
    assert "thresholded at 0.4" in html
    assert "64 × 64 像素" in html


def test_a_finished_run_is_described_from_its_files(tmp_path):
    (tmp_path / "benchmarks/train").mkdir(parents=True)
    (tmp_path / "benchmarks/train/fold0.tsv").write_text("s\tmax_rss\tcpu_time\n10.5\t800.0\t20\n")
    (tmp_path / "benchmarks/train/fold1.tsv").write_text("s\tmax_rss\tcpu_time\n1.5\t-\tNA\n")
    (tmp_path / "benchmarks/report.tsv").write_text("s\tmax_rss\tcpu_time\n9\t9\t9\n")
    (tmp_path / "models/fold0").mkdir(parents=True)
    card = {"network": "unet", "provenance": {"seed": 7, "epochs": 2, "best_epoch": 1, "val_miou": 0.91234}}
    (tmp_path / "models/fold0/model.json").write_text(json.dumps(card))
    (tmp_path / "models/fold0/model.safetensors").write_bytes(b"weights")
    pd.DataFrame({"epoch": [1, 2], "val_miou": [0.9, None]}).to_csv(tmp_path / "models/fold0/history.csv", index=False)
    facts = read_facts(tmp_path, {})
    [time] = facts.times
    assert (time.rule, time.jobs, time.seconds, time.cpu_seconds, time.memory_mb) == ("train", 2, 12.0, 20.0, 800.0)
    [model] = facts.models
    assert model.sha256 == hashlib.sha256(b"weights").hexdigest()
    assert model.history == {"epoch": [1.0, 2.0], "val_miou": [0.9, None]}
    assert model.sha256 in run_page(facts=facts)

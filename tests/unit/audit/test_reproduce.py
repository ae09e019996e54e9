"""`segpipe reproduce`: what is compared, what is refused; Snakemake is played by a copy of the first run."""

import json
import shutil
import subprocess

import pytest
from typer.testing import CliRunner

from segpipe.audit import provenance
from segpipe.audit import reproduce as again
from segpipe.audit.provenance import write_provenance
from segpipe.audit.reproduce import compare_runs, config_again, prepare, run_again
from segpipe.cli import app
from segpipe.errors import ConfigError, DifferenceError, InputError
from tests.unit.finished import make_run

SHARDS = ["0000", "0001"]


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("reproduce"))


@pytest.fixture
def second(first, tmp_path):
    """What a run again leaves, if nothing differs."""
    shutil.copytree(first.folder, tmp_path / "again")
    return tmp_path / "again"


def edit(results, change):
    path = results / "provenance.json"
    record = json.loads(path.read_text())
    change(record)
    path.write_text(json.dumps(record))


def test_the_same_bytes_are_said_to_be_the_same(first, second):
    found = compare_runs(first.folder, second)
    assert not found.differs
    assert "every byte is the same" in found.text()
    assert found.compared > 20


@pytest.mark.parametrize("pattern", ["report.csv", "models/fold1/model.safetensors", "masks/**/*.lung.png"])
def test_a_byte_that_differs_names_its_file(first, second, pattern):
    path = min(second.glob(pattern))
    content = bytearray(path.read_bytes())
    content[-2] ^= 1
    path.write_bytes(content)
    found = compare_runs(first.folder, second)
    assert found.differs
    assert found.files == [path.relative_to(second).as_posix()]
    assert f"differs: {path.relative_to(second)}" in found.text()


def test_the_record_alone_is_enough_to_compare_hashes(first, second, tmp_path):
    (tmp_path / "sent").mkdir()
    shutil.copy(first.folder / "provenance.json", tmp_path / "sent")
    assert not compare_runs(tmp_path / "sent", second).differs
    edit(second, lambda record: record["same"]["weights"].update({"models/fold0": "0"}))
    assert compare_runs(tmp_path / "sent", second).files == ["models/fold0/model.safetensors"]


def test_another_archive_is_no_reproduction_however_near_the_scores_are(first, second):
    edit(second, lambda record: record["same"]["inputs"]["shards"]["0001"].update(sha256="0"))
    edit(second, lambda record: record["may_differ"]["software"].update(torch="9"))
    found = compare_runs(first.folder, second)
    assert found.inputs == ["inputs/0001"]
    assert found.differs


def with_other_scores(results, text):
    path = results / "report.csv"
    header, *rows = path.read_text().splitlines(keepends=True)
    place = header.strip().split(",").index("miou")
    chosen = next(number for number, row in enumerate(rows) if ",scored," in row)
    cells = rows[chosen].split(",")
    cells[place] = text(float(cells[place]))
    rows[chosen] = ",".join(cells)
    path.write_text("".join([header, *rows]))


@pytest.mark.parametrize(("by", "differs"), [(0.004, False), (0.02, True)])
def test_with_other_versions_scores_decide_and_the_versions_are_named(first, second, by, differs):
    with_other_scores(second, lambda miou: f"{miou + by:.6f}")
    assert compare_runs(first.folder, second).differs, "without another version, every byte counts"
    assert compare_runs(first.folder, second, tolerance=0.01).differs is differs
    edit(second, lambda record: record["may_differ"]["software"].update(torch="9"))
    found = compare_runs(first.folder, second)
    assert found.differs is differs
    assert "made with another torch" in found.text()
    assert "tolerance of 0.01" in found.text()
    assert ("miou: 1 of 12 images differ by more" in found.text()) is differs


def test_a_score_that_is_missing_now_is_beyond_any_tolerance(first, second):
    with_other_scores(second, lambda _: "")
    assert compare_runs(first.folder, second, tolerance=1).differs


def test_the_config_comes_from_the_run_and_only_its_place_is_another(first, tmp_path):
    config = config_again(first.folder, tmp_path / "out/again", None)
    assert (config["results"], config["name"]) == (str(tmp_path / "out"), "again")
    assert config["data"]["root"] == str(first.data.root)


def test_without_the_runs_own_config_the_archive_must_be_named(first, tmp_path):
    sent = tmp_path / "sent"
    sent.mkdir()
    shutil.copy(first.folder / "provenance.json", sent)
    with pytest.raises(ConfigError, match=r"data\.root cannot be known.*") as caught:
        config_again(sent, tmp_path / "again", None)
    assert "--root FOLDER" in str(caught.value)
    assert config_again(sent, tmp_path / "again", tmp_path)["data"]["root"] == str(tmp_path)


def test_a_dry_run_with_another_config_does_not_change_what_is_reproduced(first, second, tmp_path):
    (own,) = (second / "config").glob("provenance-*.json")
    other = own.with_name("provenance-0000000000000000.json")
    other.write_text(own.read_text().replace('"threshold": 0.5', '"threshold": 0.4'))
    assert '"threshold": 0.4' in other.read_text()
    assert config_again(second, tmp_path / "other", None)["predict"]["threshold"] == 0.5
    own.unlink()
    with pytest.raises(ConfigError, match="has no such config"):
        config_again(second, tmp_path / "other", None)


def test_no_folder_is_written_into_that_holds_something_else(first, tmp_path):
    config = config_again(first.folder, tmp_path / "again", None)
    for folder in (first.folder, first.folder / "masks", first.folder.parent):
        with pytest.raises(InputError, match="must stay as it is"):
            prepare(first.folder, folder, config)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/thesis.tex").touch()
    with pytest.raises(InputError, match="holds something else"):
        prepare(first.folder, tmp_path / "mine", config)
    path = prepare(first.folder, tmp_path / "again", config)
    assert prepare(first.folder, tmp_path / "again", config) == path, "the same command goes on"


def test_without_a_snakefile_it_says_where_to_get_one(tmp_path, monkeypatch):
    monkeypatch.setattr(again, "project_folder", lambda: None)
    with pytest.raises(InputError, match="has no Snakefile"):
        run_again(tmp_path / "config.json", 1, None)


@pytest.mark.parametrize(("damaged", "code"), [("", 0), ("report.csv", 7)])
def test_the_verb_runs_and_compares_and_leaves_the_first_run_alone(first, tmp_path, monkeypatch, damaged, code):
    output, called = tmp_path / "again", []

    def snakemake(command, check):
        called.append(command)
        shutil.copytree(first.folder, output, dirs_exist_ok=True)
        if damaged:
            (output / damaged).write_bytes((output / damaged).read_bytes() + b"\n")
        write_provenance(first.model_copy(update={"results": tmp_path, "name": "again"}), output, SHARDS)
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(again.subprocess, "run", snakemake)
    monkeypatch.setattr(provenance, "_git", lambda project: {})
    before = {path: path.stat().st_mtime_ns for path in first.folder.rglob("*")}
    done = CliRunner().invoke(app, ["reproduce", str(first.folder), "--output", str(output), "--cores", "1"])
    assert called[0][-2:] == ["--configfile", str(output / "reproduce.json")]
    if damaged:
        assert isinstance(done.exception, DifferenceError)
        assert done.exception.exit_code == code
        assert f"differs: {damaged}" in done.output
    else:
        assert done.exit_code == code, done.output
        assert "every byte is the same" in done.output
    assert {path: path.stat().st_mtime_ns for path in first.folder.rglob("*")} == before

"""What is listed and removed, and what never is."""

import os
import shutil
import time

import pytest
from typer.testing import CliRunner

from segpipe.audit.clean import find_unused, freed, listing, remove, remove_all
from segpipe.cli import app
from segpipe.errors import InputError
from segpipe.preprocess.reuse import kept_as, list_kept
from segpipe.samples.scan import begin, scan
from tests.unit.samples.configs import write_config

GONE = [
    "shards/0009", "masks/0009", "predictions/0009.parquet",
    "scores/0009.parquet", "logs/preprocess/0009.log", "benchmarks/score/0009.tsv", "models/fold7",
    "models/fold0-r2", "models/fold0/checkpoints/superseded-12345678.pt", "compare/old-dice-all", "repeats/2",
]  # fmt: skip
USED = [
    "shards/0000", "masks/0000", "masks/0001", "predictions/0000.parquet", "scores/0001.parquet", "report.csv",
    "models/fold0/model.json", "models/fold1", "models/fold0/checkpoints/last.pt", "models/fold0/checkpoints/best.pt",
    "logs/preprocess/0000.log", "shards/notes", "my figures", "lr-find/fold0", "dataset/dataset.parquet",
]  # fmt: skip


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A config, and its results folder with what is used and what is not."""
    monkeypatch.chdir(tmp_path)
    config = write_config(tmp_path)
    planned = scan(config)
    assert set(planned.shards) == {"0000", "0001"}
    begin(config, planned)
    for name in [*GONE, *USED]:
        path = config.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix:
            path.write_bytes(b"x" * 1000)
        else:
            (path / "inside").mkdir(parents=True, exist_ok=True)
            (path / "inside/file").write_bytes(b"x" * 500)
    return config


def found(run, config="config.json"):
    return [each.path.relative_to(run.folder).as_posix() for each in find_unused(run.folder.parent.parent / config)]


def test_what_nothing_names_is_listed_with_its_size_and_removed_and_nothing_else(run):
    listed = find_unused(run.folder.parent.parent / "config.json")
    assert sorted(GONE) == sorted(found(run))
    text = listing(listed)
    assert "    1.0 KB  " in text
    assert "masks/0009: its shard is gone" in text
    before = sorted(run.folder.rglob("*"))
    remove_all(listed)
    gone = [run.folder / name for name in GONE]
    assert sorted(run.folder.rglob("*")) == [
        path for path in before if not any(path.is_relative_to(each) for each in gone)
    ]
    assert listing(find_unused(run.folder.parent.parent / "config.json")) == "Nothing is unused."


def test_tables_and_configs_that_only_other_plans_name_go(run, tmp_path):
    own = {path for folder in ("samples", "config") for path in (run.folder / folder).iterdir()}
    other = write_config(tmp_path, report={"title": "Another"}, data={**run.data.model_dump(mode="json"), "shards": 1})
    scan(other)
    write_config(tmp_path)
    planned = {path for folder in ("samples", "config") for path in (run.folder / folder).iterdir()} - own
    listed = {each.path for each in find_unused(tmp_path / "config.json")}
    assert {path.name.partition("-")[0] for path in planned} >= {"0000", "report", "provenance", "scan"}
    assert planned <= listed
    assert not own & listed


def test_seeds_and_variants_of_the_config_stay(run, tmp_path):
    write_config(tmp_path, train={"repeats": 2}, compare={"losses": ["dice"], "networks": {"old": {"network": "unet"}}})
    assert {"models/fold0-r2", "repeats/2", "compare/old-dice-all"}.isdisjoint(found(run))
    assert "models/fold7" in found(run)


def test_a_given_model_stays_wherever_it_lies(run, tmp_path):
    write_config(tmp_path, model={"weights": [str(run.folder / "models/fold7")]})
    listed = found(run)
    assert "models/fold7" not in listed
    assert {"models/fold0", "models/fold1", "dataset/dataset.parquet"} <= set(listed)
    (tmp_path / "link").symlink_to(run.folder / "models/fold0")
    write_config(tmp_path, model={"weights": [str(tmp_path / "link")]})
    assert "models/fold0" not in found(run)
    write_config(tmp_path, model={"init": str(run.folder / "models/fold7")})
    assert "models/fold7" not in found(run)


def test_links_are_removed_and_never_followed(run, tmp_path):
    outside = tmp_path / "outside"
    (outside / "0009").mkdir(parents=True)
    (outside / "0009/precious").write_text("x")
    shutil.rmtree(run.folder / "shards/0009")
    (run.folder / "shards/0009").symlink_to(outside / "0009")
    (run.folder / "masks/0009/inside/link").symlink_to(outside)
    shutil.rmtree(run.folder / "scores")
    (run.folder / "scores").symlink_to(outside)
    listed = find_unused(tmp_path / "config.json")
    assert not any("scores" in each.path.parts for each in listed), "behind a link nothing is looked at"
    assert freed([run.folder / "shards/0009"]) == 0
    remove_all(listed)
    assert not (run.folder / "shards/0009").is_symlink()
    assert (outside / "0009/precious").exists()
    assert (run.folder / "scores").is_symlink()


def store(run, shard, table, age=0.0):
    folder = kept_as(run.folder / "kept", shard, "a" * 16, table).folder
    folder.mkdir(parents=True)
    (folder / "images.npy").write_bytes(b"x" * 100)
    os.utime(folder, (time.time() - age,) * 2)
    return folder


def test_kept_stores_wait_until_every_shard_has_its_own(run):
    tables = scan(run).shards
    old = store(run, "0000", "b" * 16)
    store(run, "0000", tables["0000"])
    assert not any(name.startswith("kept/") for name in found(run)), "shard 0001 may still want its rows"
    store(run, "0001", tables["0001"])
    assert [name for name in found(run) if name.startswith("kept/")] == [f"kept/{old.name}"]
    remove_all(find_unused(run.folder.parent.parent / "config.json"))
    assert len(list_kept(run.folder / "kept")) == 2


def test_half_made_stores_of_killed_jobs_go_after_a_day(run):
    for name, days in (("young", 0.5), ("old", 2)):
        folder = run.folder / f"kept/.{name}"
        folder.mkdir(parents=True)
        os.utime(folder, (time.time() - days * 86_400,) * 2)
    assert [name for name in found(run) if name.startswith("kept/")] == ["kept/.old"]


def test_a_file_with_another_name_elsewhere_frees_nothing(tmp_path):
    first, second = tmp_path / "a", tmp_path / "b"
    first.write_bytes(b"x" * 10)
    os.link(first, second)
    assert (freed([first]), freed([first, second])) == (0, 10)


def test_nothing_is_removed_while_snakemake_runs(run, tmp_path):
    (tmp_path / ".snakemake/locks").mkdir(parents=True)
    (tmp_path / ".snakemake/locks/0.input.lock").touch()
    with pytest.raises(InputError, match="--unlock"):
        remove_all(find_unused(tmp_path / "config.json"))
    assert (run.folder / "shards/0009").exists()


def test_a_file_that_is_gone_already_is_no_error(tmp_path):
    remove(tmp_path / "none")


def test_the_verb_lists_and_removes_only_when_told(run, tmp_path):
    def call(*options):
        return CliRunner().invoke(app, ["clean", str(tmp_path / "config.json"), *options])

    assert call().exit_code == 2
    done = call("--unused")
    assert done.exit_code == 0
    assert "shards/0009" in done.output
    assert "Nothing was removed; --yes removes it." in done.output
    assert (run.folder / "shards/0009").exists()
    assert f"{len(GONE)} removed" in call("--unused", "--yes").output
    assert not (run.folder / "shards/0009").exists()
    assert "Nothing is unused." in call("--unused", "--yes").output

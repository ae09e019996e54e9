"""Each kind of damage to a finished run is found, and named; an intact run is said to be so."""

import csv
import os
import shutil
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from segpipe.audit.verify import command
from segpipe.audit.verify.command import verify_config
from segpipe.audit.verify.run import KINDS, Finding
from segpipe.cli import app
from segpipe.config.load import load_config
from segpipe.config.stages import stage_name
from segpipe.errors import DifferenceError
from tests.unit.finished import IMAGES, make_run


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("verify")
    return folder, make_run(folder)


@pytest.fixture
def run(made):
    """The folder of the run; afterwards all is as it was, whatever a test did to it."""
    folder, config = made
    before = folder.with_name("before")
    shutil.copytree(folder, before)
    yield config.folder
    shutil.rmtree(folder)
    before.rename(folder)


def verify(run, **options):
    return verify_config(run.parent.parent / "config.yaml", **options)


def found(run, **options):
    """Kind, file (below the run's folder or data.root) and image of each difference."""
    tally = verify(run, **options)
    assert all(finding.advice and finding.problem for finding in tally.findings)
    return sorted((each.kind, str(each.file).removeprefix(f"{run}/"), each.image_id) for each in tally.findings)


def flip(path, place=-1):
    """Change one bit, but neither size nor time."""
    status, content = path.stat(), bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def shard_of(run, image_id):
    return next(path.stem for path in (run / "scores").iterdir() if image_id in set(pd.read_parquet(path)["image_id"]))


def scored(run):
    """Shard and name of an image that is scored."""
    shard = min(path.stem for path in (run / "scores").iterdir())
    return shard, str(pd.read_parquet(run / f"scores/{shard}.parquet")["image_id"].iloc[0])


def test_an_intact_run_is_said_to_be_so_and_nothing_is_written(run):
    before = {path: path.stat().st_mtime_ns for path in run.parent.parent.rglob("*")}
    tally = verify(run, cores=2)
    assert tally.findings == []
    assert set(tally.compared) == set(KINDS)
    assert tally.compared["input"] == tally.compared["store"] == IMAGES
    assert tally.compared["scores"] == tally.compared["recount"] > 0
    assert "differ" not in tally.text()
    assert {path: path.stat().st_mtime_ns for path in run.parent.parent.rglob("*")} == before


def test_a_changed_input_is_named_and_snakemake_would_not_see_it(run, made):
    _, image_id = scored(run)
    (image,) = (made[0] / "data/images").glob(f"{image_id}.*")
    flip(image, 200)
    assert found(run) == [("input", f"images/{image.name}", image_id)]
    assert found(run, with_inputs=False) == []
    (finding,) = verify(run).of("input")
    assert "another hash" in finding.problem
    assert "`touch`" in finding.advice
    os.utime(image)
    (finding,) = verify(run).of("input")
    assert "`touch`" not in finding.advice
    image.unlink()
    assert [finding.problem for finding in verify(run).of("input")] == ["is missing"]


def test_a_changed_reference_is_named_among_several(run, made):
    _, image_id = scored(run)
    lung, heart = (made[0] / f"data/masks/{name}/{image_id}.png" for name in ("lung", "heart"))
    lung.write_bytes(lung.read_bytes() + b" ")
    assert found(run) == [("input", f"masks/lung/{image_id}.png", image_id)]
    heart.write_bytes(lung.read_bytes())
    kinds = found(run)
    assert ("input", f"masks/heart/{image_id}.png", image_id) in kinds
    assert ("recount", f"scores/{shard_of(run, image_id)}.parquet", image_id) in kinds


def test_a_link_out_of_the_data_is_not_followed(run, made, tmp_path):
    _, image_id = scored(run)
    (image,) = (made[0] / "data/images").glob(f"{image_id}.*")
    image.rename(tmp_path / "outside")
    image.symlink_to(tmp_path / "outside")
    (finding,) = verify(run).of("input")
    assert "leads out of" in finding.problem


@pytest.mark.parametrize("name", ["images.npy", "masks.npy"])
def test_a_flipped_bit_of_a_store_is_found_in_its_row(run, name):
    shard, image_id = scored(run)
    row = pd.read_parquet(run / f"shards/{shard}/table.parquet").set_index("image_id").index.get_loc(image_id)
    path = run / f"shards/{shard}/{name}"
    flip(path, 128 + row * 64 * 64 + 17)
    assert found(run) == [("store", f"shards/{shard}/{name}", image_id)]


def test_a_truncated_store_and_one_of_other_rows_are_found(run):
    shard, _ = scored(run)
    path = run / f"shards/{shard}/images.npy"
    content = path.read_bytes()
    path.unlink()
    path.write_bytes(content[:-100])
    assert found(run) == [("store", f"shards/{shard}/images.npy", "")]
    path.unlink()
    assert found(run) == [("store", f"shards/{shard}/images.npy", "")]


TABLES = ["shards/{shard}/table.parquet", "scores/{shard}.parquet", "predictions/{shard}.parquet",
          "dataset/dataset.parquet"]  # fmt: skip


@pytest.mark.parametrize("table", TABLES)
def test_a_flipped_bit_of_a_table_is_found_by_its_checksum(run, table):
    path = run / table.format(shard=scored(run)[0])
    flip(path, 200)
    assert path.relative_to(run).as_posix() in {file for _, file, _ in found(run)}


@pytest.mark.parametrize("table", TABLES)
def test_a_missing_table_is_named_and_the_rest_still_compared(run, table):
    path = run / table.format(shard=scored(run)[0])
    path.unlink()
    tally = verify(run)
    assert path.relative_to(run).as_posix() in {file for _, file, _ in found(run)}
    assert tally.compared["weights"] == 2


def test_a_mask_that_changed_or_is_gone_is_named(run):
    shard, image_id = scored(run)
    path = run / f"masks/{shard}/{image_id}.lung.png"
    flip(path, -20)
    assert ("mask", f"masks/{shard}", image_id) in found(run)
    assert path.name in verify(run).of("mask")[0].problem
    path.unlink()
    assert ("mask", f"masks/{shard}", image_id) in found(run)
    assert verify(run).of("mask")[0].problem == f"{path.name} is missing"
    assert any("cannot be counted again" in finding.problem for finding in verify(run).of("recount"))


def test_weights_that_changed_are_named(run):
    path = run / "models/fold1/model.safetensors"
    flip(path)
    assert found(run) == [("weights", "models/fold1/model.safetensors", "")]
    path.unlink()
    assert found(run) == [("weights", "models/fold1/model.safetensors", "")]
    (path.parent / "model.json").write_text("{")
    assert found(run) == [("weights", "models/fold1/model.json", "")]


def test_scores_that_do_not_follow_from_their_counts_are_named(run):
    shard, image_id = scored(run)
    path = run / f"scores/{shard}.parquet"
    table = pd.read_parquet(path)
    table.loc[0, "miou"] += 1e-9
    table.to_parquet(path)
    assert ("scores", f"scores/{shard}.parquet", image_id) in found(run)


def test_counts_that_do_not_follow_from_the_masks_are_named_though_their_scores_fit(run):
    shard, image_id = scored(run)
    path = run / f"scores/{shard}.parquet"
    table = pd.read_parquet(path)
    table.loc[0, ["tn_lung", "tn_heart"]] += 1
    table.to_parquet(path)
    assert ("recount", f"scores/{shard}.parquet", image_id) in found(run)
    assert not any(kind == "recount" for kind, _, _ in found(run, recounted=0))


def test_an_image_without_its_score_is_named(run):
    shard, image_id = scored(run)
    path = run / f"scores/{shard}.parquet"
    pd.read_parquet(path).iloc[1:].to_parquet(path, index=False)
    assert ("scores", f"scores/{shard}.parquet", image_id) in found(run)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda path: path.unlink(), "No such file"),
        (lambda path: path.write_bytes(path.read_bytes()[:-9]), "cannot be read (ArrowInvalid)"),
        (lambda path: pd.read_parquet(path).iloc[1:].to_parquet(path), "is not the table of report.csv"),
    ],
)
def test_a_changed_report_parquet_is_found(change, problem, run):
    change(run / "report.parquet")
    (finding,) = verify(run, with_inputs=False).of("report")
    assert str(finding.file).endswith("report.parquet")
    assert problem in finding.problem


def test_a_changed_cell_of_the_report_is_named_with_its_column(run):
    path = run / "report.csv"
    lines = path.read_text().splitlines(keepends=True)
    _, image_id = scored(run)
    number = next(number for number, line in enumerate(lines) if line.startswith(f"{image_id},"))
    (cells,) = csv.reader([lines[number]])
    (header,) = csv.reader([lines[0]])
    changed = lines[number].replace(cells[header.index("miou")], "0.999999", 1)
    path.write_text("".join([*lines[:number], changed, *lines[number + 1 :]]))
    (finding,) = verify(run).of("report")
    assert (finding.file, finding.image_id) == (path, image_id)
    assert "miou is '0.999999' instead of" in finding.problem
    path.write_text("".join(lines[:-1]))
    assert any("the file ends here" in finding.problem for finding in verify(run).of("report"))


def test_a_changed_summary_is_found(run):
    path = run / "summary.json"
    path.write_text(path.read_text().replace('"median"', '"Median"', 1))
    assert found(run) == [("report", "summary.json", "")]


def test_a_dataset_that_is_older_than_its_shards_is_found(run):
    path = run / "dataset/dataset.parquet"
    table = pd.read_parquet(path)
    table.loc[0, "content"] = "other"
    table.to_parquet(path)
    assert {file for kind, file, _ in found(run) if kind == "dataset"} == {"dataset/dataset.parquet"}
    assert len(verify(run).of("dataset")) == 2, "its fingerprint, and the rows of a shard"


def test_a_sample_table_or_stage_config_that_somebody_edited_is_found(run):
    (path,) = (run / "samples").glob("0000-*.csv")
    path.write_text(path.read_text().replace("\n", ",x\n", 1))
    assert ("config", f"samples/{path.name}", "") in found(run)


def test_groups_csv_and_what_provenance_json_says_are_held_against_each_other(run):
    flip(run / "groups.csv", 3)
    assert found(run) == [("provenance", "provenance.json", "")]
    (finding,) = verify(run).of("provenance")
    assert finding.problem == "outputs: groups.csv is not what the run has"


def test_a_run_without_provenance_json_is_as_good_as_before(run):
    (run / "provenance.json").unlink()
    assert found(run) == []


def test_another_config_than_the_runs_is_said_to_be_one(run, made):
    path = made[0] / "config.yaml"
    path.write_text(path.read_text().replace('"engine"', '"threshold": 0.4, "engine"'))
    assert load_config(path).predict.threshold == 0.4
    assert [stage_name(Path(file)) for _, file, _ in found(run)] == ["predict", "provenance"]


def test_the_verb_prints_writes_and_ends_with_its_own_exit_code(run, made, tmp_path):
    config, rows = str(made[0] / "config.yaml"), tmp_path / "rows.csv"
    done = CliRunner().invoke(app, ["verify", config, "--cores", "1", "--output", str(rows)])
    assert done.exit_code == 0, done.output
    assert f"images, with their masks, as they were read: {IMAGES} compared, all alike" in done.output
    assert rows.read_text() == "kind,file,problem,advice,image_id\n"
    shard, image_id = scored(run)
    (run / f"masks/{shard}/{image_id}.lung.png").unlink()
    done = CliRunner().invoke(app, ["verify", config, "--no-inputs", "--output", str(rows)])
    assert isinstance(done.exception, DifferenceError)
    assert done.exception.exit_code == 7
    assert "as they were read: left out" in done.output
    assert {row["image_id"] for row in csv.DictReader(rows.read_text().splitlines())} == {image_id}


def test_only_the_first_findings_are_printed_but_all_are_counted_and_written(run, tmp_path, monkeypatch):
    monkeypatch.setattr(command, "_MOST", 3)
    for path in (run / "masks").rglob("*.png"):
        path.unlink()
    tally = verify(run, recounted=0)
    tally.write(tmp_path / "rows.csv")
    (line,) = (line for line in tally.text().splitlines() if " more (--output" in line)
    assert line == f"  and {len(tally.of('mask')) - 3} more (--output FILE writes all of them)"
    assert len((tmp_path / "rows.csv").read_text().splitlines()) == 1 + len(tally.findings)


def test_an_advice_names_file_and_folder_whatever_characters_they_have():
    assert Finding("store", "a{b}/images.npy", "").advice.startswith("Delete a{b} and run")
    assert Finding("mask", "a{b}", "", "", "Delete a{b}/0000.parquet").advice == "Delete a{b}/0000.parquet"

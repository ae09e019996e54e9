"""Rows that are taken over from before: the result is, byte by byte, that of reading everything again."""

import logging
import os
import shutil
from contextlib import contextmanager
from dataclasses import replace

import cv2
import numpy as np
import pandas as pd
import pytest

from segpipe.config.load import parse_config
from segpipe.config.stages import stage_configs
from segpipe.demo.render import phantom_arrays
from segpipe.log import logger
from segpipe.preprocess.reuse import kept_as, list_kept, of_use, remove_unused, unused
from segpipe.preprocess.stage import preprocess_shard
from segpipe.preprocess.store import FILES
from segpipe.samples.sample import Sample
from segpipe.samples.scan import read_scan, scan
from tests.unit.images.pictures import asymmetric, dicom_file

SIZE = 64


def picture(path, seed, invert=False):
    pixels, masks = phantom_arrays(seed, (80, 72))
    for folder, values in (("images", 1 - pixels if invert else pixels), ("masks", masks["lung"])):
        file = path / folder / f"p{seed}_pa.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(file), np.rint(values * 255).astype(np.uint8))


class Archive:
    """A few phantoms, and a results folder in which shards are preprocessed as the workflow does."""

    def __init__(self, folder, monkeypatch):
        self.folder, self.read, self.values = folder, [], {}
        for seed in range(4):
            picture(folder / "data", seed)
        monkeypatch.setattr("segpipe.preprocess.read.isolated_map", self.map_here)

    @contextmanager
    def map_here(self, prepare, arguments, items, limits, workers):
        """What ``isolated_map`` does, in this process, noting what is read."""
        read = prepare(*arguments)
        yield (self.read.append(sample.image) or read(sample) for sample in items)

    def config(self, **data):
        root = data.pop("root", self.folder / "data")
        images = {"images": "images/{patient}_{view}.png", "masks": {"lung": "masks/{patient}_{view}.png"}}
        values = {"root": str(root), **(data if "images" in data else {**images, **data})}
        sections = {"preprocess": {"size": SIZE}, "model": {"weights": "w"}, "results": str(self.folder / "results")}
        return parse_config({"classes": {"lung": None}, "data": values, **sections, **self.values})

    def run(self, *only, kept=True, **data):
        """Preprocess the shards (those that ``only`` names); what was read, and the bytes of all stores."""
        config = self.config(**data)
        found = scan(config)
        stage = stage_configs(config, [])["preprocess"]
        self.read.clear()
        for shard in only or found.shards:
            folder = config.folder / ("shards" if kept else "anew") / shard
            for name in FILES:  # as Snakemake does
                (folder / name).unlink(missing_ok=True)
            preprocess_shard(
                stage, config.folder / found.table(shard), folder, config.folder / "kept" if kept else None
            )
        self.kept = config.folder / "kept"
        return sorted(self.read), {
            str(path.relative_to(config.folder / ("shards" if kept else "anew"))): path.read_bytes()
            for shard in found.shards
            for path in sorted((config.folder / ("shards" if kept else "anew") / shard).iterdir())
        }

    def same_as_anew(self, stores, **data):
        return stores == self.run(kept=False, **data)[1]


@pytest.fixture
def archive(tmp_path, monkeypatch):
    return Archive(tmp_path, monkeypatch)


@pytest.fixture
def lines(monkeypatch):
    found = []

    class Collector(logging.Handler):
        def emit(self, record):
            found.append(record.getMessage())

    monkeypatch.setattr(logger, "handlers", [Collector()])
    monkeypatch.setattr(logger, "level", logging.INFO)
    return found


def test_what_did_not_change_is_taken_over_and_the_bytes_are_the_same(archive, lines):
    read, first = archive.run()
    assert len(read) == 4
    assert archive.run() == ([], first)
    assert "shard 0000: 4 images, 4 taken over unchanged, 0 read; 4 labelled, 0 quarantined" in lines
    assert archive.same_as_anew(first)


def test_one_image_added_changed_or_removed_reads_that_image_only(archive):
    archive.run()
    picture(archive.folder / "data", 9)
    read, stores = archive.run()
    assert read == ["images/p9_pa.png"]
    assert archive.same_as_anew(stores)
    shutil.copy(archive.folder / "data/images/p1_pa.png", archive.folder / "data/images/p0_pa.png")
    (archive.folder / "data/masks/p0_pa.png").write_bytes((archive.folder / "data/masks/p2_pa.png").read_bytes())
    read, stores = archive.run()
    assert read == ["images/p0_pa.png"], "the picture is known, but not with this mask"
    (archive.folder / "data/images/p2_pa.png").unlink()
    read, stores = archive.run()
    assert read == []
    assert archive.same_as_anew(stores)


def test_a_corrected_mask_reads_its_image_again(archive):
    archive.run()
    shutil.copy(archive.folder / "data/masks/p1_pa.png", archive.folder / "data/masks/p0_pa.png")
    read, stores = archive.run()
    assert read == ["images/p0_pa.png"]
    assert archive.same_as_anew(stores)
    (archive.folder / "data/masks/p0_pa.png").unlink()
    assert archive.run()[0] == ["images/p0_pa.png"], "an image that lost its mask is another row"


def test_moved_and_renamed_files_are_found_again_with_their_new_names(archive):
    archive.run()
    (archive.folder / "data").rename(archive.folder / "elsewhere")
    root = archive.folder / "elsewhere"
    read, stores = archive.run(root=root)
    assert read == []
    assert archive.same_as_anew(stores, root=root)
    for folder in ("images", "masks"):
        for path in (root / folder).iterdir():
            path.rename(path.with_name(path.name.replace("p", "patient-", 1)))
    read, stores = archive.run(root=root)
    assert read == []
    assert archive.same_as_anew(stores, root=root)
    table = pd.read_parquet(archive.kept.parent / "shards/0000/table.parquet")
    assert all(name.startswith("patient-") for name in table["image_id"])


def test_other_numbers_of_shards_find_their_rows_in_other_shards(archive):
    _, first = archive.run(shards=2)
    for count in (8, 4, 1, 2):
        read, stores = archive.run(shards=count)
        assert read == []
        assert archive.same_as_anew(stores, shards=count)
    assert stores == first
    assert {kept.shard for kept in list_kept(archive.kept)} == {"0000", "0001"}, "nothing is left of other numbers"


def test_rows_wait_for_the_shard_that_they_moved_to(archive):
    """Doubling: the first job may not throw away what the second will look for."""
    archive.run(shards=1)
    shards = list(scan(archive.config(shards=8)).shards)
    assert len(shards) > 1
    for shard in shards:
        assert archive_reads(archive, shard, shards=8) == []
    assert len(list_kept(archive.kept)) == len(shards)


def archive_reads(archive, shard, **data):
    config = archive.config(**data)
    stage = stage_configs(config, [])["preprocess"]
    archive.read.clear()
    table = config.folder / read_scan(config).table(shard)
    preprocess_shard(stage, table, config.folder / "shards" / shard, config.folder / "kept")
    return list(archive.read)


def test_a_row_that_serves_two_copies_does_not_count_for_one_that_waits(archive):
    archive.run(shards=1)
    for folder in ("images", "masks"):
        shutil.copy(archive.folder / f"data/{folder}/p0_pa.png", archive.folder / f"data/{folder}/p9_pa.png")
        (archive.folder / f"data/{folder}/p1_pa.png").unlink()
    config = archive.config(shards=1)
    found = scan(config)
    more = replace(found, shards={**found.shards, "0001": "c" * 16})  # yet to be made, and may want the row of p1
    (config.folder / more.file).write_text(more.text)
    assert archive_reads(archive, "0000", shards=1) == []
    assert len(list_kept(archive.kept)) == 2


@pytest.mark.parametrize(
    "values",
    [
        {"preprocess": {"size": SIZE, "fit": "stretch"}},
        {"classes": {"lung": [255]}},
        {"dicom": {"voi": "none"}},
    ],
)
def test_other_settings_read_everything_and_leave_nothing_of_the_old_ones(archive, values):
    archive.run()
    archive.values = values
    read, stores = archive.run()
    assert len(read) == 4
    assert archive.same_as_anew(stores)
    assert len(list_kept(archive.kept)) == 1


def test_another_version_of_a_decoder_reads_everything(archive, monkeypatch):
    archive.run()
    monkeypatch.setattr("segpipe.preprocess.reuse.cv2.__version__", "0")
    assert len(archive.run()[0]) == 4


def test_limits_and_links_decide_no_pixel(archive):
    archive.run()
    assert archive.run(seconds_per_image=3, links="follow")[0] == []


def sheet(archive, **columns):
    rows = [",".join(["image", *columns])]
    rows += [
        f"images/p{seed}_pa.png,{','.join(cells)}" for seed, cells in enumerate(zip(*columns.values(), strict=True))
    ]
    (archive.folder / "data/sheet.csv").write_text("\n".join(rows))
    return {"images": [], "sheet": "sheet.csv"}


def test_the_sheets_word_on_polarity_is_part_of_the_cache_key(archive):
    archive.run(**sheet(archive, invert=["", "true", "false", ""]))
    data = sheet(archive, invert=["", "", "false", ""])
    read, stores = archive.run(**data)
    assert read == ["images/p1_pa.png"]
    assert archive.same_as_anew(stores, **data)


def test_what_the_sheet_says_of_an_image_is_of_today(archive):
    archive.run(**sheet(archive, patient=list("abcd"), site=list("nnss"), note=["1", "2", "", "x"]))
    data = sheet(archive, patient=list("abce"), site=list("nsss"), note=["1", "", "", "y"], more=list("1234"))
    read, stores = archive.run(**data)
    assert read == []
    assert archive.same_as_anew(stores, **data)
    table = pd.read_parquet(archive.kept.parent / "shards/0000/table.parquet").sort_values("image")
    assert list(table["site"]) == list("nsss")
    assert list(table["carried:more"]) == list("1234")


def test_a_key_made_of_the_patient_id_is_taken_over_under_the_same_salt_only(archive):
    (archive.folder / "data/dicom").mkdir()
    for number in range(2):
        (archive.folder / f"data/dicom/{number}.dcm").write_bytes(
            dicom_file(asymmetric() + number, 8, PatientID="Doe" if number else "")
        )
    for name in ("salt", "other"):
        (archive.folder / name).write_text(name)
    data = {"images": "dicom/{file}.dcm", "patient_salt_file": str(archive.folder / "salt")}
    _, first = archive.run(**data)
    shutil.copy(archive.folder / "salt", archive.folder / "copy")
    assert archive.run(**data | {"patient_salt_file": str(archive.folder / "copy")}) == ([], first)
    data["patient_salt_file"] = str(archive.folder / "other")
    read, stores = archive.run(**data)
    assert read == ["dicom/1.dcm"], "only the file can tell its Patient ID; the other has none"
    assert archive.same_as_anew(stores, **data)


def test_a_dicom_file_whose_patient_is_named_no_more_is_read_again(archive):
    (archive.folder / "data/dicom").mkdir()
    (archive.folder / "data/dicom/p_1.dcm").write_bytes(dicom_file(asymmetric(), 8))
    archive.run(images="dicom/{patient}_{view}.dcm")
    data = {"images": "dicom/{file}.dcm"}
    read, stores = archive.run(**data)
    assert read == ["dicom/p_1.dcm"]
    assert archive.same_as_anew(stores, **data)
    assert archive.run(images="dicom/{patient}_{view}.dcm")[0] == []


def test_a_quarantined_image_is_read_again(archive):
    (archive.folder / "data/images/p0_pa.png").write_bytes(b"\x89PNG\r\n\x1a\n damaged")
    archive.run()
    picture(archive.folder / "data", 7)
    read, stores = archive.run()
    assert read == ["images/p0_pa.png", "images/p7_pa.png"]
    assert archive.same_as_anew(stores)


def test_a_link_out_of_the_root_is_not_taken_over(archive, tmp_path):
    archive.run(links="follow")
    path = archive.folder / "data/images/p0_pa.png"
    path.rename(tmp_path / "outside.png")
    path.symlink_to(tmp_path / "outside.png")
    read, stores = archive.run()
    assert read == ["images/p0_pa.png"]
    assert archive.same_as_anew(stores)


def test_a_pipe_of_the_same_name_blocks_nothing(archive):
    archive.run()
    path = archive.folder / "data/images/p0_pa.png"
    path.unlink()
    os.mkfifo(path)
    assert archive.run()[0] == ["images/p0_pa.png"]


@pytest.mark.parametrize("name", FILES)
def test_a_truncated_kept_file_is_said_to_be_so_and_all_is_read_again(archive, lines, name):
    _, first = archive.run()
    (kept,) = list_kept(archive.kept)
    path = kept.folder / name
    content = path.read_bytes()
    path.unlink()
    path.write_bytes(content[: len(content) // 2])
    read, stores = archive.run()
    assert len(read) == 4
    assert stores == first
    assert any("cannot be read" in line and "read again" in line for line in lines)


@pytest.mark.parametrize("name", FILES[:2])
def test_a_picture_that_changed_on_the_disk_is_read_again(archive, lines, name):
    _, first = archive.run()
    (kept,) = list_kept(archive.kept)
    path = kept.folder / name
    content = bytearray(path.read_bytes())
    content[-SIZE * SIZE // 2 - SIZE * SIZE] ^= 1  # of the third picture
    path.unlink()
    path.write_bytes(content)
    assert archive.run() == (["images/p2_pa.png"], first)
    assert any("1 pictures are not what their rows say, as row 2" in line for line in lines)


def test_a_row_that_changed_on_the_disk_is_read_again(archive, lines):
    """Both names of a file that was damaged in place are damaged, and no hash of a picture tells of its row."""
    _, first = archive.run()
    (kept,) = list_kept(archive.kept)
    path = kept.folder / FILES[2]
    content = bytearray(path.read_bytes())
    content[content.index(b"percentiles") + 2] ^= 1
    path.write_bytes(content)
    read, stores = archive.run()
    assert (len(read), stores) == (4, first)
    assert any("cannot be read" in line and "read again" in line for line in lines)


def test_where_there_are_no_hard_links_it_says_so_and_keeps_nothing(archive, lines, monkeypatch):
    def no_links(source, target):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(os, "link", no_links)
    _, first = archive.run()
    assert list(archive.kept.iterdir()) == []
    assert any("hard links: Operation not supported" in line for line in lines)
    read, stores = archive.run()
    assert (len(read), stores) == (4, first)


def test_kept_stores_take_no_space_of_their_own(archive):
    archive.run()
    (kept,) = list_kept(archive.kept)
    store = archive.kept.parent / "shards" / kept.shard
    assert all((kept.folder / name).samefile(store / name) for name in FILES)


def test_stores_that_no_present_table_names_go_when_every_shard_has_its_own(archive):
    archive.run()
    tables = read_scan(archive.config()).shards
    ours = list_kept(archive.kept)
    old = kept_as(archive.kept, "0007", "a" * 64, "b" * 64)
    old.folder.mkdir()
    remove_unused(archive.kept, {**tables, "0001": "c" * 16})
    assert old.folder.exists(), "shard 0001 is yet to be made"
    assert unused(archive.kept, tables) == [old]
    remove_unused(archive.kept, tables)
    assert list_kept(archive.kept) == ours


def test_the_own_shard_is_looked_into_first_then_those_that_rows_move_between(tmp_path):
    stores = [kept_as(tmp_path, f"{number:04d}", "a" * 16, "b" * 16) for number in range(8)]
    assert [int(store.shard) for store in of_use(stores, "0006", {})] == [6, 2, 0, 4, 1, 3, 5, 7]


def test_present_stores_of_other_shards_are_not_opened(tmp_path):
    tables = {"0000": "a" * 16, "0001": "b" * 16}
    own, other, older = (kept_as(tmp_path, *name) for name in (
        ("0000", "s" * 16, tables["0000"]), ("0001", "s" * 16, tables["0001"]), ("0001", "s" * 16, "c" * 16)
    ))  # fmt: skip
    assert list(of_use([own, other, older], "0000", tables)) == [own, older]
    assert set(of_use([own, other, older], "0000", {})) == {own, other, older}, "where no scan was"


def test_a_first_run_hashes_nothing_though_all_files_have_one_size(archive, monkeypatch):
    for path in (archive.folder / "data/images").iterdir():
        path.write_bytes(path.read_bytes().ljust(20_000, b" "))
    hashed = []
    monkeypatch.setattr("segpipe.preprocess.reuse.key_of_files", lambda sample, *_: hashed.append(sample.image) or "")
    archive.run(shards=8)
    assert hashed == []


def test_files_are_hashed_only_where_a_row_has_an_image_of_that_size(archive, monkeypatch):
    archive.run()
    picture(archive.folder / "data", 8)
    hashed = []
    monkeypatch.setattr("segpipe.preprocess.reuse.key_of_files", lambda sample, *_: hashed.append(sample.image) or "")
    archive.run()
    assert hashed == [f"images/p{number}_pa.png" for number in range(4)]


def test_a_sample_without_a_file_is_no_error_here(archive):
    from segpipe.preprocess.reuse import file_size, key_of_files

    stage = stage_configs(archive.config(), [])["preprocess"]
    assert file_size(Sample("x", "images/none.png"), stage) == -1
    assert key_of_files(Sample("x", "images/none.png"), stage, "s") == ""

"""Stores of masks: what is kept, what is redone, and that kinds can be changed."""

import hashlib
import io
import tarfile

import numpy as np
import pandas as pd
import pytest
from pycocotools import mask as coco

from segpipe.errors import InputError
from segpipe.masks.store.journal import Entry, Layout, recipe
from segpipe.masks.store.place import Place
from segpipe.masks.store.store import MaskReader, MaskStore

CLASSES = {"lung": None, "heart": None}
KINDS = ("files", "archive", "rle")
IDS = ("a", "b", "c")
MADE_BY = recipe("x")


def masks_of(image_id):
    return np.random.default_rng(ord(image_id)).random((2, 30, 40)) > 0.7


def probabilities_of(image_id):
    return np.random.default_rng(ord(image_id)).random((2, 16, 16), np.float32)


def layout(kind, probabilities="none", form="per_class"):
    return Layout(CLASSES, form, kind, probabilities)


def place(folder):
    return Place.of_shard(folder / "masks/0000")


def put(store, image_id, made_by=MADE_BY, **facts):
    entries = store.layout.encode(image_id, masks_of(image_id), probabilities_of(image_id))
    store.save(entries)
    store.commit(image_id, Entry.of(made_by, entries, facts))


def fill(folder, kind, image_ids=IDS, finish=True, probabilities="none", form="per_class"):
    store = MaskStore(place(folder), layout(kind, probabilities, form))
    for image_id in image_ids:
        put(store, image_id)
    if finish:
        store.keep_only(image_ids)
        store.finish(image_ids)
    store.close()


def kept(folder, kind, image_ids=IDS, probabilities="none"):
    store = MaskStore(place(folder), layout(kind, probabilities))
    found = [image_id for image_id in image_ids if store.keeps(image_id, MADE_BY)]
    store.close()
    return found


def switch(folder, kind, image_ids=IDS, probabilities="none"):
    """What a run does that finds all masks right."""
    store = MaskStore(place(folder), layout(kind, probabilities))
    assert all(store.keeps(image_id, MADE_BY) for image_id in image_ids)
    store.keep_only(image_ids)
    store.finish(image_ids)
    store.close()


def contents(folder):
    top = folder / "masks"
    return {
        path.relative_to(top).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(top.rglob("*"))
        if path.is_file()
    }


def read(folder, kind, image_id, form="per_class"):
    with MaskReader(place(folder), kind, form, CLASSES) as reader:
        return reader.masks(image_id)


@pytest.mark.parametrize("kind", KINDS)
def test_masks_read_back_from_every_kind(tmp_path, kind):
    fill(tmp_path, kind)
    for image_id in IDS:
        np.testing.assert_array_equal(read(tmp_path, kind, image_id), masks_of(image_id))
    assert kept(tmp_path, kind) == list(IDS)


def test_files_that_each_kind_leaves(tmp_path):
    for kind in KINDS:
        fill(tmp_path / kind, kind)
    pictures = [f"0000/{image_id}.{name}.png" for image_id in IDS for name in CLASSES]
    assert set(contents(tmp_path / "files")) == {"0000/journal.csv", *pictures}
    assert set(contents(tmp_path / "archive")) == {"0000/journal.csv", "0000.tar"}
    assert set(contents(tmp_path / "rle")) == {"0000/journal.csv", "0000.parquet"}


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # of pycocotools
def test_others_read_archives_and_tables_without_segpipe(tmp_path):
    fill(tmp_path / "files", "files")
    fill(tmp_path / "archive", "archive")
    fill(tmp_path / "rle", "rle")
    with tarfile.open(tmp_path / "archive/masks/0000.tar") as archive:
        assert archive.getnames() == [f"{image_id}.{name}.png" for image_id in IDS for name in CLASSES]
        for member in archive:
            png = archive.extractfile(member).read()
            assert png == (tmp_path / "files/masks/0000" / member.name).read_bytes()
            assert (member.mtime, member.uid, member.uname) == (0, 0, "")
    table = pd.read_parquet(tmp_path / "rle/masks/0000.parquet")
    assert table[["image_id", "class"]].to_numpy().tolist() == [[i, name] for i in IDS for name in CLASSES]
    for row in table.itertuples():
        mask = coco.decode({"size": [row.rows, row.columns], "counts": row.counts})
        np.testing.assert_array_equal(mask.astype(bool), masks_of(row.image_id)[row.Index % 2])


@pytest.mark.parametrize("kind", KINDS)
def test_the_order_of_making_does_not_change_a_byte(tmp_path, kind):
    fill(tmp_path / "one", kind)
    store = MaskStore(place(tmp_path / "other"), layout(kind))
    entries = {name: store.layout.encode(name, masks_of(name), probabilities_of(name)) for name in IDS}
    for name in "cab":
        store.save(entries[name])
    for name in "bca":
        store.commit(name, Entry.of(MADE_BY, entries[name], {}))
    store.finish(IDS)
    store.close()
    assert contents(tmp_path / "one") == contents(tmp_path / "other")


@pytest.mark.parametrize("kind", KINDS)
def test_another_recipe_or_a_lost_image_is_not_kept(tmp_path, kind):
    fill(tmp_path, kind, IDS[:2])
    store = MaskStore(place(tmp_path), layout(kind))
    assert not store.keeps("a", recipe("y"))
    assert not store.keeps("c", MADE_BY)
    store.close()


@pytest.mark.parametrize("kind", ["archive", "rle"])
@pytest.mark.parametrize("cut", [0, 1, 511, 700, 1500])
def test_a_torn_work_file_costs_what_was_torn(tmp_path, kind, cut):
    fill(tmp_path / "whole", kind)
    fill(tmp_path, kind, finish=False)
    work = tmp_path / "masks/0000/work.tar"
    size = work.stat().st_size
    with work.open("r+b") as file:
        file.truncate(size - cut)
    left = kept(tmp_path, kind)
    assert left == list(IDS if cut == 0 else IDS[: len(left)])
    assert len(left) < 3 or cut == 0
    store = MaskStore(place(tmp_path), layout(kind))
    for image_id in set(IDS) - set(left):
        put(store, image_id)
    store.finish(IDS)
    store.close()
    assert contents(tmp_path) == contents(tmp_path / "whole")


@pytest.mark.parametrize("kind", KINDS)
def test_a_truncated_finished_store_costs_what_was_cut(tmp_path, kind):
    fill(tmp_path / "whole", kind)
    fill(tmp_path, kind)
    file = place(tmp_path).finished(kind)
    file = file / "b.lung.png" if kind == "files" else file
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    left = kept(tmp_path, kind)
    assert left == {"files": ["a", "c"], "archive": ["a", "b"], "rle": []}[kind]
    store = MaskStore(place(tmp_path), layout(kind))
    for image_id in set(IDS) - set(left):
        put(store, image_id)
    store.finish(IDS)
    store.close()
    assert contents(tmp_path) == contents(tmp_path / "whole")


@pytest.mark.parametrize("kind", KINDS)
def test_damaged_lines_of_the_journal_cost_their_images_only(tmp_path, kind):
    fill(tmp_path, kind)
    journal = tmp_path / "masks/0000/journal.csv"
    lines = journal.read_text().splitlines(keepends=True)
    journal.write_text(lines[0] + lines[1][:40] + "\n" + "\0\0\n" + "nonsense,\n" + lines[2] + 'd,e,"{""torn')
    assert kept(tmp_path, kind) == ["a", "c"]
    store = MaskStore(place(tmp_path), layout(kind))
    put(store, "b", note='a "word",\nand a line', count=np.int64(3))
    store.finish(IDS)
    store.close()
    again = MaskStore(place(tmp_path), layout(kind))
    assert again.journal["b"].facts == {"note": 'a "word",\nand a line', "count": 3}
    assert len(journal.read_text().splitlines()) == 3


@pytest.mark.parametrize("kind", KINDS)
def test_no_masks_at_all_are_a_store_too(tmp_path, kind):
    fill(tmp_path, kind, ())
    with MaskReader(place(tmp_path), kind, "per_class", CLASSES) as reader, pytest.raises(InputError, match="missing"):
        reader.masks("a")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("other", KINDS)
@pytest.mark.parametrize("probabilities", ["none", "uint8"])
def test_another_kind_takes_the_masks_over_and_leaves_nothing_of_the_old(tmp_path, kind, other, probabilities):
    fill(tmp_path / "fresh", other, probabilities=probabilities)
    fill(tmp_path, kind, probabilities=probabilities)
    switch(tmp_path, other, probabilities=probabilities)
    assert contents(tmp_path) == contents(tmp_path / "fresh")


@pytest.mark.parametrize("other", KINDS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_half_made_store_of_one_kind_is_finished_as_another(tmp_path, kind, other):
    fill(tmp_path / "fresh", other)
    fill(tmp_path, kind, IDS[:2], finish=False)
    store = MaskStore(place(tmp_path), layout(other))
    assert [store.keeps(image_id, MADE_BY) for image_id in IDS] == [True, True, False]
    put(store, "c")
    store.keep_only(IDS)
    store.finish(IDS)
    store.close()
    assert contents(tmp_path) == contents(tmp_path / "fresh")


@pytest.mark.parametrize("kind", KINDS)
def test_images_that_left_are_gone_after_finishing(tmp_path, kind):
    fill(tmp_path / "fresh", kind, IDS[:2])
    fill(tmp_path, kind)
    switch(tmp_path, kind, IDS[:2])
    assert contents(tmp_path) == contents(tmp_path / "fresh")


@pytest.mark.parametrize("kind", KINDS)
def test_a_renamed_image_takes_its_masks_along(tmp_path, kind):
    fill(tmp_path, kind)
    store = MaskStore(place(tmp_path), layout(kind))
    store.journal.replace("a", Entry(recipe("of a"), store.journal["a"].masks))
    assert store.take_over({"z": recipe("of a"), "y": recipe("nobody's")}) == ["z"]
    store.keep_only(["z", "b"])
    store.finish(["z", "b"])
    store.close()
    np.testing.assert_array_equal(read(tmp_path, kind, "z"), masks_of("a"))
    with pytest.raises(InputError, match=r"a\.lung.* is missing or damaged"):
        read(tmp_path, kind, "a")


def test_foreign_files_in_a_folder_of_masks_are_deleted_and_other_things_stay(tmp_path):
    fill(tmp_path, "files")
    folder = tmp_path / "masks/0000"
    (folder / "gone.lung.png").write_bytes(b"")
    (folder / "notes.txt").write_text("mine")
    store = MaskStore(place(tmp_path), layout("files"))
    assert store.keep_only(IDS) == ["gone.lung.png"]
    store.finish(IDS)
    assert (folder / "notes.txt").exists()


def test_a_file_with_other_bytes_than_recorded_is_not_deleted_with_its_image(tmp_path):
    fill(tmp_path, "files")
    folder = tmp_path / "masks/0000"
    (folder / "a.lung.png").write_bytes(b"somebody's")
    store = MaskStore(place(tmp_path), layout("files"))
    assert not store.keeps("a", MADE_BY)
    store.discard("a")
    assert (folder / "a.lung.png").read_bytes() == b"somebody's"
    assert not (folder / "a.heart.png").exists()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("probabilities", "most"), [("uint8", 0.5 / 255), ("float16", 2**-11)])
def test_probabilities_are_kept_beside_masks(tmp_path, kind, probabilities, most):
    fill(tmp_path, kind, probabilities=probabilities)
    with MaskReader(place(tmp_path), kind, "per_class", CLASSES) as reader:
        for image_id in IDS:
            np.testing.assert_array_equal(reader.masks(image_id), masks_of(image_id))
            assert np.abs(reader.probabilities(image_id) - probabilities_of(image_id)).max() <= most + 1e-7


@pytest.mark.parametrize("kind", KINDS)
def test_probabilities_that_are_wanted_later_are_missing_and_unwanted_ones_go(tmp_path, kind):
    fill(tmp_path / "fresh", kind)
    fill(tmp_path, kind)
    assert kept(tmp_path, kind, probabilities="uint8") == []
    wanted = pytest.raises(InputError, match=r"no probabilities of a\. Set predict\.probabilities")
    with MaskReader(place(tmp_path), kind, "per_class", CLASSES) as reader, wanted:
        reader.probabilities("a")
    fill(tmp_path / "both", kind, probabilities="uint8")
    switch(tmp_path / "both", kind)
    assert contents(tmp_path / "both") == contents(tmp_path / "fresh")


@pytest.mark.parametrize("kind", KINDS)
def test_a_missing_or_damaged_mask_is_named_with_what_to_do(tmp_path, kind):
    fill(tmp_path, kind)
    with pytest.raises(InputError, match=r"x\.lung.* is missing or damaged\. Delete .*predictions/0000\.parquet"):
        read(tmp_path, kind, "x")
    if kind == "files":
        (tmp_path / "masks/0000/a.lung.png").write_bytes(b"no")
        with pytest.raises(InputError, match=r"a\.lung\.png of .* is missing or damaged"):
            read(tmp_path, kind, "a")
    else:
        place(tmp_path).finished(kind).unlink()
        with pytest.raises(InputError, match="is missing or damaged"):
            read(tmp_path, kind, "a")


def test_labels_in_an_archive_read_as_labels(tmp_path):
    fill(tmp_path, "archive", form="labels")
    found = read(tmp_path, "archive", "a", form="labels")
    assert not found.all(axis=0).any()
    np.testing.assert_array_equal(found.any(axis=0), masks_of("a").any(axis=0))


def test_float16_probabilities_are_plain_npy_files(tmp_path):
    fill(tmp_path, "archive", probabilities="float16")
    with tarfile.open(tmp_path / "masks/0000.tar") as archive:
        content = archive.extractfile("a.lung.probability.npy").read()
    assert np.load(io.BytesIO(content), allow_pickle=False).dtype == np.float16

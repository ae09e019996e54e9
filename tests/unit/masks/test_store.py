"""Stores of masks: what is kept, what is made again, and that nothing of another kind is left."""

import hashlib
import io
import os
import signal

import numpy as np
import pandas as pd
import pytest
from pycocotools import mask as coco

from segpipe.errors import InputError
from segpipe.masks import store as store_module
from segpipe.masks.encode import Layout
from segpipe.masks.journal import Entry, cache_key
from segpipe.masks.store import MaskReader, MaskStore

CLASSES = {"lung": None, "heart": None}
KINDS = ("files", "rle")
IDS = ("a", "b", "c")
KEY = cache_key("x")


def masks_of(image_id):
    return np.random.default_rng(ord(image_id)).random((2, 30, 40)) > 0.7


def probabilities_of(image_id):
    return np.random.default_rng(ord(image_id)).random((2, 16, 16), np.float32)


def layout(kind, probabilities="none", form="per_class"):
    return Layout(CLASSES, form, kind, probabilities)


def place(folder):
    return folder / "masks/0000"


def put(store, image_id, key=KEY, **facts):
    contents = store.layout.encode(image_id, masks_of(image_id), probabilities_of(image_id))
    store.save(image_id, contents)
    store.commit(image_id, Entry.of(key, contents, facts))


def run(folder, kind, image_ids=IDS, finish=True, probabilities="none", form="per_class"):
    """What a run does; returns the images whose masks it did not have to make."""
    store = MaskStore(place(folder), layout(kind, probabilities, form))
    kept = [image_id for image_id in image_ids if store.keeps(image_id, KEY)]
    for image_id in image_ids:
        if image_id not in kept:
            put(store, image_id)
    if finish:
        store.keep_only(image_ids)
        store.finish()
    store.close()
    return kept


def contents(folder):
    """Hashes of all files but temporary ones, which a killed process leaves for a day."""
    top = folder / "masks"
    return {
        path.relative_to(top).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(top.rglob("*"))
        if path.is_file() and not path.name.startswith(".")
    }


def read(folder, kind, image_id, form="per_class"):
    with MaskReader(place(folder), layout(kind, form=form)) as reader:
        return reader.masks(image_id)


@pytest.mark.parametrize("kind", KINDS)
def test_masks_read_back_from_every_kind(tmp_path, kind):
    run(tmp_path, kind)
    for image_id in IDS:
        np.testing.assert_array_equal(read(tmp_path, kind, image_id), masks_of(image_id))
    before = contents(tmp_path)
    assert run(tmp_path, kind) == list(IDS)
    assert contents(tmp_path) == before


def test_files_that_each_kind_leaves(tmp_path):
    for kind in KINDS:
        run(tmp_path / kind, kind)
    pictures = [f"0000/{image_id}.{name}.png" for image_id in IDS for name in CLASSES]
    assert set(contents(tmp_path / "files")) == {"0000/journal.csv", *pictures}
    assert set(contents(tmp_path / "rle")) == {"0000/journal.csv", "0000/masks.parquet"}


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # of pycocotools
def test_others_read_tables_without_segpipe(tmp_path):
    run(tmp_path, "rle")
    table = pd.read_parquet(place(tmp_path) / "masks.parquet")
    assert table[["image_id", "class"]].to_numpy().tolist() == [[i, name] for i in IDS for name in CLASSES]
    for row in table.itertuples():
        mask = coco.decode({"size": [row.rows, row.columns], "counts": row.counts})
        np.testing.assert_array_equal(mask.astype(bool), masks_of(row.image_id)[row.Index % 2])


@pytest.mark.parametrize("kind", KINDS)
def test_the_order_of_making_does_not_change_a_byte(tmp_path, kind):
    run(tmp_path / "one", kind)
    store = MaskStore(place(tmp_path / "other"), layout(kind))
    entries = {name: store.layout.encode(name, masks_of(name), probabilities_of(name)) for name in IDS}
    for name in "cab":
        store.save(name, entries[name])
    for name in "bca":
        store.commit(name, Entry.of(KEY, entries[name], {}))
    store.finish()
    store.close()
    assert contents(tmp_path / "one") == contents(tmp_path / "other")


@pytest.mark.parametrize("kind", KINDS)
def test_another_key_or_a_lost_image_is_not_kept(tmp_path, kind):
    run(tmp_path, kind, IDS[:2])
    store = MaskStore(place(tmp_path), layout(kind))
    assert not store.keeps("a", cache_key("y"))
    assert not store.keeps("c", KEY)
    store.close()


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_that_went_on_after_any_stop_leaves_the_same_bytes(tmp_path, kind):
    run(tmp_path / "whole", kind)
    for made in range(len(IDS) + 1):
        folder = tmp_path / str(made)
        assert run(folder, kind, IDS[:made], finish=False) == []
        assert run(folder, kind) == list(IDS[:made])
        assert contents(folder) == contents(tmp_path / "whole")


DISK_STEPS = [(store_module, name) for name in ("write_bytes", "write_table", "remove_leftovers", "_with_hashes")]
DISK_STEPS += [(store_module.Journal, name) for name in ("add", "rewrite")] + [(store_module.shutil, "rmtree")]


def killed_at(number, folder, kind):
    """Run in a child that is killed before its ``number``-th step that touches the disk; whether it was."""
    child = os.fork()
    if child:
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        assert code in (0, -signal.SIGKILL)
        return code != 0
    left = iter(range(number - 1))

    def counted(step):
        def either(*arguments, **named):
            if next(left, None) is None:
                os.kill(os.getpid(), signal.SIGKILL)
            return step(*arguments, **named)

        return either

    try:
        for owner, name in DISK_STEPS:
            setattr(owner, name, counted(getattr(owner, name)))
        run(folder, kind, IDS[:2])
        os._exit(0)
    finally:
        os._exit(1)


@pytest.mark.parametrize(("kind", "before"), [("files", "rle"), ("rle", "files"), ("files", "uint8"), ("rle", "uint8")])
def test_killed_at_any_point_and_started_again_it_has_the_same_bytes(tmp_path, kind, before):
    """Over what another kind of store left, or one with probabilities that are no longer wanted."""
    run(tmp_path / "whole", kind, IDS[:2])
    number, killed = 0, True
    while killed:
        number, folder = number + 1, tmp_path / str(number)
        if before == "uint8":
            run(folder, kind, probabilities="uint8")
        else:
            run(folder, before, ("a", "c"))
        killed = killed_at(number, folder, kind)
        run(folder, kind, IDS[:2])
        assert contents(folder) == contents(tmp_path / "whole"), number
    assert number > 5


@pytest.mark.parametrize("cut", [1, 511, 700, 1500])
def test_a_torn_unfinished_image_costs_that_image(tmp_path, cut):
    run(tmp_path / "whole", "rle")
    run(tmp_path, "rle", finish=False)
    unfinished = place(tmp_path) / "masks.unfinished/b.parquet"
    unfinished.write_bytes(unfinished.read_bytes()[:-cut])
    assert run(tmp_path, "rle") == ["a", "c"]
    assert contents(tmp_path) == contents(tmp_path / "whole")


@pytest.mark.parametrize("kind", KINDS)
def test_a_truncated_finished_store_costs_what_was_cut(tmp_path, kind):
    run(tmp_path / "whole", kind)
    run(tmp_path, kind)
    file = place(tmp_path) / {"files": "b.lung.png", "rle": "masks.parquet"}[kind]
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    assert run(tmp_path, kind) == {"files": ["a", "c"], "rle": []}[kind]
    assert contents(tmp_path) == contents(tmp_path / "whole")


@pytest.mark.parametrize("kind", KINDS)
def test_damaged_lines_of_the_journal_cost_their_images_only(tmp_path, kind):
    run(tmp_path, kind)
    journal = place(tmp_path) / "journal.csv"
    lines = journal.read_text().splitlines(keepends=True)
    journal.write_text(lines[0] + lines[1][:40] + "\n" + "\0\0\n" + "nonsense,\n" + lines[2] + 'd,e,"{""torn')
    store = MaskStore(place(tmp_path), layout(kind))
    assert [image_id for image_id in IDS if store.keeps(image_id, KEY)] == ["a", "c"]
    put(store, "b", note='a "word",\nand a line', count=np.int64(3))
    store.finish()
    store.close()
    again = MaskStore(place(tmp_path), layout(kind))
    assert again.journal["b"].facts == {"note": 'a "word",\nand a line', "count": 3}
    assert len(journal.read_text().splitlines()) == 3


@pytest.mark.parametrize("kind", KINDS)
def test_no_masks_at_all_are_a_store_too(tmp_path, kind):
    run(tmp_path, kind, ())
    with MaskReader(place(tmp_path), layout(kind)) as reader, pytest.raises(InputError, match="missing"):
        reader.masks("a")


@pytest.mark.parametrize("made", [2, 3])
@pytest.mark.parametrize(("kind", "other"), [KINDS, KINDS[::-1]])
@pytest.mark.parametrize("probabilities", ["none", "uint8"])
def test_another_kind_makes_all_masks_again_and_leaves_nothing_of_the_old(tmp_path, kind, other, made, probabilities):
    run(tmp_path / "fresh", other, probabilities=probabilities)
    run(tmp_path, kind, IDS[:made], finish=made == len(IDS), probabilities=probabilities)
    assert run(tmp_path, other, probabilities=probabilities) == []
    assert contents(tmp_path) == contents(tmp_path / "fresh")


@pytest.mark.parametrize(("kind", "other"), [KINDS, KINDS[::-1]])
def test_masks_of_earlier_calls_stay_in_their_own_kind(tmp_path, kind, other):
    """`segpipe predict` with other files and the same --output."""
    run(tmp_path, kind, IDS[:2])
    store = MaskStore(place(tmp_path), layout(other))
    put(store, "c")
    store.finish()
    store.close()
    np.testing.assert_array_equal(read(tmp_path, kind, "a"), masks_of("a"))
    np.testing.assert_array_equal(read(tmp_path, other, "c"), masks_of("c"))


def test_a_file_named_like_the_table_that_is_none_stays(tmp_path):
    run(tmp_path, "files")
    (place(tmp_path) / "masks.parquet").write_bytes(b"somebody's")
    run(tmp_path, "files")
    assert (place(tmp_path) / "masks.parquet").read_bytes() == b"somebody's"


@pytest.mark.parametrize("kind", KINDS)
def test_images_that_left_are_gone_after_finishing(tmp_path, kind):
    run(tmp_path / "fresh", kind, IDS[:2])
    run(tmp_path, kind)
    assert run(tmp_path, kind, IDS[:2]) == list(IDS[:2])
    assert contents(tmp_path) == contents(tmp_path / "fresh")


@pytest.mark.parametrize("kind", KINDS)
def test_a_renamed_image_takes_its_masks_along(tmp_path, kind):
    store = MaskStore(place(tmp_path), layout(kind))
    put(store, "a", cache_key("of a"))
    put(store, "b")
    store.finish()
    assert store.take_over({"z": cache_key("of a"), "y": cache_key("nobody's")}) == ["z"]
    store.keep_only(["z", "b"])
    store.finish()
    store.close()
    np.testing.assert_array_equal(read(tmp_path, kind, "z"), masks_of("a"))
    with pytest.raises(InputError, match=r"a\.lung.* is missing or damaged"):
        read(tmp_path, kind, "a")


def test_foreign_files_in_a_folder_of_masks_are_deleted_and_other_things_stay(tmp_path):
    run(tmp_path, "files")
    (place(tmp_path) / "gone.lung.png").write_bytes(b"")
    (place(tmp_path) / "notes.txt").write_text("mine")
    store = MaskStore(place(tmp_path), layout("files"))
    assert store.keep_only(IDS) == ["gone.lung.png"]
    store.finish()
    assert (place(tmp_path) / "notes.txt").exists()


def test_a_file_with_other_bytes_than_recorded_is_not_deleted_with_its_image(tmp_path):
    run(tmp_path, "files")
    (place(tmp_path) / "a.lung.png").write_bytes(b"somebody's")
    store = MaskStore(place(tmp_path), layout("files"))
    assert not store.keeps("a", KEY)
    store.discard("a")
    assert (place(tmp_path) / "a.lung.png").read_bytes() == b"somebody's"
    assert not (place(tmp_path) / "a.heart.png").exists()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("probabilities", "most"), [("uint8", 0.5 / 255), ("float16", 2**-11)])
def test_probabilities_are_kept_beside_masks(tmp_path, kind, probabilities, most):
    run(tmp_path, kind, probabilities=probabilities)
    with MaskReader(place(tmp_path), layout(kind, probabilities)) as reader:
        for image_id in IDS:
            np.testing.assert_array_equal(reader.masks(image_id), masks_of(image_id))
            assert np.abs(reader.probabilities(image_id) - probabilities_of(image_id)).max() <= most + 1e-7


@pytest.mark.parametrize("kind", KINDS)
def test_probabilities_that_are_wanted_later_are_made_and_unwanted_ones_go(tmp_path, kind):
    run(tmp_path / "fresh", kind)
    run(tmp_path / "both", kind, probabilities="uint8")
    assert run(tmp_path / "both", kind) == list(IDS)
    assert contents(tmp_path / "both") == contents(tmp_path / "fresh")
    wanted = pytest.raises(InputError, match=r"no probabilities of a\. Set predict\.probabilities")
    with MaskReader(place(tmp_path / "both"), layout(kind)) as reader, wanted:
        reader.probabilities("a")
    assert run(tmp_path / "fresh", kind, probabilities="uint8") == []


@pytest.mark.parametrize("kind", KINDS)
def test_a_missing_or_damaged_mask_is_named_with_what_to_do(tmp_path, kind):
    run(tmp_path, kind)
    with pytest.raises(InputError, match=r"x\.lung.* is missing or damaged\. Delete .*predictions/0000\.parquet"):
        read(tmp_path, kind, "x")
    if kind == "files":
        (place(tmp_path) / "a.lung.png").write_bytes(b"no")
        with pytest.raises(InputError, match=r"a\.lung\.png of .* is missing or damaged"):
            read(tmp_path, kind, "a")
    else:
        (place(tmp_path) / "masks.parquet").unlink()
        with pytest.raises(InputError, match="is missing or damaged"):
            read(tmp_path, kind, "a")


def test_labels_are_read_as_labels(tmp_path):
    run(tmp_path, "files", form="labels")
    found = read(tmp_path, "files", "a", form="labels")
    assert not found.all(axis=0).any()
    np.testing.assert_array_equal(found.any(axis=0), masks_of("a").any(axis=0))


def test_float16_probabilities_are_plain_npy_files(tmp_path):
    run(tmp_path, "rle", probabilities="float16")
    row = pd.read_parquet(place(tmp_path) / "masks.parquet").iloc[0]
    assert row["probability_type"] == "float16"
    assert np.load(io.BytesIO(row["probability"]), allow_pickle=False).dtype == np.float16

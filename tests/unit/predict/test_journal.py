import numpy as np
import pytest

from segpipe.predict.journal import Journal, recipe

FILES = [b"one", b"two"]
NAMES = ["a.lung.png", "a.heart.png"]


@pytest.fixture
def folder(tmp_path):
    for name, content in zip(NAMES, FILES, strict=True):
        (tmp_path / name).write_bytes(content)
    Journal(tmp_path).add("a", recipe("x"), FILES)
    return tmp_path


def test_a_mask_is_kept_only_if_made_by_the_same_recipe_and_whole(folder):
    assert Journal(folder).keeps("a", recipe("x"), NAMES)
    assert not Journal(folder).keeps("a", recipe("y"), NAMES)
    assert not Journal(folder).keeps("b", recipe("x"), NAMES)
    (folder / NAMES[1]).write_bytes(b"tw")
    assert not Journal(folder).keeps("a", recipe("x"), NAMES)
    (folder / NAMES[1]).unlink()
    assert not Journal(folder).keeps("a", recipe("x"), NAMES)


def test_a_line_cut_short_by_a_kill_costs_its_image_only(folder):
    with (folder / "journal.csv").open("a") as file:
        file.write('b,abc,def,"{""reason"": ""in the midst of a')
    journal = Journal(folder)
    assert not journal.keeps("b", "abc", [])
    journal.add("c", recipe("z"), FILES, {"note": 'a "word",\nand a line', "count": np.int64(3)})
    again = Journal(folder)
    assert again.facts("c") == {"note": 'a "word",\nand a line', "count": 3}
    assert again.keeps("a", recipe("x"), NAMES)
    assert again.keeps("c", recipe("z"), NAMES)


def test_masks_of_images_that_are_gone_are_deleted_with_their_lines(folder):
    (folder / "old.png").write_bytes(b"")
    Journal(folder).add("old", recipe("x"), [b""])
    assert Journal(folder).remove_others({"a"}, set(NAMES)) == ["old.png"]
    assert not Journal(folder).keeps("old", recipe("x"), [])
    assert Journal(folder).keeps("a", recipe("x"), NAMES)

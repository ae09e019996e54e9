"""COCO's instances.json becomes masks and a sheet."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools import mask as coco_tools

from segpipe.errors import InputError
from segpipe.interop import coco
from segpipe.interop.coco import import_coco
from segpipe.interop.import_folder import Target
from segpipe.masks.reference import read_reference

SHAPE = (6, 9)
BOX = [1, 1, 4, 1, 4, 3, 1, 3]  # columns 1 to 3 of rows 1 and 2
BLOB = np.array([[0, 1, 1, 0, 0, 0, 0, 0, 1]] + [[0, 1, 0, 0, 1, 1, 0, 0, 0]] * 3 + [[1] * 9, [0] * 9], np.uint8)


def annotation(segmentation: Any, category: int = 1, image: int = 7, **more: Any) -> dict[str, Any]:
    return {"id": 1, "image_id": image, "category_id": category, "segmentation": segmentation, "iscrowd": 0, **more}


def content(*annotations: Any) -> dict[str, Any]:
    return {
        "info": {"description": 'brackets in text: ]}" \\'},
        "annotations": list(annotations),
        "images": [
            {"id": 7, "file_name": "x1.png", "height": 6, "width": 9},
            {"id": 8, "file_name": "x2.png", "height": 6, "width": 9},
        ],
        "categories": [{"id": 1, "name": "Left Lung"}, {"id": 2, "name": "heart"}],
    }


def convert(archive: Path, data: Any, classes: Any = (), ignore: Any = (), images: str = "a") -> str:
    (archive / "set.json").write_text(data if isinstance(data, str) else json.dumps(data))
    return import_coco(archive / "set.json", Target(archive / "out", archive, images), classes, ignore)


def mask(archive: Path, name: str, image: str = "x1") -> np.ndarray:
    return read_reference({"": archive / f"out/masks/{name}/a__{image}.png.png"}, {"c": None}, SHAPE).bits


def test_polygons_of_several_parts_and_several_annotations_unite(archive: Path) -> None:
    other = [5, 4, 7, 4, 7, 6, 5, 6]
    text = convert(
        archive, content(annotation([BOX, other]), annotation([BOX], 2), annotation([[0, 0, 1, 0, 1, 1, 0, 1]], 2))
    )
    assert "2 images, 4 mask files written" in text
    assert text.endswith("classes:\n  left_lung: null\n  heart: null")
    expected = np.zeros(SHAPE, bool)
    expected[1:3, 1:4] = True
    heart = expected.copy()
    expected[4:6, 5:7] = heart[0, 0] = True
    np.testing.assert_array_equal(mask(archive, "left_lung"), expected)
    np.testing.assert_array_equal(mask(archive, "heart"), heart)
    assert not mask(archive, "heart", "x2").any(), "an image without annotations shows no class"


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # pycocotools itself
def test_polygons_are_drawn_as_the_coco_tools_draw_them(archive: Path) -> None:
    outline = [0.3, 0.2, 8.1, 1.7, 6.6, 5.9, 2.4, 4.4, -1.5, 3.0]
    convert(archive, content(annotation([outline])))
    expected = coco_tools.decode(coco_tools.frPyObjects([outline], *SHAPE))[..., 0]
    np.testing.assert_array_equal(mask(archive, "left_lung"), expected)
    with (archive / "out/samples.csv").open() as file:
        notes = [row["mask_notes"] for row in csv.DictReader(file)]
    assert notes[0].startswith("mask_outside:left_lung:0.0")
    assert notes[1] == ""


def test_run_lengths_of_crowds_are_read_compressed_or_not(archive: Path) -> None:
    compressed = coco_tools.encode(np.asfortranarray(BLOB))
    flat = BLOB.T.ravel()
    changes = np.flatnonzero(np.diff(flat)) + 1
    counts = np.diff([0, *changes, flat.size]).tolist()
    text = {"size": [6, 9], "counts": compressed["counts"].decode()}
    convert(archive, content(annotation(text), annotation({"size": [6, 9], "counts": counts}, 2, iscrowd=1)))
    np.testing.assert_array_equal(mask(archive, "left_lung"), BLOB)
    np.testing.assert_array_equal(mask(archive, "heart"), BLOB)


def test_categories_are_given_to_classes_and_a_category_of_no_class_is_an_error(archive: Path) -> None:
    data = content(annotation([BOX]), annotation([[5, 4, 7, 4, 7, 6, 5, 6]], 2))
    convert(archive, data, ["chest=Left Lung", "chest=heart"])
    assert mask(archive, "chest").sum() == 10
    with pytest.raises(InputError, match=r"no class names \(heart: 1\).*--ignore CATEGORY"):
        convert(archive, data, ["lung=Left Lung"])
    convert(archive, data, ["lung=Left Lung"], ["heart"])
    assert mask(archive, "lung").sum() == 6
    with pytest.raises(InputError, match="no category 'liver'; there are Left Lung, heart"):
        convert(archive, data, ["liver=liver"])


def test_annotations_without_segmentation_are_counted(archive: Path, caplog: pytest.LogCaptureFixture) -> None:
    convert(archive, content(annotation([]), annotation(None)))
    assert "2 annotations have no segmentation" in caplog.text
    assert not mask(archive, "left_lung").any()


@pytest.mark.parametrize(
    ("segmentation", "reason"),
    [
        ([[1, 1, 2]], "no list of pairs"),
        (["x"], "no list of pairs"),
        ([["a", 1, 2, 3, 4, 5]], "not pairs of numbers"),
        ([[float("nan"), 1, 2, 3, 4, 5]], "coordinate that is no number"),
        ("text", "neither a list of outlines nor run lengths"),
        ({"size": [6, 9], "counts": [54, 1]}, "run lengths for 55 pixels and an image of 6 x 9"),
        ({"size": [6, 9], "counts": [10**9] * 3}, "no counts of pixels"),
        ({"size": [6, 9], "counts": [-1, 55]}, "no counts of pixels"),
        ({"size": [60000, 90000], "counts": [54]}, "another size than its image's 6 x 9"),
        ({"size": [6, 9], "counts": "o" * 50}, "damaged|cut off"),
        ({"size": [6, 9], "counts": "\u00ff"}, "damaged"),
        ({"size": [6, 9]}, "no counts of pixels"),
    ],
)
def test_a_broken_segmentation_is_named_by_its_image(archive: Path, segmentation: Any, reason: str) -> None:
    with pytest.raises(InputError, match=r"set\.json, image 'x1\.png': the annotation '1' has .*" + f"({reason})"):
        convert(archive, content(annotation(segmentation)))
    assert not (archive / "out/samples.csv").exists()


def changed(**more: Any) -> dict[str, Any]:
    return content(annotation([BOX])) | more


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ("", "is empty"),
        ("[" * 100_000, "nested so deeply"),
        ('{"images": [', r"not valid JSON, or was cut off: .*char 12\). Copy or export it again"),
        ('{"images": [{"id" 1}]}', "not valid JSON.*line 1 column 19"),
        ('{"images": [' + "1" * 5000 + "]}", "not valid JSON"),
        ("{}", "not a COCO file"),
        ("[]", "not a COCO file"),
        ('{"images": 7}', "not a COCO file"),
        (changed(images=[]), "not a COCO file"),
        (
            changed(images=[{"id": 9, "file_name": "x1.png", "height": 6, "width": 9}]),
            "the annotation '1' is of an image that is not in the list",
        ),
        (changed(images=[{"id": [7]}]), r"images\[0\] lacks 'id'. Correct it"),
        (changed(annotations=[annotation([BOX]), {"id": 1}]), r"annotations\[1\] lacks 'image_id'"),
        (changed(categories=[{"id": 1}]), r"categories\[0\] lacks 'name'"),
        (
            changed(images=[{"id": 7, "file_name": "../x1.png", "height": 6, "width": 9}]),
            "leads out of the data folder",
        ),
        (
            changed(images=[{"id": 7, "file_name": "x1.png", "height": 60000, "width": 90000}]),
            "more than the 150000000",
        ),
        (changed(images=[{"id": 7, "file_name": "x1.png", "height": None, "width": 9}]), "no whole number"),
    ],
)
def test_a_broken_file_is_refused_with_a_reason(archive: Path, data: Any, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        convert(archive, data)
    assert not (archive / "out/samples.csv").exists()


def test_a_file_that_would_take_too_much_memory_is_refused(archive: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coco, "LARGEST_FILE", 100)
    with pytest.raises(InputError, match=r"set\.json has \d+ bytes, more than the 100 .* Split it by its images"):
        convert(archive, content(annotation([BOX])))


def test_a_category_may_belong_to_several_classes(archive: Path) -> None:
    convert(archive, content(annotation([BOX])), ["lung=Left Lung", "thorax=Left Lung", "thorax=heart"])
    assert mask(archive, "lung").any()
    np.testing.assert_array_equal(mask(archive, "lung"), mask(archive, "thorax"))

"""A CSV of run lengths becomes masks and a sheet that the pipeline takes as it is."""

import csv
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from segpipe.cli import app
from segpipe.config.load import parse_config
from segpipe.errors import InputError
from segpipe.interop.import_folder import Target
from segpipe.interop.rle import RunLengths, import_rle
from segpipe.masks.reference import read_reference
from segpipe.samples.scan import list_samples

SHAPE = (6, 9)
HEADER = "image_id,Dice RCA (Mean),Landmarks,Left Lung,Right Lung,Heart,Height,Width\n"
# the first three pixels of row 1, counted from 1; two runs of row 2 and 3; nothing
FIRST = 'x1,0.87,"1,2,3",10 3,20 2 28 2,,6.0,9\n'


def convert(
    archive: Path, text: str, *, classes=(), image_column=None, carry=(), size=None, runs=RunLengths(), **target
):
    (archive / "set.csv").write_text(text, encoding="utf-8")
    place = Target(archive / "out", archive, **({"images": "a/{image}.png"} | target))
    return import_rle(archive / "set.csv", place, runs, classes, image_column, carry, size)


def area(rows: slice, columns: slice) -> np.ndarray:
    plane = np.zeros(SHAPE, bool)
    plane[rows, columns] = True
    return plane


def test_chexmask_is_converted_and_read_back_by_the_pipeline(archive: Path) -> None:
    text = convert(archive, HEADER + FIRST + "x2,0.5,,54 1,-1,1 54,6,9\n")
    assert text.startswith("2 images, 6 mask files written, 0 images not found")
    snippet = text.split("\n\n", 1)[1]
    assert snippet.endswith("sheet: out/samples.csv\nclasses:\n  left_lung: null\n  right_lung: null\n  heart: null")
    config = parse_config(
        {
            "data": {"root": str(archive), "sheet": "out/samples.csv"},
            "classes": {"left_lung": None, "right_lung": None, "heart": None},
        }
    )
    samples, carried = list_samples(config)
    assert carried == ["dice_rca_mean"]
    assert [(sample.image, sample.carried["dice_rca_mean"]) for sample in samples] == [
        ("a/x1.png", "0.87"),
        ("a/x2.png", "0.5"),
    ]
    files = {name: archive / mask for name, mask in samples[0].masks.items()}
    mask = read_reference(files, config.class_values, SHAPE, root=archive)
    left, right = area(slice(1, 2), slice(0, 3)), area(slice(2, 4), slice(1, 3))
    right[3] = area(slice(3, 4), slice(0, 2))[3]
    np.testing.assert_array_equal(mask.bits, left + 2 * right)
    assert mask.notes == ("mask_empty:heart",)


def test_masks_that_are_there_are_left_alone(archive: Path) -> None:
    convert(archive, HEADER + FIRST)
    mask = archive / "out/masks/left_lung/a__x1.png.png"
    os.utime(mask, (1, 1))
    assert "0 mask files written" in convert(archive, HEADER + FIRST)
    assert mask.stat().st_mtime == 1
    assert "1 mask files written" in convert(archive, HEADER + FIRST.replace("10 3", "10 2"))


def test_siims_form_is_relative_by_columns_and_rows_of_an_image_are_united(archive: Path) -> None:
    text = "ImageId, EncodedPixels\nx1,7 2 1 1\nx1,0 1\nx2, -1\n"
    runs = RunLengths(order="columns", base=0, starts="relative")
    convert(archive, text, classes=["pneumothorax=EncodedPixels"], size="6x9", runs=runs)
    expected = np.zeros(54, bool)
    expected[[0, 7, 8, 10]] = True
    mask = read_reference({"": archive / "out/masks/pneumothorax/a__x1.png.png"}, {"p": None}, SHAPE)
    np.testing.assert_array_equal(mask.bits, expected.reshape(9, 6).T)
    assert not read_reference({"": archive / "out/masks/pneumothorax/a__x2.png.png"}, {"p": None}, SHAPE).bits.any()


def test_columns_may_be_united_and_carried_under_other_names(archive: Path) -> None:
    convert(archive, HEADER + FIRST, classes=["lungs=Left Lung", "lungs=Right Lung"], carry=["patient=image_id"])
    with (archive / "out/samples.csv").open() as file:
        assert list(csv.DictReader(file)) == [
            {"image": "a/x1.png", "mask_lungs": "out/masks/lungs/a__x1.png.png", "patient": "x1"}
        ]
    assert read_reference({"": archive / "out/masks/lungs/a__x1.png.png"}, {"p": None}, SHAPE).bits.sum() == 7


def test_images_that_are_not_there_are_left_out_and_counted(archive: Path) -> None:
    text = HEADER + FIRST + FIRST.replace("x1", "x3")
    assert "1 images, 3 mask files written, 1 images not found" in convert(archive, text)
    with pytest.raises(InputError, match=r"None of the 1 images exists; .* 'b/x3.png' below"):
        convert(archive, HEADER + FIRST.replace("x1", "x3"), images="b/{image}.png")


@pytest.mark.parametrize("name", ["../x1", "/etc/passwd", "b/../../x1", "", "a\0b"])
def test_names_that_lead_out_of_the_folder_are_refused(archive: Path, name: str) -> None:
    with pytest.raises(InputError, match=r"set\.csv, line 2: (the image's name|no CSV)"):
        convert(archive, HEADER + FIRST.replace("x1", name))
    assert not (archive / "out/samples.csv").exists()


def test_the_output_has_to_lie_in_the_root(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    other = Target(tmp_path_factory.mktemp("other"), archive)
    with pytest.raises(InputError, match="--root"):
        import_rle(archive / "set.csv", other, RunLengths())


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("x1,,,10 3 5,,,6,9", r"line 2: column 'Left Lung' has 3 numbers, which are no pairs"),
        ("x1,,,10 x,,,6,9", "not whole numbers"),
        ("x1,,,,,,6,9\nx1,,,,,1 2 3,6,9", "line 2: line 3, column 'Heart' has 3 numbers"),
        ("x1,,,10 3.5,,,6,9", "not whole numbers"),
        ("x1,,,10 99999999999999999999999,,,6,9", "not whole numbers"),
        ("x1,,,10 999999999999999,,,6,9", "beyond any image"),
        ("x1,,,10 -3,,,6,9", "below 0"),
        ("x1,,,54 2,,,6,9", "overlap, or leave the image of 6 x 9"),
        ("x1,,,0 2,,,6,9", "overlap, or leave the image"),
        ("x1,,,10 3 11 2,,,6,9", "overlap, or leave the image"),
        ("x1,,,10 3,,,6.5,9", "Height or Width that is no whole number"),
        ("x1,,,10 3,,,inf,9", "Height or Width that is no whole number"),
        ("x1,,,10 3,,,600000,900000", "more than the 150000000"),
        ("x1,10 3,6,9", "has 4 columns, the header 8"),
        ("x1,,,,,,6,9\nx2,,,,,,6,9\nx1,,,,,,6,9", "the image was there before"),
        ("x1,,,,,,6,9\nx1,,,,,,9,6", "line 3 has another size"),
    ],
)
def test_a_broken_row_is_named_by_its_line(archive: Path, row: str, reason: str) -> None:
    with pytest.raises(InputError, match=r"set\.csv, (line \d.*)?" + reason):
        convert(archive, HEADER + row + "\n")
    assert not (archive / "out/samples.csv").exists()


def test_missing_columns_are_listed(archive: Path) -> None:
    with pytest.raises(InputError, match=r"--image-column NAME.*there are a, b\."):
        convert(archive, "a,b\n1,2\n")
    with pytest.raises(InputError, match=r"--class NAME=COLUMN.*there are image_id, b\."):
        convert(archive, "image_id,b\n1,2\n")
    with pytest.raises(InputError, match="there is no column 'c'; there are image_id, b"):
        convert(archive, "image_id,b\n1,2\n", classes=["lung=c"])
    with pytest.raises(InputError, match="--size ROWSxCOLUMNS"):
        convert(archive, "image_id,b\n1,2\n", classes=["lung=b"])
    with pytest.raises(InputError, match="--class 'Lung': write NAME=TEXT"):
        convert(archive, HEADER, classes=["Lung"])


def test_fields_may_be_longer_than_pythons_limit_and_the_limit_is_restored(archive: Path) -> None:
    before = csv.field_size_limit()
    landmarks = "1 " * before
    convert(archive, HEADER + FIRST.replace("1,2,3", landmarks))
    assert csv.field_size_limit() == before


def test_the_verb_prints_what_to_put_into_the_config(archive: Path) -> None:
    (archive / "set.csv").write_text(HEADER + FIRST)
    segpipe = str(Path(sys.executable).with_name("segpipe"))
    call = [segpipe, "import-masks", "rle", "set.csv", "out", "--images", "a/{image}.png", "--class", "lung=Left Lung"]
    done = subprocess.run(call, cwd=archive, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("data:\n  root: .\n  sheet: out/samples.csv\nclasses:\n  lung: null\n")
    assert subprocess.run([*call[:-1], "x=y"], cwd=archive, capture_output=True, timeout=120).returncode == 4
    for wrong in (["--base", "2"], ["--order", "diagonals"], ["--starts", "somewhere"]):
        assert CliRunner().invoke(app, ["import-masks", "rle", "set.csv", "out", *wrong]).exit_code == 2

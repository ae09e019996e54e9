"""Masks of a run in other forms, and back."""

import csv
import json
import shlex
import shutil
from pathlib import Path

import nibabel
import numpy as np
import pytest
from pycocotools.coco import COCO
from typer.testing import CliRunner

from segpipe.cli import app
from segpipe.config.load import parse_config
from segpipe.errors import ConfigError, InputError
from segpipe.images.nifti import read_nifti
from segpipe.interop.coco import import_coco
from segpipe.interop.export_masks import export_masks
from segpipe.interop.import_folder import Target
from segpipe.interop.labelme import import_labelme, label_texts
from segpipe.interop.nifti import encode, planes_of
from segpipe.interop.rle import RunLengths, import_rle
from segpipe.masks.encode import decode_png
from segpipe.samples.sample import safe_name

NAMES = ("lung", "heart")
CLASSES = [f"{name}={name}" for name in NAMES]


def usable(run):
    return [image for image in run.images() if not image.without_mask]


def index(folder: Path) -> dict[str, dict[str, str]]:
    with (folder / "exported.csv").open(encoding="utf-8", newline="") as file:
        return {row["image_id"]: row for row in csv.DictReader(file)}


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def overlaps(run, imported: Path) -> list[float]:
    """IoU of each mask of the run with the one that was imported."""
    found = []
    for image in usable(run):
        for name, mask in zip(NAMES, run.masks(image), strict=True):
            back = decode_png((imported / f"masks/{name}/{safe_name(image.image)}.png").read_bytes()) > 0
            union = (mask | back).sum()
            found.append(float((mask & back).sum() / union) if union else 1.0)
    return found


@pytest.fixture
def target(run, tmp_path):
    """A data root with the run's images."""
    shutil.copytree(run.config.data.root / "images", tmp_path / "root/images")
    return Target(tmp_path / "root/back", tmp_path / "root")


def test_the_masks_that_are_tried_are_neither_empty_nor_full(run):
    masks = [mask for image in usable(run) for mask in run.masks(image)]
    assert len(masks) == 20
    assert any(0.02 < mask.mean() < 0.98 for mask in masks)


def test_nifti_has_the_pixels_and_the_spacing(config, run, tmp_path):
    export_masks(config, "nifti", tmp_path)
    rows = index(tmp_path)
    assert {image.spacing is None for image in usable(run)} == {True, False}
    for image in usable(run):
        for name, mask in zip(NAMES, run.masks(image), strict=True):
            path = tmp_path / f"{image.image_id}.{name}.nii.gz"
            read = read_nifti(path.read_bytes())
            assert (read.pixels == mask).all()
            found = read.decisions.spacing_row_mm, read.decisions.spacing_column_mm
            if image.spacing:
                assert found == pytest.approx(image.spacing)
                affine = nibabel.load(path).affine
                assert np.diag(affine)[:2] == pytest.approx((-image.spacing[1], -image.spacing[0]))
            else:
                assert found == (None, None)
        row = rows[image.image_id]
        assert row["file"] == f"{image.image_id}.lung.nii.gz {image.image_id}.heart.nii.gz"
        assert row["notes"] == ("" if image.spacing else "spacing_unknown")


def test_nifti_of_a_run_with_label_pictures_has_their_values():
    masks = np.zeros((2, 4, 5), bool)
    masks[0, :2], masks[1, 3] = True, True
    (plane,) = planes_of(masks, "labels", {"a": (3,), "b": (700,)})
    assert (read_nifti(encode(plane, None)).pixels == masks[0] * 3 + masks[1] * 700).all()


def test_labelme_shapes_are_called_what_the_config_calls_them():
    assert label_texts({"lung": ("left lung", "right lung"), "heart": None, "rib": (3,)}) == {
        "lung": "left lung", "heart": "heart", "rib": "rib"
    }  # fmt: skip


def test_the_verbs_tell_what_they_did(config, tmp_path):
    out, root = tmp_path / "out", config.parent / "data"
    done = CliRunner().invoke(app, ["export-masks", str(config), "--format", "labelme", "--output", str(out)])
    first, _, command = done.stdout.splitlines()
    assert first == f"10 of 12 images exported: {out}; why 2 are not is in the column reason of exported.csv"
    words = shlex.split(command.replace(str(root / "corrected-run"), str(tmp_path / "back")))
    assert words[:3] == ["segpipe", "import-masks", "labelme"]
    words[words.index("--root") + 1] = str(tmp_path)
    shutil.copytree(root / "images", tmp_path / "images")
    done = CliRunner().invoke(app, words[1:])
    assert done.stdout.startswith("10 images, 20 mask files written, 0 images not found"), done.output


def test_run_lengths_come_back_through_import_masks(config, run, target, tmp_path):
    export_masks(config, "rle", tmp_path / "out")
    import_rle(tmp_path / "out/masks.csv", target, RunLengths(), CLASSES)
    assert overlaps(run, target.output) == [1.0] * 20


def test_coco_comes_back_through_import_masks(config, run, target, tmp_path):
    export_masks(config, "coco", tmp_path / "out")
    import_coco(tmp_path / "out/instances.json", target, [], [])
    assert overlaps(run, target.output) == [1.0] * 20


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # of pycocotools with NumPy 2
def test_coco_s_own_tools_read_it(config, run, tmp_path, capsys):
    export_masks(config, "coco", tmp_path)
    coco = COCO(tmp_path / "instances.json")
    assert [category["name"] for category in coco.loadCats(coco.getCatIds())] == list(NAMES)
    images, drawn = {image["file_name"]: image["id"] for image in coco.loadImgs(coco.getImgIds())}, 0
    for image in usable(run):
        for annotation in coco.loadAnns(coco.getAnnIds(images[image.image])):
            mask = coco.annToMask(annotation).astype(bool)
            assert (mask == run.masks(image)[annotation["category_id"] - 1]).all()
            left, top, width, height = annotation["bbox"]
            inside = mask[top : top + height, left : left + width]
            assert annotation["area"] == mask.sum() == inside.sum()
            assert all(edge.any() for edge in (inside[0], inside[-1], inside[:, 0], inside[:, -1]))
            drawn += 1
    assert drawn == sum(mask.any() for image in usable(run) for mask in run.masks(image))


def test_labelme_files_come_back_to_the_pixel(config, run, target, tmp_path):
    export_masks(config, "labelme", tmp_path / "out", tolerance=0)
    import_labelme(tmp_path / "out", target, CLASSES, [])
    assert overlaps(run, target.output) == [1.0] * 20


def test_labelme_files_with_fewer_points_come_back_nearly(config, run, target, tmp_path):
    export_masks(config, "labelme", tmp_path / "out", tolerance=0.5)
    import_labelme(tmp_path / "out", target, CLASSES, [])
    found = overlaps(run, target.output)
    assert 0.9 < np.mean(found) < 1
    assert index(tmp_path / "out")["syn0000_pa1"]["notes"] == "outlines_within_px:0.5"


def test_a_labelme_file_lies_beside_its_picture_and_names_no_place(config, run, tmp_path):
    export_masks(config, "labelme", tmp_path)
    for image in usable(run):
        text = (tmp_path / f"{image.image_id}.json").read_text()
        content = json.loads(text)
        assert content["imageData"] is None
        assert decode_png((tmp_path / content["imagePath"]).read_bytes()).shape == (image.rows, image.columns)
        assert content["segpipe"] == {"image": image.image}
        assert str(run.config.data.root) not in text


def test_a_corrected_labelme_file_is_left_alone_and_imported(config, run, target, tmp_path):
    out = tmp_path / "out"
    export_masks(config, "labelme", out)
    path = out / "syn0000_pa1.json"
    content = json.loads(path.read_text())
    square = [[10, 20], [30, 20], [30, 50], [10, 50]]
    content["shapes"] = [{"label": "lung", "points": square, "shape_type": "polygon"}]
    path.write_text(json.dumps(content))
    corrected = path.read_bytes()
    export_masks(config, "labelme", out)
    assert path.read_bytes() == corrected
    assert index(out)["syn0000_pa1"]["reason"] == (
        "syn0000_pa1.json exists with another content; delete it to export it again"
    )
    import_labelme(out, target, CLASSES, [])
    lung, heart = (
        decode_png((target.output / f"masks/{name}/images__syn0000_pa1.dcm.png").read_bytes()) for name in NAMES
    )
    assert (lung[20:50, 10:30] == 255).all()
    assert lung.sum() == 255 * 20 * 30
    assert not heart.any()


def test_a_labelme_file_in_another_encoding_is_left_alone(config, tmp_path):
    path = tmp_path / "syn0000_pa1.json"
    path.write_bytes('{"label": "Lunge, Größe"}'.encode("cp1252"))
    export_masks(config, "labelme", tmp_path, ["syn0000_pa1"])
    assert "exists with another content" in index(tmp_path)["syn0000_pa1"]["reason"]
    assert "Größe".encode("cp1252") in path.read_bytes()


def test_a_label_of_no_class_names_the_file(config, target, tmp_path):
    export_masks(config, "labelme", tmp_path / "out", image_ids=["syn0000_pa1"])
    with pytest.raises(InputError, match=r"syn0000_pa1\.json.*no class names"):
        import_labelme(tmp_path / "out", target, ["lung=left"], [])


def test_labels_may_be_left_out(config, target, tmp_path):
    export_masks(config, "labelme", tmp_path / "out", image_ids=["syn0000_pa1"])
    assert "  lung: null" in import_labelme(tmp_path / "out", target, ["lung=lung"], ["heart"])


def test_a_labelme_file_of_other_origin_is_found_by_its_image_path(target, tmp_path):
    folder = tmp_path / "root/drawn"
    folder.mkdir()
    shape = {"label": "Lung", "points": [[0, 0], [2, 0], [2, 2]], "shape_type": "polygon"}
    content = {"shapes": [shape], "imagePath": "../images/syn0001_pa1.png", "imageHeight": 8, "imageWidth": 9}
    (folder / "x.json").write_text(json.dumps(content))
    import_labelme(folder, target, [], [])
    assert (target.output / "masks/lung/images__syn0001_pa1.png.png").exists()
    (folder / "x.json").write_text(json.dumps({**content, "imagePath": "../../secret.png"}))
    with pytest.raises(InputError, match=r"x\.json: the image's name leads out of the data folder"):
        import_labelme(folder, target, [], [])


@pytest.mark.parametrize("wanted", ["seg", "nifti", "coco", "rle", "labelme"])
def test_the_same_run_gives_the_same_bytes(wanted, config, tmp_path):
    for name in ("a", "b"):
        export_masks(config, wanted, tmp_path / name)
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    times = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "a").iterdir()}
    export_masks(config, wanted, tmp_path / "a")
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    if wanted in ("seg", "nifti", "labelme"):  # a file for each image: none is written again
        changed = {path.name for path in (tmp_path / "a").iterdir() if path.stat().st_mtime_ns != times[path.name]}
        assert changed <= {"exported.csv"}


def test_an_image_without_a_mask_is_a_row_with_a_reason(config, tmp_path):
    said = export_masks(config, "rle", tmp_path)
    assert said.startswith("10 of 12 images exported")
    row = index(tmp_path)["syn0010_pa1"]
    assert row["status"] == "skipped"
    assert row["reason"].startswith("is quarantined: is a PNG that ends too early")


def test_only_the_images_asked_for(config, tmp_path):
    export_masks(config, "nifti", tmp_path, ["syn0001_pa1"])
    assert set(index(tmp_path)) == {"syn0001_pa1"}
    with pytest.raises(InputError, match=r"syn9: the run has no such image. It has 12, as syn0000_pa1"):
        export_masks(config, "nifti", tmp_path, ["syn9"])


def test_a_run_that_is_not_finished_says_so(config, tmp_path):
    shutil.copytree(config.parent / "results", tmp_path / "results")
    values = json.loads(config.read_text())
    (tmp_path / "config.yaml").write_text(json.dumps({**values, "results": str(tmp_path / "results")}))
    next((tmp_path / "results/run/predictions").iterdir()).unlink()
    with pytest.raises(InputError, match=r"is missing: the run is not finished. Run snakemake"):
        export_masks(tmp_path / "config.yaml", "rle", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_codes_of_no_class_are_refused(config):
    values = json.loads(config.read_text())
    code = {"value": "1", "meaning": "x"}
    with pytest.raises(ConfigError, match=r"export\.codes: liver is no class; there are lung, heart"):
        parse_config({**values, "export": {"codes": {"liver": code}}})

from io import BytesIO
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from PIL import Image
from pydicom import uid

from segpipe.errors import ImageError
from segpipe.masks.reference import read_reference
from tests.unit.images.pictures import COLUMNS, ROWS, dicom_file, encoded

SHAPE = (ROWS, COLUMNS)
LUNG = np.zeros(SHAPE, bool)
LUNG[3:20, 5:15] = True
HEART = np.zeros(SHAPE, bool)
HEART[15:30, 12:40] = True
LABELS = (LUNG * 1 + HEART * 2).astype(np.uint8)  # 3 where they overlap


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


def saved(folder: Path, array: np.ndarray, format_: str = "PNG", name: str = "mask.bin") -> Path:
    (folder / name).write_bytes(encoded(array, format_))
    return folder / name


def with_palette(folder: Path, indices: np.ndarray, palette: list[int], format_: str) -> Path:
    image = Image.fromarray(indices)
    image.putpalette(palette)
    image.save(folder / "palette", format_)
    return folder / "palette"


@pytest.mark.parametrize("format_", ["PNG", "TIFF", "BMP", "GIF"])
@pytest.mark.parametrize("value", [1, 7, 255, True])
def test_two_values_make_a_binary_mask(folder: Path, format_: str, value: Any) -> None:
    array = LUNG if value is True else (LUNG * value).astype(np.uint8)
    mask = read_reference({"": saved(folder, array, format_)}, {"lung": None}, SHAPE)
    np.testing.assert_array_equal(mask.bits, LUNG)
    assert (mask.bits.dtype, mask.notes) == (np.uint8, ())


def test_sixteen_bit_and_rgb_and_transparent_masks_are_read(folder: Path) -> None:
    white = (LUNG * 255).astype(np.uint8)
    opaque, full = np.full_like(white, 255), np.full_like(white, 255)
    for array in (
        (LUNG * 40000).astype(np.uint16),
        np.stack([white] * 3, axis=2),
        np.stack([white, opaque], axis=2),
        np.stack([full, full, full, white], axis=2),  # drawn in the alpha channel
    ):
        mask = read_reference({"": saved(folder, array)}, {"lung": None}, SHAPE)
        np.testing.assert_array_equal(mask.bits, LUNG)


def test_a_mask_of_one_value_is_all_or_nothing(folder: Path) -> None:
    for value, note in ((0, ("mask_empty:lung",)), (255, ())):
        mask = read_reference({"": saved(folder, np.full(SHAPE, value, np.uint8))}, {"lung": None}, SHAPE)
        assert (mask.bits == bool(value)).all()
        assert mask.notes == note


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_an_antialiased_mask_is_cut_at_half_and_noted(folder: Path, dtype: type) -> None:
    full = np.iinfo(dtype).max
    array = (LUNG * full).astype(dtype)
    array[2, 5:15], array[20, 5:15] = full // 2, full // 2 + 1
    expected = LUNG.copy()
    expected[20, 5:15] = True
    mask = read_reference({"": saved(folder, array)}, {"lung": None}, SHAPE)
    np.testing.assert_array_equal(mask.bits, expected)
    assert mask.notes == ("mask_antialiased",)


def test_a_label_image_where_a_binary_one_is_expected_shows_its_values(folder: Path) -> None:
    with pytest.raises(ImageError, match=r"mask mask.bin .* \(value: pixels 0: 1386, 1: 155, 2: 405, 3: 15\)"):
        read_reference({"": saved(folder, LABELS)}, {"lung": None}, SHAPE)


@pytest.mark.parametrize("format_", ["PNG", "TIFF", "GIF", "BMP"])
def test_labels_may_belong_to_several_classes(folder: Path, format_: str) -> None:
    classes = {"lung": [1, 3], "heart": [2, 3], "both": [3]}
    mask = read_reference({"": saved(folder, LABELS, format_)}, classes, SHAPE)
    np.testing.assert_array_equal(mask.bits & 1, LUNG)
    np.testing.assert_array_equal(mask.bits >> 1 & 1, HEART)
    np.testing.assert_array_equal(mask.bits >> 2, LUNG & HEART)
    assert mask.notes == ()


def test_soft_edges_in_a_file_of_labels_are_told_from_a_wrong_label(folder: Path) -> None:
    ramp = np.arange(LABELS.size, dtype=np.uint8).reshape(LABELS.shape)
    with pytest.raises(ImageError, match=r"soft edges, .* classes: \{lung: null\}"):
        read_reference({"": saved(folder, ramp, "PNG")}, {"lung": [255]}, SHAPE)


def test_an_unnamed_label_is_an_error_that_counts_it(folder: Path) -> None:
    with pytest.raises(ImageError, match=r"no class names .*3: 15\); give 3 to a class"):
        read_reference({"": saved(folder, LABELS)}, {"lung": [1], "heart": [2]}, SHAPE)


def test_low_depth_grey_labels_are_raw_values(folder: Path) -> None:
    colour = [v for g in range(256) for v in (g, g, g)]
    path = with_palette(folder, LABELS, [c % 256 for c in colour], "PNG")
    with Image.open(path) as picture:  # Pillow stores four entries with 2 bits each
        picture.save(folder / "two.png", bits=2)
    mask = read_reference({"": folder / "two.png"}, {"lung": [1, 3], "heart": [2, 3]}, SHAPE)
    np.testing.assert_array_equal(mask.bits, LABELS)


@pytest.mark.parametrize("format_", ["PNG", "GIF", "BMP", "TIFF"])
def test_palette_masks_are_indices_for_labels_and_colours_do_not_matter(folder: Path, format_: str) -> None:
    path = with_palette(folder, LABELS, [0, 0, 0, 200, 0, 0, 0, 200, 0, 90, 90, 0], format_)
    mask = read_reference({"": path}, {"lung": [1, 3], "heart": [2, 3]}, SHAPE)
    np.testing.assert_array_equal(mask.bits, LABELS)
    path = with_palette(folder, LUNG.astype(np.uint8), [0, 0, 0, 200, 0, 0], format_)
    np.testing.assert_array_equal(read_reference({"": path}, {"lung": None}, SHAPE).bits, LUNG)


@pytest.mark.parametrize("format_", ["PNG", "BMP", "TIFF", "GIF"])
def test_a_black_and_white_palette_is_looked_through_for_binary_masks(folder: Path, format_: str) -> None:
    path = with_palette(folder, (~LUNG).astype(np.uint8), [255, 255, 255, 0, 0, 0], format_)
    np.testing.assert_array_equal(read_reference({"": path}, {"lung": None}, SHAPE).bits, LUNG)


def test_files_per_class_may_overlap(folder: Path) -> None:
    files = {"lung": saved(folder, LUNG, name="a"), "heart": saved(folder, (HEART * 255).astype(np.uint8), name="b")}
    mask = read_reference(files, {"heart": None, "lung": None}, SHAPE)
    np.testing.assert_array_equal(mask.bits, HEART + 2 * LUNG)


def test_a_class_without_file_is_an_error_or_empty_as_configured(folder: Path) -> None:
    files, classes = {"lung": saved(folder, LUNG)}, {"lung": None, "heart": None}
    with pytest.raises(ImageError, match=r"no mask for heart; .*data\.missing_mask"):
        read_reference(files, classes, SHAPE)
    mask = read_reference(files, classes, SHAPE, missing="empty")
    np.testing.assert_array_equal(mask.bits, LUNG)
    assert mask.notes == ("mask_missing:heart",)


def test_one_binary_file_cannot_serve_several_classes(folder: Path) -> None:
    with pytest.raises(ImageError, match="no values for heart"):
        read_reference({"": saved(folder, LABELS)}, {"lung": [1], "heart": None}, SHAPE)


def test_more_than_eight_classes_need_wider_bits(folder: Path) -> None:
    classes = {f"class{i}": [1] if i else [1, 2, 3] for i in range(20)}
    mask = read_reference({"": saved(folder, LABELS)}, classes, SHAPE)
    assert mask.bits.dtype == np.uint32
    assert mask.bits.max() == 2**20 - 1


@pytest.mark.parametrize("factor", [0.5, 2, 3])
def test_another_resolution_is_resampled_about_pixel_centres(folder: Path, factor: float) -> None:
    shape = tuple(2 * size for size in SHAPE)
    big = np.kron(LABELS, np.ones((2, 2), np.uint8))
    other = LABELS if factor == 0.5 else np.kron(big, np.ones((int(factor), int(factor)), np.uint8))
    mask = read_reference({"": saved(folder, other)}, {"lung": [1, 3], "heart": [2, 3]}, (shape[0], shape[1]))
    np.testing.assert_array_equal(mask.bits, big)
    size = f"{other.shape[0]}x{other.shape[1]}->{shape[0]}x{shape[1]}"
    assert mask.notes == (f"mask_resampled:all:{size}",)


def test_another_shape_is_an_error_with_both_sizes(folder: Path) -> None:
    with pytest.raises(ImageError, match=f"has {COLUMNS} x {ROWS} pixels and its image {ROWS} x {COLUMNS}"):
        read_reference({"": saved(folder, LUNG.T)}, {"lung": None}, SHAPE)


def test_nifti_masks_are_transposed_and_must_hold_labels(folder: Path) -> None:
    for dtype, values in ((np.uint8, LABELS), (np.float32, LABELS), (np.int16, LABELS)):
        nibabel.save(nibabel.Nifti1Image(values.T[..., None].astype(dtype), np.eye(4)), folder / "m.nii.gz")
        mask = read_reference({"": folder / "m.nii.gz"}, {"lung": [1, 3], "heart": [2, 3]}, SHAPE)
        np.testing.assert_array_equal(mask.bits, LABELS)
    nibabel.save(nibabel.Nifti1Image(LABELS.T.astype(np.float32) / 2, np.eye(4)), folder / "m.nii.gz")
    with pytest.raises(ImageError, match=r"m\.nii\.gz .* no labels"):
        read_reference({"": folder / "m.nii.gz"}, {"lung": [1]}, SHAPE)


def test_lossy_colour_foreign_and_missing_masks_are_refused_by_name(folder: Path) -> None:
    colour = np.stack([LABELS, LABELS * 2, LABELS], axis=2)
    (folder / "d.dcm").write_bytes(dicom_file(LABELS, 8, syntax=uid.JPEGBaseline8Bit))
    cases = {
        saved(folder, LABELS, "JPEG", "j.png"): "mask j.png is a JPEG, whose compression",
        saved(folder, colour, "PNG", "c.png"): "mask c.png is a colour picture",
        folder / "d.dcm": "mask d.dcm has the transfer syntax JPEG Baseline",
        folder / "absent.png": "mask absent.png file not found",
    }
    for path, reason in cases.items():
        with pytest.raises(ImageError, match=reason) as caught:
            read_reference({"": path}, {"lung": [1, 2, 3]}, SHAPE)
        assert str(folder) not in str(caught.value)


def test_the_real_masks_are_read(shared: Path) -> None:
    montgomery = shared / "montgomery-138"
    name = "MCUCXR_0001_0.png"
    mask = read_reference({"": montgomery / "masks" / name}, {"lungs": None}, (512, 512))
    assert mask.notes == ("mask_antialiased",)
    stored = np.array(Image.open(BytesIO((montgomery / "masks" / name).read_bytes())))
    np.testing.assert_array_equal(mask.bits, stored > 127)
    sides = read_reference({"": montgomery / "left_right_label" / name}, {"left": [1], "right": [2]}, (512, 512))
    columns = np.arange(512)
    left, right = ((sides.bits == bit).sum(axis=0) @ columns / (sides.bits == bit).sum() for bit in (1, 2))
    assert left > right  # the patient's left is at the viewer's right


def test_a_radiograph_in_the_place_of_its_mask_is_not_cut_at_half(folder: Path) -> None:
    rows, columns = np.indices((60, 80))
    picture = (255 * np.exp(-(((rows - 25) / 40) ** 2) - ((columns - 45) / 50) ** 2)).astype(np.uint8)
    Image.fromarray(picture).save(folder / "radiograph.png")
    with pytest.raises(ImageError, match="looks like a grey picture, not like a mask: 83% of its pixels"):
        read_reference({"lung": folder / "radiograph.png"}, {"lung": None}, (60, 80))


def test_labels_in_a_file_for_one_class_are_not_taken_for_soft_edges(folder: Path) -> None:
    labels = np.zeros((60, 80), np.uint8)
    labels[5:25, 5:25], labels[30:50, 10:30], labels[10:40, 40:70] = 85, 170, 255
    Image.fromarray(labels).save(folder / "labels.png")
    with pytest.raises(ImageError, match="looks like a label image"):
        read_reference({"lung": folder / "labels.png"}, {"lung": None}, (60, 80))
    soft = np.asarray(
        Image.fromarray(np.uint8(labels > 200) * np.uint8(255)).resize((70, 50), Image.Resampling.BILINEAR)
    )
    Image.fromarray(soft).save(folder / "soft.png")
    assert "mask_antialiased" in read_reference({"lung": folder / "soft.png"}, {"lung": None}, soft.shape).notes

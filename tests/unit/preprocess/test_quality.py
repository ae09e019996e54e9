"""What is measured on one image: asymmetric pictures whose answers can be told by hand."""

import cv2
import numpy as np
import pytest

from segpipe.config import Dicom, Preprocess
from segpipe.demo.render import phantom_arrays
from segpipe.images.read import read_radiograph
from segpipe.images.types import Decisions, Radiograph
from segpipe.preprocess.geometry import fit_picture, pad, plan_fit
from segpipe.preprocess.intensity import apply_window, choose_window
from segpipe.preprocess.quality import FINGERPRINTS, MEASURES, field, measure, perceptual_hash, polarity_score

SIZE = 256


def measured(picture, mask=None, value_range=(0.0, 255.0), dtype="uint8"):
    geometry = plan_fit(picture.shape, SIZE, "letterbox")
    image = pad(fit_picture(picture, geometry), geometry)
    if dtype == "uint16":
        image = image.astype(np.uint16) * 257
    radiograph = Radiograph(picture, value_range, None, Decisions("PNG", 8))
    masks = None if mask is None else np.stack([pad(fit_picture(mask, geometry), geometry)])
    return measure(image, radiograph, geometry, masks, ["limb"])


def limb(background=10, bone=200, flesh=90):
    """A limb with a bone in a field of air, a little off the centre."""
    picture = np.full((240, 160), background, np.uint8)
    picture[:, 50:105] = flesh
    picture[:, 70:80] = bone
    picture[::4, 71:79] -= np.uint8(12)
    picture[200:230, 60:100] = bone
    return cv2.GaussianBlur(picture, (0, 0), 1.5)


def collimated(shutter):
    picture = np.full((300, 260), shutter, np.uint8)
    picture[:, 60:220] = np.vstack([limb()[:60], limb()])
    return picture


PICTURES = {
    "chest": np.rint(phantom_arrays(1, (240, 200))[0].clip(0, 1) * 255).astype(np.uint8),
    "limb": limb(),
    "limb behind a white collimator": collimated(255),
    "limb behind a black collimator": collimated(0),
    "letterboxed limb": np.pad(limb(), ((0, 0), (70, 70))),
}


@pytest.mark.parametrize("name", PICTURES)
def test_the_polarity_score_tells_a_radiograph_from_its_negative(name):
    picture = PICTURES[name]
    assert polarity_score(picture) > 0.15
    assert polarity_score(255 - picture) < -0.15


def test_a_picture_of_nothing_has_no_polarity():
    assert polarity_score(np.full((100, 80), 77, np.uint8)) == 0
    assert polarity_score(np.arange(12, dtype=np.uint8).reshape(3, 4)) == pytest.approx(0, abs=2)
    assert polarity_score(np.full((1, 500), 3, np.uint8)) == 0


def test_the_polarity_of_a_tiny_picture_is_not_judged():
    assert measured(limb()[:60, :60])["polarity_score"] is None
    assert measured(limb())["polarity_score"] > 0.15


def test_the_field_leaves_out_flat_borders_only():
    noise = np.random.default_rng(0).integers(0, 255, (64, 48), dtype=np.uint8)
    assert field(noise) == (slice(0, 64), slice(0, 48))
    framed = noise.copy()
    framed[:, :10] = 0
    framed[54:] = 255
    assert field(framed) == (slice(0, 54 - 3), slice(10 + 3, 48))


def test_the_real_negative_is_told_from_the_same_picture(shared):
    scores = {}
    for path in sorted((shared / "radiographs-dicom").glob("*.dcm")):
        radiograph = read_radiograph(path)
        fitted = fit_picture(radiograph.pixels, plan_fit(radiograph.shape, 512, "letterbox"))
        window = choose_window(radiograph, fitted, Preprocess(), Dicom())
        scores[path.name] = polarity_score(apply_window(fitted, window, np.dtype(np.uint8)))
    assert scores["Fake_MONOHR1.dcm"] < -0.15
    assert [name for name, score in scores.items() if score < -0.15] == ["Fake_MONOHR1.dcm"]


def test_all_columns_are_there_with_and_without_a_mask():
    for mask in (None, np.zeros((240, 160), np.uint8)):
        assert set(measured(limb(), mask)) == {*MEASURES, *FINGERPRINTS, "mask_share_limb"}


def test_a_mask_is_measured_on_the_picture_without_padding():
    mask = np.zeros((240, 160), np.uint8)
    mask[:120, 40:80] = 1
    found = measured(limb(), mask)
    assert found["mask_share_limb"] == pytest.approx(0.125, abs=0.005)
    assert found["mask_outside_field"] == 0
    assert measured(limb(), np.zeros((240, 160), np.uint8))["mask_share_limb"] == 0


def test_a_mask_in_the_border_is_outside_the_field():
    mask = np.zeros((240, 300), np.uint8)
    mask[50:150, :50] = 1
    letterboxed = PICTURES["letterboxed limb"]
    assert measured(letterboxed, mask)["mask_outside_field"] > 0.9


def test_clipping_counts_the_ends_of_the_declared_range_within_the_field():
    noise = np.random.default_rng(0).integers(1, 255, (200, 100), dtype=np.uint8)
    noise[:50] = np.where(noise[:50] > 128, 255, noise[:50])
    found = measured(noise)
    assert found["white_share"] == pytest.approx(0.125, abs=0.02)
    assert found["black_share"] == 0
    assert measured(noise, value_range=(0.0, 4095.0))["white_share"] == 0


def test_a_mask_taken_for_an_image_has_few_grey_levels():
    mask = np.zeros((256, 200), np.uint8)
    mask[40:90, 60:140] = 255
    assert measured(mask)["grey_levels"] == 2
    assert measured(limb())["grey_levels"] > 16


def test_sixteen_bits_measure_like_eight():
    assert measured(limb(), dtype="uint16") == measured(limb())


def test_the_hash_is_64_digits_that_start_with_the_lowest_frequencies():
    smooth = cv2.resize(np.random.default_rng(1).uniform(0, 255, (4, 4)).astype(np.float32), (32, 32))
    fine = smooth + 8 * np.cos(np.pi * (2 * np.arange(32) + 1) * 12 / 64)  # frequency 12, beyond the lowest 8
    one, two = (perceptual_hash(np.clip(item, 0, 255).astype(np.uint8)) for item in (smooth, fine))
    assert len(one) == 64
    assert (int(one[:16], 16) ^ int(two[:16], 16)).bit_count() <= 8
    assert int(one[:16], 16) < 2**63, "the mean's place is empty"

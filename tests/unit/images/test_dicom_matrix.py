"""One picture stored in every way that DICOM has: it always comes out with the same pixels, bone bright.

The stored values of a cell are built backwards from the picture. Everything between them and the grey values is a
function of the stored word, and decoding ends at that word, so that the matrix falls into two factors: syntaxes x
bits x sign x allocation, and tags x bits x sign. Both are gone through completely; a seeded sample of the whole
product shows that they do not touch.
"""

import itertools
import random
from functools import cache
from typing import Any

import numpy as np
import pytest
from pydicom import uid

from segpipe.config import Dicom
from segpipe.images.read import read_radiograph
from segpipe.images.types import Radiograph
from tests.unit.images.pictures import asymmetric, dataset_of, dicom_file, file_of, lut_item

SYNTAXES = (
    uid.ImplicitVRLittleEndian,
    uid.ExplicitVRLittleEndian,
    uid.DeflatedExplicitVRLittleEndian,
    uid.ExplicitVRBigEndian,
    uid.RLELossless,
    uid.JPEGLosslessSV1,
    uid.JPEGLSLossless,
    uid.JPEG2000Lossless,
)
BITS = (8, 10, 12, 14, 16)
PHOTOMETRIC = ("MONOCHROME1", "MONOCHROME2")
SHAPES = (None, "", "IDENTITY", "INVERSE")  # None: absent
VOIS = ("none", "empty", "LINEAR", "two windows", "LINEAR_EXACT", "SIGMOID", "lut")
RESCALES = ("none", "empty", "shifted", "fraction", "negative", "sequence")
ROWS, COLUMNS = 33, 37

Cell = tuple[str, str | None, str, str, int, bool]  # photometric, shape, voi, rescale, bits, signed


def is_possible(cell: Cell) -> bool:
    """A VOI LUT's inputs are whole numbers, so that it has no entries for half of a fraction's values."""
    return not (cell[2] == "lut" and cell[3] in ("fraction", "negative"))


@cache
def picture(bits: int) -> np.ndarray:
    """Air dark at 0, bone bright at 2 ** bits - 1."""
    return asymmetric(2**bits - 1, ROWS, COLUMNS)


@cache
def scrambled(bits: int) -> np.ndarray:
    """A table that gives every number below 2 ** bits another: what it is undone by cannot be left out."""
    return (np.arange(2**bits) * 5 + 3) % 2**bits


@cache
def unscrambled(bits: int) -> np.ndarray:
    """What undoes :func:`scrambled`."""
    return np.argsort(scrambled(bits))


def modality_of(rescale: str, bits: int, signed: bool) -> tuple[float, float, dict[str, Any]]:
    """Step and lowest value of the Modality LUT's output, and the tags that make it."""
    lowest = -(2 ** (bits - 1)) if signed else 0
    if rescale == "none":
        return 1, lowest, {}
    if rescale == "empty":
        return 1, lowest, {"RescaleSlope": "", "RescaleIntercept": "", "ModalityLUTSequence": []}
    if rescale == "sequence":
        return 1, 0, {"ModalityLUTSequence": [lut_item(lowest, scrambled(bits), bits)]}
    # the shift keeps a VOI LUT's first input within 16 bits
    slope, intercept = {"shifted": (1, 100 if signed else -100), "fraction": (0.5, 7), "negative": (-2, 31)}[rescale]
    ends = sorted((lowest * slope + intercept, (lowest + 2**bits - 1) * slope + intercept))
    return abs(slope), ends[0], {"RescaleSlope": slope, "RescaleIntercept": intercept}


def voi_of(voi: str, step: float, low: float, bits: int) -> dict[str, Any]:
    """The tags of a VOI that spans everything the Modality LUT can return."""
    span = step * (2**bits - 1)
    exact = {"WindowCenter": low + span / 2, "WindowWidth": span}
    linear = {"WindowCenter": low + span / 2 + 0.5, "WindowWidth": span + 1}
    return {
        "none": {},
        "empty": {"WindowCenter": "", "WindowWidth": "", "VOILUTSequence": [], "VOILUTFunction": ""},
        "LINEAR": linear,
        "two windows": {key: [value, 1.0] for key, value in linear.items()} | {"VOILUTFunction": "LINEAR"},
        "LINEAR_EXACT": exact | {"VOILUTFunction": "LINEAR_EXACT"},
        "SIGMOID": exact | {"VOILUTFunction": "SIGMOID"},
        "lut": {"VOILUTSequence": [lut_item(int(low), np.rint(scrambled(bits) / (2**bits - 1) * 65535), 16)]},
    }[voi]


def stored_as(cell: Cell) -> tuple[np.ndarray, dict[str, Any]]:
    """The stored values and tags under which :func:`picture` is what the standard says is shown."""
    photometric, shape, voi, rescale, bits, signed = cell
    inverted = shape == "INVERSE" or (not shape and photometric == "MONOCHROME1")
    step, low, tags = modality_of(rescale, bits, signed)
    greys = 2**bits - 1 - picture(bits) if inverted else picture(bits)
    if voi == "lut":
        greys = unscrambled(bits)[greys]
    if rescale == "sequence":
        greys = unscrambled(bits)[greys]
    elif rescale == "negative":
        greys = 2**bits - 1 - greys
    tags |= voi_of(voi, step, low, bits) | {"PhotometricInterpretation": photometric}
    if shape is not None:
        tags["PresentationLUTShape"] = shape
    return greys - (2 ** (bits - 1) if signed else 0), tags


def notes_of(radiograph: Radiograph) -> list[str]:
    """All but that JPEG-LS of signed values was written with the allocated bits."""
    return [note for note in radiograph.decisions.notes if note != "codestream_bits:16"]


def check(radiograph: Radiograph, cell: Cell) -> None:
    """The pixels are the picture's, whatever the cell."""
    photometric, shape, voi, rescale, bits, signed = cell
    share = picture(bits) / (2**bits - 1)
    if voi in ("none", "empty"):  # Modality LUT's values, mirrored in their range where inverted
        step, low, _ = modality_of(rescale, bits, signed)
        np.testing.assert_array_equal(radiograph.pixels, low + step * picture(bits), err_msg=str(cell))
        assert radiograph.value_range == (low, low + step * (2**bits - 1)), cell
        assert radiograph.display_range is None, cell
    elif voi == "SIGMOID":  # its two branches are rounded differently by exp, hence one step of 65535
        expected = np.rint(65535 / (1 + np.exp(-4 * (share - 0.5))))
        assert np.abs(radiograph.pixels - expected).max() <= 1, cell
    else:
        np.testing.assert_array_equal(radiograph.pixels, np.rint(share * 65535), err_msg=str(cell))
        assert radiograph.display_range == (0, 65535), cell
    assert radiograph.pixels[2, 4] > radiograph.pixels[-1, -1], cell  # bone over air
    contradictory = (photometric, shape) in (("MONOCHROME1", "IDENTITY"), ("MONOCHROME2", "INVERSE"))
    assert notes_of(radiograph) == ["polarity_tags_disagree"] * contradictory, cell


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("bits", BITS)
def test_every_combination_of_tags_shows_the_same_picture(bits: int, signed: bool) -> None:
    choices = itertools.product(PHOTOMETRIC, SHAPES, VOIS, RESCALES, (bits,), (signed,))
    cells = [cell for cell in choices if is_possible(cell)]
    assert len(cells) == 2 * 4 * (7 * 6 - 2)
    for cell in cells:
        stored, tags = stored_as(cell)
        check(read_radiograph(dicom_file(stored, bits, signed, **tags)), cell)


@pytest.mark.parametrize("syntax", SYNTAXES, ids=lambda syntax: syntax.name.replace(" ", ""))
def test_every_syntax_holds_the_same_values(syntax: uid.UID) -> None:
    for bits, signed, allocated in itertools.product(range(8, 17), (False, True), (8, 16)):
        if allocated < bits or (syntax == uid.RLELossless and allocated == 2 * bits):
            continue  # the latter is written so that nothing reads it, pydicom not excepted
        stored = picture(bits) - (2 ** (bits - 1) if signed else 0)
        radiograph = read_radiograph(file_of(dataset_of(stored, bits, signed, allocated), syntax))
        np.testing.assert_array_equal(radiograph.pixels, stored, err_msg=f"{bits=} {signed=} {allocated=}")
        assert radiograph.value_range == (stored.min(), stored.max())
        assert notes_of(radiograph) == []
        assert radiograph.decisions.transfer_syntax == syntax


def test_a_sample_of_the_whole_product_shows_the_same_picture() -> None:
    draw = random.Random(20240611)
    read = 0
    while read < 400:
        syntax = draw.choice(SYNTAXES)
        cell = tuple(draw.choice(choices) for choices in (PHOTOMETRIC, SHAPES, VOIS, RESCALES, BITS, (False, True)))
        if not is_possible(cell):
            continue
        stored, tags = stored_as(cell)
        check(read_radiograph(dicom_file(stored, cell[4], cell[5], syntax, **tags)), cell)
        read += 1


@pytest.mark.parametrize("syntax", [*SYNTAXES[:5]], ids=lambda syntax: syntax.name.replace(" ", ""))
@pytest.mark.parametrize("signed", [False, True])
def test_values_at_any_place_in_the_word_are_found(syntax: uid.UID, signed: bool) -> None:
    for bits, high in ((10, 9), (10, 12), (10, 15), (12, 15), (15, 15), (16, 15)):
        values = picture(bits) - (2 ** (bits - 1) if signed else 0)
        words = (values << (high + 1 - bits)) & 0xFFFF
        if signed:
            words = words.astype(np.uint16).view(np.int16)
        data = file_of(dataset_of(words, 16, signed, BitsStored=bits, HighBit=high), syntax)
        np.testing.assert_array_equal(read_radiograph(data).pixels, values, err_msg=f"{bits=} {high=}")


def test_overlays_in_unused_bits_leave_the_picture_alone() -> None:
    for bits, signed, high in itertools.product((10, 12, 15), (False, True), (None, 14)):
        high = bits - 1 if high is None else high
        values = picture(bits) - (2 ** (bits - 1) if signed else 0)
        words = ((values & (2**bits - 1)) << (high + 1 - bits)) | 0x8000 * (np.indices(values.shape)[1] % 2)
        tags = {"BitsStored": bits, "HighBit": high, "PixelRepresentation": int(signed)}
        radiograph = read_radiograph(dicom_file(words, 16, **tags))
        np.testing.assert_array_equal(radiograph.pixels, values, err_msg=f"{bits=} {signed=} {high=}")


@pytest.mark.parametrize(("policy", "index"), [*itertools.product(("auto", "window"), range(3))])
def test_each_of_several_windows_can_be_asked_for(policy: Any, index: int) -> None:
    centres, widths = [2048, 1000, 3000], [4096, 500, 1]
    for photometric, bits in itertools.product(PHOTOMETRIC, (12, 16)):
        stored = asymmetric(4095)
        tags = {"WindowCenter": centres, "WindowWidth": widths, "PhotometricInterpretation": photometric}
        pixels = read_radiograph(dicom_file(stored, bits, **tags), Dicom(voi=policy, window=index)).pixels
        low, high = centres[index] - widths[index] / 2, centres[index] + widths[index] / 2 - 1
        if widths[index] == 1:
            expected = np.where(stored > centres[index] - 0.5, 65535, 0)
        else:
            expected = np.rint(np.clip((stored - low) / (high - low), 0, 1) * 65535)
        np.testing.assert_array_equal(pixels, 65535 - expected if photometric == "MONOCHROME1" else expected)

"""segpipe's grey values against highdicom's and pydicom's, over every stored value; and where those two are wrong."""

import itertools
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.pixels.processing import apply_modality_lut, apply_presentation_lut, apply_voi_lut

from segpipe.images.read import read_radiograph
from tests.unit.images.pictures import dicom_file, lut_item
from tests.unit.images.test_dicom_matrix import (
    PHOTOMETRIC,
    RESCALES,
    SHAPES,
    VOIS,
    Cell,
    is_possible,
    modality_of,
    voi_of,
)

STEP = 1 / 65535
BITS = (8, 12, 16)


def every_value(bits: int, signed: bool) -> np.ndarray:
    """A picture that has each stored value once; (rows, columns)."""
    values = np.arange(2**bits) - (2 ** (bits - 1) if signed else 0)
    return values.reshape(2 ** (bits // 2), -1)


def file_and_range(cell: Cell) -> tuple[bytes, tuple[float, float]]:
    photometric, shape, voi, rescale, bits, signed = cell
    step, low, tags = modality_of(rescale, bits, signed)
    tags |= voi_of(voi, step, low, bits) | {"PhotometricInterpretation": photometric}
    if shape is not None:
        tags["PresentationLUTShape"] = shape
    return dicom_file(every_value(bits, signed), bits, signed, **tags), (low, low + step * (2**bits - 1))


def cells(bits: int, signed: bool) -> list[Cell]:
    choices = itertools.product(PHOTOMETRIC, SHAPES, VOIS, RESCALES, (bits,), (signed,))
    return [cell for cell in choices if is_possible(cell)]


def by_segpipe(data: bytes) -> np.ndarray:
    """Modality values where no VOI applies, else 0..1; float64."""
    radiograph = read_radiograph(data)
    return radiograph.pixels.astype(np.float64) / (1 if radiograph.decisions.voi == "none" else 65535)


def by_highdicom(data: bytes) -> np.ndarray:
    import highdicom

    image = highdicom.imread(BytesIO(data))
    return image.get_frame(1, apply_voi_transform=None, apply_real_world_transform=False)


def by_pydicom(data: bytes) -> np.ndarray:
    dataset = pydicom.dcmread(BytesIO(data))
    values = apply_voi_lut(apply_modality_lut(dataset.pixel_array, dataset), dataset)
    return apply_presentation_lut(values, dataset).astype(np.float64)


def highdicom_is_wrong(cell: Cell) -> str:
    photometric, shape, voi, rescale, bits, _ = cell
    if "empty" in (voi, rescale):
        return "an empty sequence raises IndexError"
    if shape == "" and photometric == "MONOCHROME1":
        return "an empty Presentation LUT Shape hides the Photometric Interpretation"
    if rescale == "sequence":
        return "refuses a Modality LUT whose entries are not 8 bits in bytes or 16, or of 65536 entries"
    if voi == "lut" and bits == 16:
        return "refuses a VOI LUT of 65536 entries, which is written as 0"
    if voi in ("LINEAR", "two windows") and rescale in ("fraction", "negative"):
        return "divides centre and width of LINEAR by the slope, but not the halves and ones of its formula"
    return ""


def pydicom_is_wrong(cell: Cell) -> str:
    photometric, shape, voi, rescale, bits, signed = cell
    if rescale == "empty":
        return "an empty Rescale Slope raises TypeError"
    if shape == "":
        return "an empty Presentation LUT Shape raises NotImplementedError"
    if shape == "INVERSE":
        return "inverts by the picture's maximum"
    if shape is None and photometric == "MONOCHROME1":
        return "a bare MONOCHROME1 is not inverted"
    if rescale == "sequence" and bits not in (8, 16):
        return "a Modality LUT of other than 8 or 16 bits raises TypeError"
    if signed and bits in (8, 16) and (rescale == "sequence" or (voi == "lut" and rescale == "none")):
        return "the distance from a LUT's first input overflows the pixels' signed type"
    if voi not in ("none", "empty", "lut") and rescale == "negative":
        return "a negative slope turns a window round"
    return ""


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("bits", BITS)
def test_highdicom_shows_the_same_greys_where_it_is_right(bits: int, signed: bool) -> None:
    compared = 0
    for cell in cells(bits, signed):
        if highdicom_is_wrong(cell):
            continue
        data, _ = file_and_range(cell)
        np.testing.assert_allclose(by_segpipe(data), by_highdicom(data), rtol=0, atol=STEP, err_msg=str(cell))
        compared += 1
    assert compared > 100


@pytest.mark.filterwarnings("ignore:Applying a VOI LUT on a float")
@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("bits", BITS)
def test_pydicom_shows_the_same_greys_where_it_is_right(bits: int, signed: bool) -> None:
    compared = 0
    for cell in cells(bits, signed):
        if pydicom_is_wrong(cell):
            continue
        data, (low, high) = file_and_range(cell)
        theirs = by_pydicom(data)
        if cell[2] == "lut":
            theirs = theirs / 65535
        elif cell[2] not in ("none", "empty"):  # its windows return the range of the Modality LUT
            theirs = (theirs - low) / (high - low)
        np.testing.assert_allclose(by_segpipe(data), theirs, rtol=0, atol=STEP, err_msg=str(cell))
        compared += 1
    assert compared > 60


WRONG: tuple[tuple[Any, Cell], ...] = (
    (by_highdicom, ("MONOCHROME2", None, "empty", "none", 12, False)),
    (by_highdicom, ("MONOCHROME1", "", "none", "none", 12, False)),
    (by_highdicom, ("MONOCHROME2", None, "none", "sequence", 12, False)),
    (by_highdicom, ("MONOCHROME2", None, "lut", "none", 16, False)),
    (by_highdicom, ("MONOCHROME2", None, "LINEAR", "fraction", 8, False)),
    (by_pydicom, ("MONOCHROME2", None, "none", "empty", 12, False)),
    (by_pydicom, ("MONOCHROME2", "", "none", "none", 12, False)),
    (by_pydicom, ("MONOCHROME1", "INVERSE", "none", "shifted", 12, False)),
    (by_pydicom, ("MONOCHROME1", None, "none", "none", 12, False)),
    (by_pydicom, ("MONOCHROME2", None, "none", "sequence", 12, False)),
    (by_pydicom, ("MONOCHROME2", None, "none", "sequence", 8, True)),
    (by_pydicom, ("MONOCHROME2", None, "LINEAR", "negative", 12, False)),
)


@pytest.mark.parametrize(("reference", "cell"), WRONG)
def test_what_is_said_of_the_references_is_true(reference: Any, cell: Cell) -> None:
    data, _ = file_and_range(cell)
    assert (highdicom_is_wrong if reference is by_highdicom else pydicom_is_wrong)(cell)
    ours = by_segpipe(data)
    try:
        theirs = reference(data)
    except (IndexError, NotImplementedError, RuntimeError, TypeError):
        return
    if cell[2] == "LINEAR" and reference is by_pydicom:
        theirs = (theirs - theirs.min()) / np.ptp(theirs)
    assert np.abs(ours - theirs).max() > STEP, "no longer wrong: compare this cell, too"


def test_every_exception_has_its_proof() -> None:
    every = [cell for bits, signed in itertools.product(BITS, (False, True)) for cell in cells(bits, signed)]
    for reference, wrong in ((by_highdicom, highdicom_is_wrong), (by_pydicom, pydicom_is_wrong)):
        shown = {wrong(cell) for by, cell in WRONG if by is reference}
        assert {wrong(cell) for cell in every} == shown | {""}


@pytest.mark.parametrize("photometric", PHOTOMETRIC)
def test_a_modality_lut_that_highdicom_reads_shows_the_same_greys(photometric: str) -> None:
    table = lut_item(0, (np.arange(4096) * 7 + 1) % 4096 * 16, 16)
    table.ModalityLUTType = "US"
    tags = {"ModalityLUTSequence": [table], "WindowCenter": 30000, "WindowWidth": 40000}
    data = dicom_file(every_value(12, False), 12, PhotometricInterpretation=photometric, **tags)
    np.testing.assert_allclose(by_segpipe(data), by_highdicom(data), rtol=0, atol=STEP)


def test_inversion_is_over_the_declared_range_and_not_over_the_pictures_own() -> None:
    stored = every_value(12, False) // 4  # up to 1023
    data = dicom_file(stored, 12, PhotometricInterpretation="MONOCHROME1", PresentationLUTShape="INVERSE")
    np.testing.assert_array_equal(by_segpipe(data), 4095 - stored)
    np.testing.assert_array_equal(by_highdicom(data), 4095 - stored)
    np.testing.assert_array_equal(by_pydicom(data), 1023 - stored)  # depends on what is in the picture


def test_a_voi_lut_is_scaled_by_its_declared_bits_and_not_by_its_own_extremes() -> None:
    entries = 1000 + np.arange(4096) * 2  # C.11.2.1.1: the output range is 0 to 2 ** n - 1
    data = dicom_file(every_value(12, False), 12, VOILUTSequence=[lut_item(0, entries, 16)])
    np.testing.assert_allclose(by_segpipe(data).ravel(), entries / 65535, rtol=0, atol=STEP)
    np.testing.assert_allclose(by_pydicom(data).ravel(), entries)
    assert by_highdicom(data).max() == 1


def test_a_modality_lut_before_a_voi_lut_loses_highdicom_the_inversion() -> None:
    modality, voi = lut_item(0, np.arange(4096) * 16, 16), lut_item(0, np.arange(65535), 16)
    modality.ModalityLUTType = "US"
    tags = {"ModalityLUTSequence": [modality], "VOILUTSequence": [voi], "PresentationLUTShape": "INVERSE"}
    data = dicom_file(every_value(12, False), 12, PhotometricInterpretation="MONOCHROME1", **tags)
    np.testing.assert_allclose(by_segpipe(data).ravel(), 1 - np.arange(4096) * 16 / 65535, rtol=0, atol=STEP)
    np.testing.assert_array_equal(by_highdicom(data).ravel(), np.arange(4096) * 16)


def test_a_long_voi_lut_of_8_bits_wraps_round_in_pydicom() -> None:
    entries = np.arange(4096) // 16
    data = dicom_file(every_value(12, False), 12, VOILUTSequence=[lut_item(0, entries, 8)])
    np.testing.assert_allclose(by_segpipe(data).ravel(), entries / 255, rtol=0, atol=STEP)
    assert by_pydicom(data).max() < 255


@pytest.mark.parametrize(
    ("name", "tolerance"),
    [
        ("RG1_UNCR", STEP),
        ("RG3_UNCR", STEP),
        ("dicom_00000001_000", STEP),
        ("xrv_cr", 1),  # JPEG baseline, whose decoders may differ by one grey of 255
        ("Fake_MONOHR1", 1),
    ],
)
def test_real_files_have_the_greys_that_highdicom_shows(shared: Path, name: str, tolerance: float) -> None:
    data = (shared / "radiographs-dicom" / f"{name}.dcm").read_bytes()
    np.testing.assert_allclose(by_segpipe(data), by_highdicom(data), rtol=0, atol=tolerance)

"""One DICOM radiograph to a grey picture. ``docs/dicom.md`` says the same in plain English.

The order is the standard's: stored values, Modality LUT, VOI LUT, polarity (PS3.4 N.2). Clauses are those
of DICOM PS3.3.
"""

import numpy as np

from segpipe.config import Dicom
from segpipe.errors import ImageError
from segpipe.io import dicom_lut as lut
from segpipe.io.dicom_accept import Picture, check
from segpipe.io.dicom_decode import decodable_transfer_syntaxes, decode
from segpipe.io.dicom_header import Header, read_header
from segpipe.io.dicom_spacing import find_spacing
from segpipe.io.radiograph import Decisions, Radiograph, Target

__all__ = ["decodable_transfer_syntaxes", "read_dicom"]

WHITE = 65535  # of the output where a window or VOI LUT was applied


def read_dicom(data: bytes, policy: Dicom, invert: bool | None = None, target: Target | None = None) -> Radiograph:
    """Decode a single-frame radiograph from a DICOM file's bytes.

    With the file's window or VOI LUT applied the pixels are uint16 over 0..65535. Without, they are the
    Modality LUT's values: uint8 or uint16 where these are whole numbers in that range, else float32.
    Raises ImageError for everything that is not a readable projection radiograph.
    """
    header = read_header(data)
    picture = check(header, data)
    words = decode(header, picture.rows, picture.columns, picture.words.allocated)
    if np.any(words & words.dtype.type(picture.words.unused_mask)) and not picture.words.signed:
        header.note("unused_bits_masked")  # C.7.6.3: overlays of old files live there

    stored = picture.words.values()
    padding = lut.padding_words(header, stored)
    modality = lut.apply_modality_lut(header, stored, picture.words.range)
    voi = lut.apply_voi(header, modality, policy)
    inverted, invert_source = polarity(header, invert)
    table, value_range = _output_table(voi or modality, inverted, windowed=voi is not None)
    pixels = np.take(table, words, mode="clip")  # faster than checking; the table has every word
    if padding is not None:
        _darken(pixels, padding[words], header, darkest=value_range[0] if _is_final(voi, policy) else None)
    spacing = find_spacing(header)
    return Radiograph(
        pixels=pixels,
        value_range=value_range,
        display_range=value_range if _is_final(voi, policy) else None,
        decisions=_decisions(header, picture, modality, voi, (inverted, invert_source), spacing),
        patient_id=header.patient_id,
    )


def polarity(header: Header, invert: bool | None) -> tuple[bool, str]:
    """Whether the picture has to be inverted to show bone bright, and who says so.

    The sample sheet, else Presentation LUT Shape (C.11.6.1.2), else Photometric Interpretation
    (C.7.6.3.1.2): MONOCHROME1 usually comes with INVERSE, and both mean the same one inversion.
    """
    if invert is not None:
        return invert, "sheet"
    shape, photometric = header.term("PresentationLUTShape"), header.term("PhotometricInterpretation")
    if shape in ("INVERSE", "IDENTITY"):
        inverse = shape == "INVERSE"
        if photometric in ("MONOCHROME1", "MONOCHROME2") and inverse != (photometric == "MONOCHROME1"):
            header.note("polarity_tags_disagree")
        return inverse, "PresentationLUTShape"
    if not photometric:
        raise ImageError(
            "says nowhere whether high values are bright (no Photometric Interpretation); "
            "say so in the column invert of the sample sheet"
        )
    return photometric == "MONOCHROME1", "PhotometricInterpretation"


def _is_final(voi: lut.Greys | None, policy: Dicom) -> bool:
    """Whether the output's range is what shall be displayed, so that no percentiles are needed."""
    return voi is not None or policy.voi == "none"


def _output_table(greys: lut.Greys, inverted: bool, windowed: bool) -> tuple[np.ndarray, tuple[float, float]]:
    """The output value of every stored word, and the output's range.

    Inversion mirrors the declared range; mirroring at the picture's own maximum would make its
    brightness depend on what happens to be in it.
    """
    if windowed:
        table = np.rint(greys.values * WHITE).astype(np.uint16)
        return (WHITE - table if inverted else table), (0.0, float(WHITE))
    low, high = greys.range
    values = low + high - greys.values if inverted else greys.values
    whole = bool((values == np.rint(values)).all())
    for dtype in (np.uint8, np.uint16):
        if whole and low >= 0 and max(high, values.max()) <= np.iinfo(dtype).max:
            return values.astype(dtype), greys.range
    return values.astype(np.float32), greys.range


def _darken(pixels: np.ndarray, padding: np.ndarray, header: Header, darkest: float | None) -> None:
    """Make padding black in place: ``darkest``, or else the darkest value beside it.

    The latter keeps percentiles over the picture from being drawn to a value that only padding has.
    """
    fraction = float(padding.mean())
    if fraction == 0:
        return
    header.note(f"padding:{fraction:.4f}")
    if fraction == 1:
        raise ImageError("consists of padding only, there is no picture in it")
    pixels[padding] = pixels[~padding].min() if darkest is None else darkest


def _decisions(
    header: Header,
    picture: Picture,
    modality: lut.Greys,
    voi: lut.Greys | None,
    polarity_: tuple[bool, str],
    spacing: tuple[float | None, float | None, str],
) -> Decisions:
    return Decisions(
        format="DICOM",
        bits_stored=picture.words.stored,
        transfer_syntax=str(header.transfer_syntax),
        modality=picture.modality,
        photometric_interpretation=picture.photometric,
        modality_lut=modality.source,
        voi=voi.source if voi else "none",
        inverted=polarity_[0],
        invert_source=polarity_[1],
        spacing_row_mm=spacing[0],
        spacing_column_mm=spacing[1],
        spacing_source=spacing[2],
        notes=tuple(header.notes),
    )

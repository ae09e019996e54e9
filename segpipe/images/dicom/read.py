"""One DICOM radiograph to a grey image. ``docs/dicom.md`` says the same in plain English.

The order is the standard's: stored values, Modality LUT, VOI LUT, polarity (PS3.4 N.2). Clauses are those
of DICOM PS3.3.
"""

import numpy as np

from segpipe.config import Dicom
from segpipe.errors import ImageError
from segpipe.images.dicom.accept import DicomImage, check
from segpipe.images.dicom.greys import Greys, apply_modality_lut, apply_voi, padding_words
from segpipe.images.dicom.header import Header, read_header
from segpipe.images.dicom.pixels import choose_frame, decode
from segpipe.images.dicom.spacing import find_spacing
from segpipe.images.types import Decisions, Radiograph, Target, look_up

WHITE = 65535  # of the output where a window or VOI LUT was applied


def read_dicom(data: bytes, policy: Dicom, invert: bool | None = None, target: Target | None = None) -> Radiograph:
    """Decode a radiograph, of several frames the one that ``policy.frame`` names, from a DICOM file's bytes.

    With ``target`` and ``policy.j2k_resolution: auto``, JPEG 2000 is decoded at a lower resolution not below it.
    With the file's window or VOI LUT applied the pixels are uint16 over 0..65535. Without, they are the
    Modality LUT's values: uint8 or uint16 where these are whole numbers in that range, else float32.
    Raises ImageError for everything that is not a readable projection radiograph.
    """
    header = read_header(data)
    image = check(header, data)
    stored = image.words.values()
    padding = padding_words(header, stored, image.words.signed)
    index = choose_frame(image.frames, policy.frame)
    reducible = padding is None and policy.j2k_resolution == "auto"  # padding would be mixed with the picture
    decoded = decode(header, image, index, target((image.rows, image.columns)) if target and reducible else None)
    words = decoded.words
    unused = words.dtype.type(image.words.unused_mask)
    if unused and not image.words.signed and np.bitwise_or.reduce(words, axis=None) & unused:
        header.note("unused_bits_masked")  # C.7.6.3: overlays of old files live there

    modality = apply_modality_lut(header, stored, image.words.range)
    voi = apply_voi(header, modality, policy)
    inverted, invert_source = polarity(header, invert)
    table, value_range = _output_table(voi or modality, inverted, windowed=voi is not None)
    pixels = look_up(table, words)
    if padding is not None:
        pixels = pixels if pixels.flags.writeable else pixels.copy()
        where = look_up(padding.astype(np.uint8), words).view(np.bool_)
        _darken(pixels, where, header, darkest=value_range[0] if _is_final(voi, policy) else None)
    spacing = find_spacing(header)
    return Radiograph(
        pixels=pixels,
        value_range=value_range,
        display_range=value_range if _is_final(voi, policy) else None,
        decisions=_decisions(header, image, index, decoded.scale, modality, voi, (inverted, invert_source), spacing),
        shape=(image.rows, image.columns),
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


def _is_final(voi: Greys | None, policy: Dicom) -> bool:
    """Whether the output's range is what shall be displayed, so that no percentiles are needed."""
    return voi is not None or policy.voi == "none"


def _output_table(greys: Greys, inverted: bool, windowed: bool) -> tuple[np.ndarray, tuple[float, float]]:
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
    fraction = np.count_nonzero(padding) / padding.size
    if fraction == 0:
        return
    header.note(f"padding:{fraction:.4f}")
    if fraction == 1:
        raise ImageError("consists of padding only, there is no picture in it")
    if darkest is None:
        darkest = np.min(pixels, where=~padding, initial=pixels.max())
    np.copyto(pixels, darkest, where=padding, casting="unsafe")


def _decisions(
    header: Header,
    image: DicomImage,
    index: int,
    decoded_at: int,
    modality: Greys,
    voi: Greys | None,
    polarity_: tuple[bool, str],
    spacing: tuple[float | None, float | None, str],
) -> Decisions:
    return Decisions(
        format="DICOM",
        bits_stored=image.words.stored,
        transfer_syntax=str(header.transfer_syntax),
        modality=image.modality,
        photometric_interpretation=image.photometric,
        modality_lut=modality.source,
        voi=voi.source if voi else "none",
        frame=index + 1 if image.frames > 1 else None,
        decoded_at=decoded_at,
        burned_in_annotation=_yes_or_no(header, "BurnedInAnnotation"),
        recognizable_visual_features=_yes_or_no(header, "RecognizableVisualFeatures"),
        inverted=polarity_[0],
        invert_source=polarity_[1],
        spacing_row_mm=spacing[0],
        spacing_column_mm=spacing[1],
        spacing_source=spacing[2],
        notes=tuple(header.notes),
    )


def _yes_or_no(header: Header, keyword: str) -> str:
    """An element with the defined terms YES and NO (C.7.6.1); anything else counts as absent."""
    term = header.term(keyword)
    return term if term in ("YES", "NO") else ""

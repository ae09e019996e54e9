"""How many millimetres lie between pixels of a DICOM radiograph."""

from segpipe.images.dicom.header import Header
from segpipe.images.types import PLAUSIBLE_MM

PLAUSIBLE_MAGNIFICATION = (1.0, 10.0)

Spacing = tuple[float | None, float | None, str]


def find_spacing(header: Header) -> Spacing:
    """Row spacing, column spacing (both mm) and their source; (None, None, "unknown") where nothing can be trusted.

    Pixel Spacing (PS3.3 10.7.1; between rows first), else Imager Pixel Spacing at the detector (C.8.11.4),
    else Nominal Scanned Pixel Spacing of a digitised film (C.8.6.2), the latter two divided by
    Estimated Radiographic Magnification Factor where that is given (C.8.11.5).
    """
    magnification = _magnification(header)
    pixel = _pair(header, "PixelSpacing")
    if pixel is not None:
        _note_calibration(header, pixel, magnification)
        return *pixel, "PixelSpacing"
    for keyword in ("ImagerPixelSpacing", "NominalScannedPixelSpacing"):
        receptor = _pair(header, keyword)
        if receptor is not None and magnification is None:
            return *receptor, keyword
        if receptor is not None and magnification is not None:
            return receptor[0] / magnification, receptor[1] / magnification, f"{keyword}/magnification"
    _note_aspect(header)
    return None, None, "unknown"


def _pair(header: Header, keyword: str) -> tuple[float, float] | None:
    numbers = header.numbers(keyword)
    if not numbers:
        return None
    if len(numbers) != 2 or not all(PLAUSIBLE_MM[0] <= number <= PLAUSIBLE_MM[1] for number in numbers):
        header.note(f"spacing_implausible:{keyword}")
        return None
    return numbers[0], numbers[1]


def _magnification(header: Header) -> float | None:
    """Source-image over source-object distance; None where it is absent or cannot be."""
    magnification = header.number("EstimatedRadiographicMagnificationFactor")
    if magnification is None or PLAUSIBLE_MAGNIFICATION[0] <= magnification <= PLAUSIBLE_MAGNIFICATION[1]:
        return magnification
    header.note("magnification_implausible")
    return None


def _note_calibration(header: Header, pixel: tuple[float, float], magnification: float | None) -> None:
    """Say whether Pixel Spacing was corrected for magnification (10.7.1.1, 10.7.1.2): it is taken as it stands."""
    kind = header.term("PixelSpacingCalibrationType")
    if kind in ("GEOMETRY", "FIDUCIAL"):
        header.note(f"spacing_calibration:{kind}")
    elif magnification not in (None, 1.0) and header.numbers("ImagerPixelSpacing") == list(pixel):
        header.note("spacing_at_detector")  # a magnification is known, and Pixel Spacing leaves it out


def _note_aspect(header: Header) -> None:
    """Pixels that are not square, where no spacing says how large they are (C.7.6.3.1.7)."""
    ratio = header.numbers("PixelAspectRatio")
    if len(ratio) == 2 and min(ratio) > 0 and ratio[0] != ratio[1]:
        header.note(f"pixel_aspect_ratio:{ratio[0]:g}/{ratio[1]:g}")

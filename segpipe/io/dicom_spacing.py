"""How many millimetres lie between pixels of a DICOM radiograph."""

from segpipe.io.dicom_header import Header

PLAUSIBLE_MM = (0.001, 10.0)
PLAUSIBLE_MAGNIFICATION = (1.0, 10.0)

Spacing = tuple[float | None, float | None, str]


def find_spacing(header: Header) -> Spacing:
    """Row spacing, column spacing (both mm) and their source; (None, None, "unknown") where nothing can be trusted.

    Pixel Spacing (10.7.1.3; between rows first), else Imager Pixel Spacing at the detector (C.8.7.10)
    divided by Estimated Radiographic Magnification Factor where that is given (C.8.7.10).
    """
    pixel = _pair(header, "PixelSpacing")
    if pixel is not None:
        return *pixel, "PixelSpacing"
    imager = _pair(header, "ImagerPixelSpacing")
    if imager is None:
        return None, None, "unknown"
    magnification = header.number("EstimatedRadiographicMagnificationFactor")
    if magnification is None:
        return *imager, "ImagerPixelSpacing"
    if not PLAUSIBLE_MAGNIFICATION[0] <= magnification <= PLAUSIBLE_MAGNIFICATION[1]:
        header.note("magnification_implausible")
        return *imager, "ImagerPixelSpacing"
    return imager[0] / magnification, imager[1] / magnification, "ImagerPixelSpacing/magnification"


def _pair(header: Header, keyword: str) -> tuple[float, float] | None:
    numbers = header.numbers(keyword)
    if not numbers:
        return None
    if len(numbers) != 2 or not all(PLAUSIBLE_MM[0] <= number <= PLAUSIBLE_MM[1] for number in numbers):
        header.note(f"spacing_implausible:{keyword}")
        return None
    return numbers[0], numbers[1]

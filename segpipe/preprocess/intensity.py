"""Which grey values become black and white, recorded per image."""

from dataclasses import dataclass

import cv2
import numpy as np

from segpipe.config import Dicom, Preprocess
from segpipe.errors import ImageError
from segpipe.images.types import Radiograph, look_up


@dataclass(frozen=True)
class Window:
    """Values at or below ``low`` become 0, at or above ``high`` the largest value of the stored dtype."""

    low: float
    high: float
    method: str  # voi | full_range | percentiles


def choose_window(radiograph: Radiograph, fitted: np.ndarray, preprocess: Preprocess, dicom: Dicom) -> Window:
    """The window of one picture: the file's own where it was applied, else percentiles of the fitted picture.

    Percentiles are taken after shrinking (a quarter of a million values say as much as ten million) and
    without padding.

    Raises:
        ImageError: the picture is blank.
    """
    if radiograph.display_range is not None:
        method = "full_range" if radiograph.decisions.voi == "none" else "voi"
        window = Window(*radiograph.display_range, method)
    elif dicom.voi == "none":
        window = Window(*radiograph.value_range, "full_range")
    else:
        window = Window(*percentiles(fitted, preprocess.percentiles), "percentiles")
    smallest, largest = float(fitted.min()), float(fitted.max())
    if smallest == largest:
        raise ImageError(
            f"the picture is blank: every pixel has the value {smallest:g} after windowing ({window.method}). "
            "Nothing can be segmented in it; check the file, or its window (dicom.voi: percentile)."
        )
    if window.high <= window.low:  # nearly blank: all but a few pixels have one value
        window = Window(smallest, largest, "extremes")
    return window


def percentiles(picture: np.ndarray, wanted: tuple[float, float]) -> tuple[float, float]:
    """The smallest values that at least ``wanted`` percent of the pixels do not exceed.

    For integer pictures this reads a histogram, several times faster than sorting, and exact.
    """
    if picture.dtype in (np.uint8, np.uint16):
        counts = np.cumsum(_histogram(picture))
        low, high = (int(np.searchsorted(counts, max(1.0, q / 100 * counts[-1]))) for q in wanted)
        return float(low), float(high)
    low, high = np.percentile(picture, wanted, method="inverted_cdf")
    return float(low), float(high)


def apply_window(picture: np.ndarray, window: Window, dtype: np.dtype) -> np.ndarray:
    """Grey values over the whole range of ``dtype`` (uint8 or uint16), rounded to nearest."""
    if picture.dtype == np.uint16 or (picture.dtype == np.uint8 and dtype == np.uint8):
        return look_up(_scale(np.arange(np.iinfo(picture.dtype).max + 1), window, dtype), picture)
    return _scale(picture, window, dtype)


def _scale(values: np.ndarray, window: Window, dtype: np.dtype) -> np.ndarray:
    top = np.iinfo(dtype).max
    unit = (values.astype(np.float64) - window.low) / (window.high - window.low)
    return np.rint(np.clip(unit, 0, 1) * top).astype(dtype)


def _histogram(picture: np.ndarray) -> np.ndarray:
    bins = 256 if picture.dtype == np.uint8 else 65536
    return cv2.calcHist([picture], [0], None, [bins], [0, bins]).ravel().astype(np.int64)

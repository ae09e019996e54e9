"""A picture of the run for people's eyes: 8 bits, as a viewer shows it, at its own size."""

import numpy as np

from segpipe.errors import ImageError
from segpipe.export_masks.finished import FinishedRun, Picture
from segpipe.io.predictions import encode_png
from segpipe.io.radiograph import read_radiograph
from segpipe.preprocess.intensity import apply_window, choose_window
from segpipe.samples.sample import inside


def view(run: FinishedRun, picture: Picture) -> bytes:
    """A grey PNG with the same pixels as the masks, bone bright, windowed as the run does it.

    Raises:
        ImageError: the file cannot be read any more, or has another size than in the run.
    """
    config = run.config
    path = inside(run.root, picture.image, config.data.links)
    radiograph = read_radiograph(path, config.dicom, picture.invert, config.raster)
    if radiograph.pixels.shape != (picture.rows, picture.columns):
        raise ImageError("has another size than in the run; run snakemake, then export")
    window = choose_window(radiograph, radiograph.pixels, config.preprocess, config.dicom)
    return encode_png(apply_window(radiograph.pixels, window, np.dtype(np.uint8)))

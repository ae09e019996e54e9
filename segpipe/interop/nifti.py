"""NIfTI with spacing: a label image, or one for each class, as the run's own masks are."""

import gzip
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from segpipe.config import Classes
from segpipe.files.atomic import write_bytes_if_changed
from segpipe.interop.finished_run import Exported, FinishedRun, RunImage
from segpipe.masks.encode import Layout, MaskForm, label_image

LONGEST_SIDE = 32_767  # of NIfTI-1, whose sizes are 16 bits


def export(run: FinishedRun, output: Path, images: Iterable[RunImage]) -> Iterator[Exported]:
    """A compressed NIfTI per image, or per image and class."""
    layout = Layout(run.classes, run.form)
    for image in images:
        names = [f"{name.removesuffix('.png')}.nii.gz" for name in layout.mask_names(image.image_id)]
        planes = planes_of(run.masks(image), run.form, run.classes)
        for name, plane in zip(names, planes, strict=True):
            write_bytes_if_changed(output / name, encode(plane, image.spacing))
        yield Exported(image.image_id, tuple(names), notes=() if image.spacing else ("spacing_unknown",))


def planes_of(masks: np.ndarray, form: MaskForm, classes: Classes) -> list[np.ndarray]:
    """The values of each file, (rows, columns): labels, or 0 and 1; ``masks`` is (classes, rows, columns) bool."""
    return [label_image(masks, classes)] if form == "labels" else list(masks.astype(np.uint8))


def encode(plane: np.ndarray, spacing: tuple[float, float] | None) -> bytes:
    """``plane`` (rows, columns) as .nii.gz; ``spacing`` is (of rows, of columns) in mm.

    The first axis is the column and the second the row, without flips, which is how segpipe and ITK read an image.
    In NIfTI's coordinates (right, anterior, superior) those directions of ITK are negative. Unknown spacing
    is 1 without a unit, which segpipe reads as unknown. The same content gives the same bytes.
    """
    import nibabel

    row_mm, column_mm = spacing or (1.0, 1.0)
    kind = nibabel.Nifti1Image if max(plane.shape) <= LONGEST_SIDE else nibabel.Nifti2Image
    image = kind(np.ascontiguousarray(plane.T)[:, :, None], np.diag([-column_mm, -row_mm, 1.0, 1.0]))
    image.header.set_xyzt_units("mm" if spacing else "unknown")
    return gzip.compress(image.to_bytes(), compresslevel=6, mtime=0)

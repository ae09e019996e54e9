"""NIfTI with spacing: a label picture, or one for each class, as the run's own masks are."""

import gzip
from collections.abc import Iterable, Iterator

import numpy as np

from segpipe.config import Classes
from segpipe.files.atomic import write_bytes_if_changed
from segpipe.interop.finished_run import Job, Outcome, Picture
from segpipe.masks.encode import MaskForm, decode_png, encode_masks, mask_names

LONGEST_SIDE = 32_767  # of NIfTI-1, whose sizes are 16 bits


def write(job: Job, pictures: Iterable[Picture]) -> Iterator[Outcome]:
    """A compressed NIfTI per picture, or per picture and class."""
    form, classes = job.run.form, job.run.classes
    for picture in pictures:
        notes = () if picture.spacing else ("spacing_unknown",)
        contents = _files(picture, job.run.masks(picture), form, classes)
        for name, content in contents.items():
            write_bytes_if_changed(job.output / name, content)
        yield Outcome(picture.image_id, tuple(contents), notes=notes)


def _files(picture: Picture, masks: np.ndarray, form: MaskForm, classes: Classes) -> dict[str, bytes]:
    names = [f"{name.removesuffix('.png')}.nii.gz" for name in mask_names(picture.image_id, form, classes)]
    planes = [decode_png(content) for content in encode_masks(masks, form, classes)]  # the run's own values
    if form != "labels":
        planes = [plane // 255 for plane in planes]
    return {name: encode(plane, picture.spacing) for name, plane in zip(names, planes, strict=True)}


def encode(plane: np.ndarray, spacing: tuple[float, float] | None) -> bytes:
    """``plane`` (rows, columns) as .nii.gz; ``spacing`` is (of rows, of columns) in mm.

    The first axis is the column and the second the row, without flips, which is how segpipe and ITK read a picture.
    In NIfTI's coordinates (right, anterior, superior) those directions of ITK are negative. Unknown spacing
    is 1 without a unit, which segpipe reads as unknown. The same content gives the same bytes.
    """
    import nibabel

    row_mm, column_mm = spacing or (1.0, 1.0)
    kind = nibabel.Nifti1Image if max(plane.shape) <= LONGEST_SIDE else nibabel.Nifti2Image
    image = kind(np.ascontiguousarray(plane.T)[:, :, None], np.diag([-column_mm, -row_mm, 1.0, 1.0]))
    image.header.set_xyzt_units("mm" if spacing else "unknown")
    return gzip.compress(image.to_bytes(), compresslevel=6, mtime=0)

"""The choice of a reader by content."""

from pathlib import Path

from segpipe.config import Dicom, Raster
from segpipe.errors import ImageError
from segpipe.files.source import quiet, read_bytes, sniff
from segpipe.images.types import Radiograph, Target


def read_radiograph(
    source: Path | bytes,
    dicom: Dicom | None = None,
    invert: bool | None = None,
    raster: Raster | None = None,
    target: Target | None = None,
) -> Radiograph:
    """Read one radiograph from a file, or from bytes that were already read.

    ``dicom`` and ``raster`` are the configured policies (their defaults where ``None``). With ``target`` a picture
    may be decoded at a lower resolution that is not below it, where the policies allow that. ``invert`` is
    the sample sheet's word on polarity: ``True`` inverts the picture as stored, ``False`` does not, ``None``
    leaves it to the file. Everything that can be wrong with the file ends as an ImageError whose text does
    not name the path and quotes nothing of a header but the values listed in ``docs/dicom.md``.
    """
    data = source if isinstance(source, bytes) else read_bytes(source)
    with quiet():
        try:
            return _dispatch(data, dicom or Dicom(), raster or Raster(), invert, target)
        except ImageError:
            raise
        except Exception as error:
            # `from None`, and no str(error): a decoder's message may quote the header
            raise ImageError(f"cannot be decoded ({type(error).__name__}); the file is damaged") from None


def _dispatch(data: bytes, dicom: Dicom, raster: Raster, invert: bool | None, target: Target | None) -> Radiograph:
    if not data:
        raise ImageError("is empty (0 bytes), probably an interrupted copy; copy it again")
    format_ = sniff(data)
    # readers are imported where needed: each costs up to 0.3 s, and most runs need one
    if format_ == "DICOM":
        from segpipe.images.dicom.read import read_dicom

        return read_dicom(data, dicom, invert, target)
    if format_ == "NIfTI":
        from segpipe.images.nifti import read_nifti

        return read_nifti(data, invert)
    from segpipe.images.raster.read import read_raster

    return read_raster(data, format_, raster, invert, target)

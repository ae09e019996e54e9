"""The choice of a reader for a mask, by its content."""

from collections.abc import Iterator
from contextlib import contextmanager

from segpipe.errors import ImageError
from segpipe.io.masks.values import MaskFile
from segpipe.io.source import quiet, sniff


def decode_mask(data: bytes, shape: tuple[int, int]) -> MaskFile:
    """A PNG, TIFF, BMP, GIF, NIfTI, DICOM or labelme mask; raises ImageError without the file's name.

    ``shape`` is the image's (rows, columns), for files that do not say theirs.
    """
    with decoding():
        return _decode(data, shape)


@contextmanager
def decoding() -> Iterator[None]:
    """Turn whatever a decoder raises into an ImageError that quotes nothing of the file."""
    with quiet():
        try:
            yield
        except ImageError:
            raise
        except Exception as error:
            raise ImageError(f"cannot be decoded ({type(error).__name__}); the file is damaged") from None


def _decode(data: bytes, shape: tuple[int, int]) -> MaskFile:
    if data.removeprefix(b"\xef\xbb\xbf")[:64].lstrip().startswith((b"{", b"[")):
        from segpipe.io.masks.labelme import read_labelme

        return read_labelme(data, shape)
    format_ = sniff(data)
    if format_ == "JPEG":
        raise ImageError("is a JPEG, whose compression changes labels near every edge; export the mask as PNG")
    if format_ == "DICOM":
        from segpipe.io.masks.seg import read_dicom_mask

        return read_dicom_mask(data)
    from segpipe.io.masks.picture import picture_from_nifti, picture_from_raster

    return picture_from_nifti(data) if format_ == "NIfTI" else picture_from_raster(data, format_)

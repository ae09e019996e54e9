"""Which phantoms there are: patients, formats and the variety of files that archives hold."""

from dataclasses import dataclass
from typing import Literal

# Rows and columns.
SHAPES = ((480, 400), (560, 640), (720, 600), (640, 512), (900, 1100), (1100, 900), (600, 768))
UNLABELLED_EVERY = 11  # 4 of 48
_FEWEST_WITH_BROKEN = 6

Spacing = Literal["PixelSpacing", "ImagerPixelSpacing", "both", "none"]


@dataclass(frozen=True)
class DicomVariant:
    """How the same picture is put into a DICOM file."""

    modality: Literal["CR", "DX"]
    photometric: Literal["MONOCHROME1", "MONOCHROME2"]
    bits_stored: int
    syntax: Literal["explicit", "implicit", "rle"]
    spacing: Spacing
    window: bool = False
    slope: float = 1.0  # RescaleSlope; only CR may have another than 1
    intercept: float = 0.0


DICOM_VARIANTS = (
    DicomVariant("DX", "MONOCHROME2", 12, "explicit", "ImagerPixelSpacing", window=True),
    DicomVariant("CR", "MONOCHROME1", 10, "implicit", "PixelSpacing"),
    DicomVariant("DX", "MONOCHROME1", 14, "explicit", "both", window=True),
    DicomVariant("CR", "MONOCHROME2", 8, "implicit", "none"),
    DicomVariant("CR", "MONOCHROME2", 12, "explicit", "PixelSpacing", window=True, slope=2.0, intercept=-1024),
    DicomVariant("DX", "MONOCHROME2", 14, "rle", "both"),
    DicomVariant("CR", "MONOCHROME1", 12, "explicit", "ImagerPixelSpacing", window=True, slope=0.5),
    DicomVariant("DX", "MONOCHROME1", 12, "rle", "ImagerPixelSpacing"),
    DicomVariant("CR", "MONOCHROME2", 10, "rle", "PixelSpacing", window=True),
)

PngKind = Literal["grey8", "grey16", "rgb"]
PNG_KINDS: tuple[PngKind, ...] = ("grey8", "grey8", "grey16", "grey8", "rgb")


@dataclass(frozen=True)
class Phantom:
    """One image to make."""

    stem: str  # patient_view: file name without folder and suffix
    patient: str
    patient_number: int
    view: str
    site: str
    shape: tuple[int, int]
    labelled: bool
    broken: bool
    dicom: DicomVariant | None  # None: PNG
    png: PngKind | None  # None: DICOM

    @property
    def image(self) -> str:
        """Path of the image inside the folder."""
        return f"images/{self.stem}.{'dcm' if self.dicom else 'png'}"

    def mask(self, name: str) -> str:
        """Path of the mask of one class inside the folder."""
        return f"masks/{name}/{self.stem}.png"


def plan(count: int, scale: float) -> list[Phantom]:
    """The first ``count`` images: DICOM and PNG alternate, every sixth patient has two.

    From six images on, the last DICOM and the last PNG are broken; one in eleven has no masks.
    ``scale`` shrinks every picture (1: 400 to 1100 pixels a side).
    """
    owners = [(patient, view) for patient in range(count) for view in range(2 if patient % 6 == 5 else 1)]
    return [_phantom(index, *owner, count, scale) for index, owner in enumerate(owners[:count])]


def _phantom(index: int, patient: int, view: int, count: int, scale: float) -> Phantom:
    broken = count >= _FEWEST_WITH_BROKEN and index >= count - 2
    rows, columns = SHAPES[index % len(SHAPES)]
    patient_id, view_name = f"syn{patient:04d}", f"pa{view + 1}"
    is_dicom = index % 2 == 0
    return Phantom(
        stem=f"{patient_id}_{view_name}",
        patient=patient_id,
        patient_number=patient,
        view=view_name,
        site="east" if patient % 3 else "west",
        shape=(max(32, round(rows * scale)), max(32, round(columns * scale))),
        labelled=broken or index % UNLABELLED_EVERY != 7,
        broken=broken,
        dicom=DICOM_VARIANTS[0 if broken else index // 2 % len(DICOM_VARIANTS)] if is_dicom else None,
        png=None if is_dicom else PNG_KINDS[index // 2 % len(PNG_KINDS)],
    )

"""DICOM SEG (PS3.3 A.51) for each image that was a DICOM file of one frame, with highdicom.

A segmentation belongs to the study of its source, so it carries the source's patient. Of the source only
:data:`COPIED` is taken. Nothing in the file depends on when or where it was made: UIDs are hashes of the content.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
from pydicom import dcmread
from pydicom.dataset import Dataset

from segpipe import __version__
from segpipe.config import Code
from segpipe.errors import ConfigError, ImageError
from segpipe.files.atomic import write_bytes_if_changed
from segpipe.files.source import quiet, read_bytes
from segpipe.interop.finished_run import Exported, FinishedRun, RunImage
from segpipe.log import logger
from segpipe.models.weights import weights_hash
from segpipe.predict.ensemble import by_name

NEEDED = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID")
# What SEG must repeat of its source (patient, study), filled with "" where the source lacks it.
REPEATED = (
    *("PatientID", "PatientName", "PatientBirthDate", "PatientSex"),
    *("StudyID", "StudyDate", "StudyTime", "AccessionNumber", "ReferringPhysicianName"),
)
COPIED = (*NEEDED, *REPEATED, "SpecificCharacterSet", "Modality", "Rows", "Columns", "PatientOrientation")
DATES = ("Content", "Acquisition", "Study", "Series")
NO_DATE, NO_TIME = "19000101", "000000"
SERIES_NUMBER = 9000  # far from those of the study's own series
PRIVATE = "99SEGPIPE"  # designators that begin with 99 are anybody's (PS3.3 8.2)
LONGEST_VALUE = 16
# PS3.16 CID 7150
CATEGORIES = {
    "anatomical structure": ("91723000", "Anatomical Structure"),
    "tissue": ("85756007", "Tissue"),
    "physical object": ("260787004", "Physical object"),
    "morphologically abnormal structure": ("49755003", "Morphologically Abnormal Structure"),
    "body substance": ("91720002", "Body Substance"),
}
UNKNOWN = ("309825002", "Spatial and Relational Concept")  # claims nothing of what it is


def export(run: FinishedRun, output: Path, images: Iterable[RunImage]) -> Iterator[Exported]:
    """``<image_id>.dcm`` for each image that can have one."""
    if find_spec("highdicom") is None:
        raise ConfigError("--format seg needs highdicom: pip install 'segpipe[seg]'.")
    logger.warning(
        "DICOM SEG files carry the patient of their source (name, ID, birth date, sex) and its study, because the "
        "standard requires it. Treat %s like the archive itself.", output,
    )  # fmt: skip
    weights = cache(lambda names: _weights(run, names))
    for image in images:
        try:
            with quiet():
                content, notes = encode(run, image, read_source(run.path(image), image), weights(image.models))
        except ImageError as error:
            yield Exported(image.image_id, reason=str(error))
            continue
        name = f"{image.image_id}.dcm"
        write_bytes_if_changed(output / name, content)
        yield Exported(image.image_id, (name,), notes=notes)


def encode(run: FinishedRun, image: RunImage, source: Dataset, weights: str) -> tuple[bytes, tuple[str, ...]]:
    """The file of one image's masks, and notes; ``weights`` is the hash of the models that made them.

    Raises:
        ImageError: the source has a value that no SEG may repeat.
    """
    masks, codes = run.masks(image), run.config.export.codes
    made_of = (source.SOPInstanceUID, weights, __version__, _hash(masks), repr(sorted(codes.items())))
    try:
        segments = descriptions(run.classes, codes, weights, source.SOPInstanceUID)
        seg = _segmentation(masks, source, segments, weights, uid("instance", *made_of))
    except Exception as error:  # of pydicom or highdicom; its text may quote the header
        raise ImageError(
            "its image's header has a value that no SEG may repeat, such as a date or a sex that the standard does not "
            f"know ({type(error).__name__})"
        ) from None
    notes = _date(seg, source)
    seg.PatientOrientation = source.get("PatientOrientation") or ""  # C.7.6.1.1.1; highdicom leaves it out
    _same_every_time(seg, made_of)
    file = BytesIO()
    seg.save_as(file, enforce_file_format=True)
    return file.getvalue(), notes


def read_source(path: Path, image: RunImage) -> Dataset:
    """The header of the image's file; ImageError where no SEG can belong to it."""
    if image.format != "DICOM":
        raise ImageError(f"its image is no DICOM file ({image.format}), so there is no study to belong to")
    data = read_bytes(path)
    if hashlib.sha256(data).hexdigest() != image.sha256:
        raise ImageError("its image has changed since the run; run snakemake, then export")
    wanted = [*COPIED, "NumberOfFrames", *(f"{name}{part}" for name in DATES for part in ("Date", "Time"))]
    try:
        header = dcmread(BytesIO(data), force=True, stop_before_pixels=True, specific_tags=wanted)
        frames = int(header.get("NumberOfFrames") or 1)
        missing = [keyword for keyword in NEEDED if not header.get(keyword)]
        found = (header.get("Rows"), header.get("Columns"))
    except Exception as error:  # pydicom's for each value that it cannot read; its text may quote the header
        raise ImageError(f"its image's header cannot be read ({type(error).__name__})") from None
    if frames > 1:
        raise ImageError(f"its image has {frames} frames; a SEG is written for files of one frame")
    if missing:
        raise ImageError(f"its image has no {missing[0]}, so nothing can refer to it")
    if found != (image.rows, image.columns):
        raise ImageError("its image's rows and columns are not those of the mask")
    return header


def _segmentation(masks: np.ndarray, source: Dataset, segments: list[Any], weights: str, instance: str) -> Any:
    """As highdicom makes it; ``instance`` is its UID."""
    from highdicom.seg import Segmentation

    return Segmentation(
        [_copied(source)],
        np.moveaxis(masks, 0, -1)[None].astype(np.uint8),  # frame, row, column, segment
        segmentation_type="BINARY",
        segment_descriptions=segments,
        series_instance_uid=uid("series", source.SeriesInstanceUID, weights, __version__),
        series_number=SERIES_NUMBER,
        sop_instance_uid=instance,
        instance_number=1,
        manufacturer="segpipe",
        manufacturer_model_name="segpipe",
        software_versions=__version__,
        device_serial_number=weights[:16],
        content_label="SEGMENTATION",
        omit_empty_frames=False,  # an empty mask is a finding, too
    )


def descriptions(classes: Iterable[str], codes: Mapping[str, Code], weights: str, source: str) -> list[Any]:
    """A highdicom SegmentDescription for each class, numbered from 1 and labelled with its name."""
    from highdicom import AlgorithmIdentificationSequence
    from highdicom.seg import SegmentDescription
    from highdicom.sr import CodedConcept

    algorithm = AlgorithmIdentificationSequence(
        name="segpipe",
        family=CodedConcept("123110", "DCM", "Artificial Intelligence"),  # CID 7162
        version=__version__,
        parameters={"weights_sha256": weights},
    )
    return [
        SegmentDescription(
            segment_number=number,
            segment_label=name,
            segmented_property_category=CodedConcept(value, "SCT", meaning),
            segmented_property_type=CodedConcept(*_type(name, codes.get(name))),
            algorithm_type="AUTOMATIC",
            algorithm_identification=algorithm,
            tracking_uid=uid("segment", source, weights, name),
            tracking_id=name,
        )
        for number, name in enumerate(classes, start=1)
        for value, meaning in [CATEGORIES[codes[name].category] if name in codes else UNKNOWN]
    ]


def _type(name: str, code: Code | None) -> tuple[str, str, str]:
    if code:
        return code.value, code.scheme, code.meaning
    value = name if len(name) <= LONGEST_VALUE else hashlib.sha256(name.encode()).hexdigest()[:LONGEST_VALUE]
    return value, PRIVATE, name


def uid(*parts: object) -> str:
    """A UID under 2.25 (DICOM PS3.5 B.2), of a UUID made from a hash of ``parts``."""
    digest = hashlib.sha256("\n".join(map(str, parts)).encode()).digest()
    return f"2.25.{UUID(bytes=digest[:16], version=5).int}"


def _copied(source: Dataset) -> Dataset:
    """Of the source what a SEG must know, and nothing else."""
    copy = Dataset()
    for keyword in COPIED:
        value = source.get(keyword)
        if value is not None or keyword in REPEATED:
            setattr(copy, keyword, "" if value is None else value)
    return copy


def _date(seg: Any, source: Dataset) -> tuple[str, ...]:
    """Content date and time are the source's, never those of the export."""
    found = next((name for name in DATES if source.get(f"{name}Date")), "")
    seg.ContentDate = source.get(f"{found}Date") if found else NO_DATE
    seg.ContentTime = (source.get(f"{found}Time") if found else None) or NO_TIME
    return () if found else ("date_unknown",)


def _same_every_time(seg: Any, made_of: tuple[str, ...]) -> None:
    """Undo what highdicom takes from the clock or draws at random."""
    for keyword in ("SeriesDate", "SeriesTime", "InstanceCreationDate", "InstanceCreationTime"):
        if keyword in seg:
            delattr(seg, keyword)
    for item in seg.get("ContributingEquipmentSequence", ()):
        item.pop("ContributionDateTime", None)
    for item in [*seg.get("DimensionOrganizationSequence", ()), *seg.get("DimensionIndexSequence", ())]:
        item.DimensionOrganizationUID = uid("dimensions", *made_of)


def _weights(run: FinishedRun, names: tuple[str, ...]) -> str:
    """A hash over the weights of some models."""
    given = run.config.model.weights
    folders: dict[str, Path] = by_name(given) if given else {name: run.folder / "models" / name for name in names}
    hashes = "".join(weights_hash(folders[name]) for name in names)
    return hashes if len(names) == 1 else hashlib.sha256(hashes.encode()).hexdigest()


def _hash(masks: np.ndarray) -> str:
    return hashlib.sha256(np.packbits(masks).tobytes()).hexdigest()

"""What is asked of `segpipe predict`, and the files on their way to a batch."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from segpipe import __version__
from segpipe.config import Dicom, Predict, Preprocess, Raster
from segpipe.ingest import Reading, quarantined
from segpipe.isolation import Lost
from segpipe.predict.files import Links
from segpipe.samples.sample import Sample
from segpipe.stages import PreprocessStage

LEFT_OUT = {"patient", "patient_source", "site", "fold_wanted", "picture", "content", "perceptual_hash", "thumbnail"}
"""Of what is known of an image: keys and hashes that serve other stages, and nothing of the patient."""


@dataclass(frozen=True)
class Wish:
    """What is to be predicted, by what, and where to."""

    places: Sequence[str]  # folders, files, patterns
    models: Sequence[Path]
    output: Path
    predict: Predict
    links: Links = "inside"
    seconds_per_image: int = 120
    readers: int = 1  # processes that read ahead


def reading_stage(root: Path, wish: Wish, preprocess: Preprocess, dicom: Dicom) -> PreprocessStage:
    """How files are read: as the models want it, and without references."""
    return PreprocessStage(
        root=root,
        classes={},  # no reference masks
        missing_mask="quarantine",
        links=wish.links,
        version=__version__,
        patient_salt_file=None,
        patient_salt_stamp="",
        seconds_per_image=wish.seconds_per_image,
        dicom=dicom,
        raster=Raster(),
        preprocess=preprocess,
    )


def batches(found: Iterable[tuple[Sample, Reading | Lost]], size: int) -> Iterator[list[tuple[Sample, Reading]]]:
    """As many images at a time as are predicted together; those that cannot be read come along with their reasons."""
    batch: list[tuple[Sample, Reading]] = []
    for sample, reading in found:
        batch.append((sample, Reading(quarantined(sample, reading.reason)) if isinstance(reading, Lost) else reading))
        if sum(read.image is not None for _, read in batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


def columns(sample: Sample, facts: dict[str, Any]) -> dict[str, Any]:
    """A row of the table: who and what became of it first."""
    first = {"image_id": sample.image_id, "image": sample.image, "status": "", "reason": ""}
    made = dict.fromkeys(("models", "form", "engine", "masks_sha256", "removed_pixels", "filled_pixels", "seen"))
    return {**first, **made, **{name: value for name, value in facts.items() if name not in LEFT_OUT}}

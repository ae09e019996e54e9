"""Segments of a DICOM SEG: what each class is, and what found it."""

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

from segpipe import __version__
from segpipe.config import Code
from segpipe.export_masks.uids import uid

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

"""The printed report of `segpipe validate`, from rows."""

import pandas as pd

from segpipe.config import Checks
from segpipe.report.findings import MOST_REASONS, findings_report

ROW = {
    "status": "labelled", "reason": "", "patient": "p", "patient_source": "sheet or pattern", "notes": "",
    "format": "PNG", "rows": 7, "columns": 5, "spacing_row_mm": None, "spacing_source": "unknown", "inverted": False,
    "mask_share_lung": 0.2, "flags": "", "duplicate_of": "", "near_duplicate_of": "",
}  # fmt: skip


def report(*changes):
    rows = [{**ROW, "image_id": f"i{number:02d}", "patient": f"p{number}"} for number in range(len(changes))]
    return findings_report(
        pd.DataFrame([row | change for row, change in zip(rows, changes, strict=True)]), ["lung"], Checks()
    )


def bad(reason):
    return dict.fromkeys(ROW) | {"status": "quarantined", "reason": reason, "patient": ""}


def test_reasons_that_differ_in_files_and_numbers_only_are_one_cause():
    text = report(bad("mask a b.png has 3 values"), bad("is cut off"), bad("mask c.d.png has 12 values"), {})
    assert "  i00: mask a b.png has 3 values\n    likewise i02\n  i01: is cut off" in text


def test_of_many_causes_the_images_left_out_are_counted():
    words = [chr(ord("a") + number) for number in range(MOST_REASONS + 2)]
    text = report(*(bad(f"is {word}") for word in words), bad(f"is {words[-1]}"))
    assert "and 2 images more, for 2 reasons" in text
    assert text.startswith("13 images: 0 labelled, 0 unlabelled, 13 quarantined"), "no patient is known"


def test_notes_are_counted_by_their_key():
    text = report(
        {"notes": "mask_resampled:all:3x3->7x5; mask_empty:lung"}, {"notes": "mask_resampled:all:9x9->7x5"}, {}
    )
    assert "Notes: mask_resampled 2\n" in text


def test_images_that_count_as_patients_of_their_own_are_told():
    assert "1 image without a patient" in report({"patient_source": "image"}, {})
    assert "without a patient" not in report({}, {})

"""The printed summary."""

from pathlib import Path

import numpy as np
import pandas as pd

from segpipe.config import Score
from segpipe.report.summary import summary_text
from segpipe.score.columns import score_table
from segpipe.score.summary import summarise

COUNTED = Score(surface=False, boundary_iou=False, calibration=False, components=False)
COUNTS = np.array([[[2, 1, 1, 6], [6, 1, 1, 2]], [[4, 0, 0, 6], [6, 0, 0, 4]]])

GOLDEN = """\
3 images of 2 patients: 2 scored, 1 quarantined

MIoU 0.812 (95 % interval 0.625 to 1.000 over 2 patients)
median 0.812, quartiles 0.719 to 0.906, n = 2; without background 0.750

class       IoU mean  IoU pooled  Dice mean
lung           0.750       0.750      0.833
background     0.875       0.857      0.929

Lowest MIoU: a (0.625), b (1.000)

Quarantined:
  c: cut short

report   results/report.csv
summary  results/summary.json"""


def table(quarantined: int) -> pd.DataFrame:
    names = [f"c{index:02d}" if quarantined > 1 else "c" for index in range(quarantined)]
    rows = [
        ("a", "p1", "scored", ""),
        ("b", "p2", "scored", ""),
        *((n, "p2", "quarantined", "cut short") for n in names),
    ]
    facts = pd.DataFrame(rows, columns=["image_id", "patient", "status", "reason"]).assign(fold="0")
    return facts.merge(score_table(["a", "b"], COUNTS, ["lung"]), on="image_id", how="left")


def test_summary_reads_as_it_should() -> None:
    paths = {"report": Path("results/report.csv"), "summary": Path("results/summary.json")}
    assert summary_text(summarise(table(1), ["lung"], COUNTED), paths) == GOLDEN


def test_flags_and_duplicates_are_mentioned_where_there_are_some() -> None:
    found = {
        "flagged": 3,
        "flags": {"polarity": 2, "mask_area:lung": 1},
        "duplicates": 1,
        "near_duplicates": 2,
        "unlabelled_copies_of_labelled": 1,
    }
    text = summary_text({**summarise(table(1), ["lung"], COUNTED), "checks": found}, {})
    assert "Worth a look (column flags): 3 images: polarity 2, mask_area:lung 1" in text
    assert "Duplicates: 1 exact, 2 near; 1 unlabelled image among them copies of a labelled one" in text
    nothing = {**dict.fromkeys(found, 0), "flags": {}}
    assert "Worth" not in summary_text({**summarise(table(1), ["lung"], COUNTED), "checks": nothing}, {})


def test_several_seeds_are_a_line_below_the_score() -> None:
    found = {"miou": [0.9484, 0.9492, 0.9511], "sd": 0.00139, "together": 0.9531}
    lines = summary_text({**summarise(table(1), ["lung"], COUNTED), "repeats": found}, {}).splitlines()
    assert lines[4] == "Single seeds 0.948, 0.949, 0.951 (sd 0.0014), together 0.953"
    assert lines[2].startswith("MIoU 0.812")
    nothing = {"miou": [None, None], "sd": None, "together": None}
    none_scored = summarise(table(1).query("status != 'scored'"), ["lung"], COUNTED)
    assert "Single" not in summary_text({**none_scored, "repeats": nothing}, {})


def test_classes_that_models_never_met_are_told_by_role() -> None:
    absent = {"fold0": {"train": ["heart"], "val": ["heart", "lung"]}, "fold1": {"train": ["heart"]}}
    text = summary_text({**summarise(table(1), ["lung"], COUNTED), "absent_classes": absent}, {})
    assert "Class heart: no image has it among those that train fold0 and 1 model more\n" in text
    assert "Class lung: no image has it among those that choose the epoch of fold0\n" in text
    assert "Class" not in summary_text({**summarise(table(1), ["lung"], COUNTED), "absent_classes": {}}, {})


def test_only_ten_quarantined_images_are_listed() -> None:
    text = summary_text(summarise(table(13), ["lung"], COUNTED), {})
    assert text.count("cut short") == 10
    assert text.endswith("  and 3 more, see the report")


def test_a_run_without_scores_says_so() -> None:
    nothing = table(1).query("status != 'scored'")
    text = summary_text(summarise(nothing, ["lung"], COUNTED), {})
    assert "No image was scored" in text
    assert "IoU pooled" not in text

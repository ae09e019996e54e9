"""The columns of report.csv are those that the documentation describes."""

import re
from pathlib import Path

import pytest

from segpipe.errors import ConfigError
from segpipe.files.table import is_score
from segpipe.report.columns import report_columns

DOCUMENT = Path(__file__).parents[3] / "docs" / "report-columns.md"
ORDER = """
image_id image patient patient_source site fold status reason flags duplicate_of near_duplicate_of miou
miou_foreground iou_lung iou_heart dice_lung dice_heart precision_lung precision_heart recall_lung recall_heart
relative_area_difference_lung relative_area_difference_heart reference_empty_lung reference_empty_heart
prediction_empty_lung prediction_empty_heart tp_lung tp_heart fp_lung fp_heart fn_lung
fn_heart tn_lung tn_heart tp_background fp_background fn_background tn_background iou_background
boundary_iou_lung boundary_iou_heart hd95_px_lung hd95_px_heart assd_px_lung assd_px_heart nsd_2px_lung nsd_2px_heart
hd95_mm_lung hd95_mm_heart assd_mm_lung assd_mm_heart nsd_2mm_lung nsd_2mm_heart brier_lung brier_heart
ece_lung ece_heart reference_components_lung reference_components_heart
components_lung components_heart predicted_share_lung predicted_share_heart predicted_area_z_lung
predicted_area_z_heart entropy_lung entropy_heart disagreement_lung disagreement_heart
engine removed_pixels filled_pixels notes format modality photometric_interpretation transfer_syntax
bits_stored frame decoded_at
modality_lut voi inverted invert_source burned_in_annotation recognizable_visual_features rows
columns spacing_row_mm spacing_column_mm spacing_source intensity_method intensity_low
intensity_high fit scale_row scale_column pad_top pad_left polarity_score orientation_gain
grey_levels flat_share black_share white_share mask_outside_field mask_share_lung mask_share_heart
view
"""


def documented() -> list[tuple[str, ...]]:
    """Cells of the rows of the table of columns: name, kind, meaning."""
    row = re.compile(r"\| `([^`]+)` \| (text|integer|score|number|boolean) \| (.+) \|")
    return [match.groups() for line in DOCUMENT.read_text().splitlines() if (match := row.fullmatch(line))]


def test_documentation_and_code_describe_the_same_columns() -> None:
    columns = report_columns(["<class>"], [], ["<repeat>", "<repeat>"])
    columns = list(dict.fromkeys(columns))  # seeds are described once
    assert documented() == [(column.name, column.kind, column.description) for column in columns]


def test_columns_are_in_the_promised_order() -> None:
    names = [column.name for column in report_columns(["lung", "heart"], ["view"])]
    assert names == ORDER.split()


def test_several_seeds_have_columns_behind_the_scores_and_one_has_none() -> None:
    one, two = (
        [column.name for column in report_columns(["lung", "heart"], ["view"], repeats)] for repeats in ([1], [1, 2])
    )
    assert one == ORDER.split()
    place = one.index("reference_components_heart") + 1
    assert two == [*one[:place], "miou_repeat_1", "miou_repeat_2", "miou_repeats_sd", *one[place:]]


def test_a_column_of_the_sheet_never_hides_one_of_the_report() -> None:
    names = [column.name for column in report_columns(["lung"], ["notes", "age"])]
    assert names[-2:] == ["carried:notes", "age"]
    assert len(set(names)) == len(names)


def test_a_class_called_background_is_refused() -> None:
    with pytest.raises(ConfigError, match="background"):
        report_columns(["lung", "background"], [])


def test_every_score_column_is_written_as_a_score() -> None:
    for column in report_columns(["lung"], [], [1, 2]):
        assert is_score(column.name) == (column.kind == "score")

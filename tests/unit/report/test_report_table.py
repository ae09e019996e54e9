"""report.csv, down to its bytes."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from segpipe.files.table import write_csv, write_parquet
from segpipe.report.columns import report_columns
from segpipe.report.table import build_report
from segpipe.score.columns import score_table

GOLDEN = """\
image_id,image,patient,patient_source,site,fold,status,reason,flags,duplicate_of,near_duplicate_of,miou,\
miou_foreground,iou_lung,dice_lung,precision_lung,recall_lung,relative_area_difference_lung,reference_empty_lung,prediction_empty_lung,tp_lung,fp_lung,fn_lung,tn_lung,tp_background,fp_background,fn_background,tn_background,iou_background,boundary_iou_lung,\
hd95_px_lung,assd_px_lung,nsd_2px_lung,hd95_mm_lung,assd_mm_lung,\
nsd_2mm_lung,brier_lung,ece_lung,reference_components_lung,components_lung,predicted_share_lung,\
predicted_area_z_lung,entropy_lung,disagreement_lung,\
engine,removed_pixels,filled_pixels,notes,format,modality,photometric_interpretation,transfer_syntax,bits_stored,frame,decoded_at,modality_lut,voi,\
inverted,invert_source,burned_in_annotation,recognizable_visual_features,rows,columns,spacing_row_mm,\
spacing_column_mm,spacing_source,intensity_method,intensity_low,intensity_high,fit,scale_row,scale_column,pad_top,\
pad_left,polarity_score,orientation_gain,grey_levels,flat_share,black_share,white_share,mask_outside_field,\
mask_share_lung,age
a,images/a.dcm,p1,PatientID,east,1,scored,,polarity; tiny,,b,0.625000,0.500000,0.500000,0.666667,\
0.666667,0.666667,0,false,false,2,1,1,6,\
6,1,1,2,0.750000,0.250000,3.5,1.5,0.875000,,,,,,2,1,0.25,,,,torch,7,0,,DICOM,\
,,,12,,2,,,true,,NO,,480,,0.1429,,,,,4095,letterbox,0.333333333,,0,16,-0.25,,,,,,,0.256012,63
b,images/b.png,,,,,quarantined,"cut short, ""half"" is there",,,,,,,,,,,,,,,,,,,,,,,,,,,,\
,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,
"""


def images() -> pd.DataFrame:
    rows = [
        {
            "image_id": "b",
            "image": "images/b.png",
            "status": "quarantined",
            "reason": 'cut short, "half" is there',
        },
        {
            "image_id": "a",
            "image": "images/a.dcm",
            "patient": "p1",
            "patient_source": "PatientID",
            "site": "east",
            "fold": 1,
            "status": "scored",
            "flags": "polarity; tiny",
            "near_duplicate_of": "b",
            "polarity_score": -0.25,
            "mask_share_lung": 0.256012,
            "decoded_at": 2,
            "burned_in_annotation": "NO",
            "format": "DICOM",
            "bits_stored": 12,
            "inverted": True,
            "rows": 480,
            "spacing_row_mm": 0.1429,
            "intensity_high": 4095.0,
            "fit": "letterbox",
            "scale_row": 1 / 3,
            "pad_top": 0,
            "pad_left": 16,
            "engine": "torch",
            "removed_pixels": 7.0,
            "filled_pixels": 0.0,
            "components_lung": 1.0,
            "predicted_share_lung": 0.25,
            "carried:age": "63",
            "sha256": "not for the report",
        },
    ]
    return pd.DataFrame(rows)


def scores() -> pd.DataFrame:
    table = score_table(["a"], np.array([[[2, 1, 1, 6], [6, 1, 1, 2]]]), ["lung"])
    table = table.assign(miou=0.625, iou_background=0.75)  # round numbers, easier on the eye
    measured = {"boundary_iou_lung": 0.25, "hd95_px_lung": 3.5, "assd_px_lung": 1.5, "nsd_2px_lung": 0.875}
    return table.assign(**measured, hd95_mm_lung=np.nan, reference_components_lung=2.0)


def written(table: pd.DataFrame, folder: Path) -> str:
    write_csv(table, folder / "report.csv")
    return (folder / "report.csv").read_bytes().decode("utf-8")


def text_table(**cells: str) -> pd.DataFrame:
    return pd.DataFrame({name: [cell] for name, cell in cells.items()})


def test_report_has_exactly_these_bytes(tmp_path: Path) -> None:
    assert written(build_report(images(), scores(), ["lung"], ["age"]), tmp_path) == GOLDEN


def test_parquet_holds_the_same_table(tmp_path: Path) -> None:
    table = build_report(images(), scores(), ["lung"], ["age"])
    write_parquet(table, tmp_path / "report.parquet")
    read = pd.read_parquet(tmp_path / "report.parquet", dtype_backend="numpy_nullable")
    assert written(read, tmp_path) == GOLDEN
    kinds = pq.read_schema(tmp_path / "report.parquet")
    found = [str(kinds.field(name).type) for name in ("image_id", "tp_lung", "miou", "reference_empty_lung", "age")]
    assert found == ["string", "int64", "double", "bool", "string"]


def test_parquet_has_the_same_bytes_each_time_and_for_no_images_the_same_columns(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_parquet(build_report(images(), scores(), ["lung"], ["age"]), tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    write_parquet(build_report(images().iloc[:0], scores().iloc[:0], ["lung"], ["age"]), tmp_path / "c")
    assert pq.read_schema(tmp_path / "c") == pq.read_schema(tmp_path / "a")


def test_order_of_rows_and_columns_going_in_does_not_matter(tmp_path: Path) -> None:
    shuffled = images().iloc[::-1, ::-1]
    assert written(build_report(shuffled, scores(), ["lung"], ["age"]), tmp_path) == GOLDEN


def test_report_without_any_scores_has_all_columns_and_rows() -> None:
    nothing = score_table([], np.zeros((0, 2, 4), np.int64), ["lung"])
    table = build_report(images(), nothing, ["lung"], ["age"])
    assert list(table) == [column.name for column in report_columns(["lung"], ["age"])]
    assert list(table["image_id"]) == ["a", "b"]
    assert table["tp_lung"].isna().all()


def test_report_of_no_images_is_a_header(tmp_path: Path) -> None:
    nothing = score_table([], np.zeros((0, 2, 4), np.int64), ["lung"])
    table = build_report(pd.DataFrame({"image_id": [], "status": []}), nothing, ["lung"], ["age"])
    assert written(table, tmp_path) == GOLDEN.split("\n")[0] + "\n"


def test_counts_stay_whole_numbers_beside_blanks() -> None:
    table = build_report(images(), scores(), ["lung"], [])
    assert str(table["tp_lung"].dtype) == "Int64"
    assert str(table["rows"].dtype) == "Int64"


def test_a_fold_that_became_a_fraction_beside_blanks_is_whole_again() -> None:
    assert list(build_report(images(), scores(), ["lung"], [])["fold"]) == ["1", ""]


def test_two_images_of_one_name_are_refused() -> None:
    doubled = pd.concat([images(), images()])
    with pytest.raises(ValueError, match="'b' is there twice"):
        build_report(doubled, scores(), ["lung"], [])


def test_scores_of_an_unknown_image_are_refused() -> None:
    with pytest.raises(ValueError, match="'z' is not among the images"):
        build_report(images(), scores().assign(image_id="z"), ["lung"], [])


@pytest.mark.parametrize("formula", ["=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "\t=1", "\r=1", "-", "=-5"])
def test_text_that_looks_like_a_formula_gets_an_apostrophe(tmp_path: Path, formula: str) -> None:
    cell = written(text_table(age=formula), tmp_path).removeprefix("age\n").removesuffix("\n")
    assert cell.strip('"') == f"'{formula}"


@pytest.mark.parametrize("number", ["-5", "+5", "-0.5", "-1e-3", "63", ".5"])
def test_text_that_is_a_number_stays_as_it_is(tmp_path: Path, number: str) -> None:
    assert written(text_table(age=number), tmp_path) == f"age\n{number}\n"


def test_negative_numbers_and_ordinary_texts_stay_as_they_are(tmp_path: Path) -> None:
    table = pd.DataFrame({"intensity_low": [-1024.0], "pad_top": [-1], "image": ["a-b=c+d@e.png"]})
    assert written(table, tmp_path) == "intensity_low,pad_top,image\n-1024,-1,a-b=c+d@e.png\n"


def test_a_header_that_looks_like_a_formula_gets_an_apostrophe(tmp_path: Path) -> None:
    assert written(pd.DataFrame({"=A1": ["x"]}), tmp_path) == "'=A1\nx\n"


def test_text_in_any_script_survives(tmp_path: Path) -> None:
    write_csv(pd.DataFrame({"age": ["Größe, 胸部\nzwei Zeilen"]}), tmp_path / "report.csv")
    assert pd.read_csv(tmp_path / "report.csv")["age"].item() == "Größe, 胸部\nzwei Zeilen"


def test_shards_with_nothing_but_blanks_in_a_column_join_the_others(tmp_path: Path) -> None:
    blank, filled = images()[images()["image_id"] == "b"], images()[images()["image_id"] == "a"]
    nothing = dict.fromkeys(["inverted", "rows", "fold", "intensity_high", "notes"])
    parts = [filled.astype({"inverted": "bool"}), blank.assign(**nothing)]
    for number, part in enumerate(parts):
        part.to_parquet(tmp_path / f"{number}.parquet")
    joined = pd.concat([pd.read_parquet(tmp_path / f"{number}.parquet") for number in range(2)])
    assert written(build_report(joined, scores(), ["lung"], ["age"]), tmp_path) == GOLDEN

"""The scores in the printed summary: headline, classes, groups, and what tells of them without a reference."""

from collections.abc import Iterator, Mapping
from typing import Any

from segpipe.report.text_table import text_table

_MOST_GROUPS = 12
_MEDIANS = ("hd95_mm", "hd95_px")


def headline(summary: Mapping[str, Any]) -> str:
    """MIoU with its interval, and how it is distributed."""
    miou, foreground = summary["metrics"]["miou"], summary["metrics"]["miou_foreground"]
    if not miou["n"]:
        return "No image was scored: there are no references, or none that could be used."
    return (
        f"MIoU {miou['mean']:.3f}{interval(miou, summary['intervals']['patients'])}\n"
        f"median {miou['median']:.3f}, quartiles {miou['q1']:.3f} to {miou['q3']:.3f}, n = {miou['n']}; "
        f"without background {foreground['mean']:.3f}"
    )


def interval(figures: Mapping[str, Any], patients: int) -> str:
    """``(95 % interval 0.91 to 0.93 over 69 patients)`` after a blank, or nothing where there is no interval."""
    if figures["low"] is None:
        return ""
    return f" (95 % interval {figures['low']:.3f} to {figures['high']:.3f} over {patients} patients)"


def class_scores(summary: Mapping[str, Any]) -> str:
    """A table with a row per class; what was not measured, or of no image, is left out or blank."""
    metrics = summary["metrics"]
    if not metrics["miou"]["n"]:
        return ""
    names = [name for name in summary["classes"] if name != "background"]
    rims = any(f"boundary_iou_{name}" in metrics for name in names)
    far = next((m for m in _MEDIANS if any(metrics.get(f"{m}_{name}", {"n": 0})["n"] for name in names)), None)
    header = ["class", "IoU mean", "IoU pooled", "Dice mean"]
    header += ["boundary IoU"] if rims else []
    header += [f"HD95 median, {far[-2:]}"] if far else []
    rows = [tuple(header)]
    for name, scores in summary["classes"].items():
        cells = [name, *(f"{scores[key]:.3f}" for key in ("iou_mean", "iou_pooled", "dice_mean"))]
        cells += [_cell(metrics, f"boundary_iou_{name}", "mean", 3)] if rims else []
        cells += [_cell(metrics, f"{far}_{name}", "median", 1)] if far else []
        rows.append(tuple(cells))
    return text_table(rows)


def group_scores(summary: Mapping[str, Any]) -> str:
    """MIoU by group, a table for each column of report.by; groups.csv has the other scores."""
    return "\n\n".join(_groups(summary.get("groups", [])))


def quality_lines(summary: Mapping[str, Any]) -> str:
    """How far what is known of each prediction goes along with its IoU, where there are references."""
    return "\n".join(
        f"{found['measure']} of {found['class']}: rank correlation with IoU {found['spearman']:+.2f} (n = {found['n']})"
        for found in summary.get("quality", [])
        if found["spearman"] is not None
    )


def _cell(metrics: Mapping[str, Any], name: str, key: str, digits: int) -> str:
    value = metrics.get(name, {}).get(key)
    return "" if value is None else f"{value:.{digits}f}"


def _groups(groups: list[dict[str, Any]]) -> Iterator[str]:
    for by in dict.fromkeys(group["by"] for group in groups):
        of_column = [group for group in groups if group["by"] == by]
        rows = [(by, "images", "patients", "MIoU", "95 % interval")]
        for group in of_column[:_MOST_GROUPS]:
            ends = "" if group["low"] is None else f"{group['low']:.3f} to {group['high']:.3f}"
            counts = (str(group["images"]), str(group["patients"]))
            rows.append((group["group"], *counts, f"{group['mean']:.3f}", ends))
        left = len(of_column) - _MOST_GROUPS
        yield text_table(rows) + (f"\nand {left} more, see groups.csv" if left > 0 else "")

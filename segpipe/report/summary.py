"""The summary that is printed when a run ends, and whether the run counts as successful."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from segpipe.errors import QuarantineError

WITHOUT = {
    "train": "no image has it among those that train",
    "val": "no image has it among those that choose the epoch of",
    "test": "no image has it among those that test",
}
_MOST_GROUPS, _MOST_QUARANTINED = 12, 10
_MEDIANS = ("hd95_mm", "hd95_px")


def text_table(rows: Sequence[tuple[str, ...]]) -> str:
    """Columns side by side: the first flush left, numbers flush right, a column of two flush left."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))] if rows else []
    if len(widths) == 2:
        return "\n".join(f"{name:<{widths[0]}}  {value}" for name, value in rows)
    lines = []
    for first, *others in rows:
        cells = (f"{cell:>{width}}" for cell, width in zip(others, widths[1:], strict=True))
        lines.append("  ".join([f"{first:<{widths[0]}}", *cells]).rstrip())
    return "\n".join(lines)


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


def summary_text(summary: Mapping[str, Any], paths: Mapping[str, Path]) -> str:
    """The summary (:func:`segpipe.score.summary.summarise`) as text for a terminal.

    ``paths`` names what was written, such as ``{"report": Path("results/demo/report.csv")}``. The text has
    no final newline.
    """
    first = "\n".join(line for line in (headline(summary), _repeats(summary)) if line)
    parts = [_images(summary), first, class_scores(summary), group_scores(summary), _absent(summary), _worst(summary)]
    parts += [quality_lines(summary), findings_text(summary), _quarantined(summary)]
    parts.append(text_table([(name, str(path)) for name, path in paths.items()]))
    return "\n\n".join(part for part in parts if part)


def _images(summary: Mapping[str, Any]) -> str:
    images = summary["images"]
    counts = ", ".join(f"{images[status]} {status}" for status in images if status != "total" and images[status])
    total, patients = counted(images["total"], "image"), counted(summary["patients"]["total"], "patient")
    return f"{total} of {patients}: {counts or 'nothing to do'}"


def counted(count: int, noun: str) -> str:
    """``1 image``, ``2 images``."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def _repeats(summary: Mapping[str, Any]) -> str:
    found = summary.get("repeats")
    if not found or found["together"] is None:
        return ""
    alone = ", ".join(f"{miou:.3f}" for miou in found["miou"])
    return f"Single seeds {alone} (sd {found['sd']:.4f}), together {found['together']:.3f}"


def _absent(summary: Mapping[str, Any]) -> str:
    """Classes that a model never met, or was never tested on (:func:`segpipe.dataset.stage.absent_classes`)."""
    return "\n".join(
        f"Class {name}: {WITHOUT[role]} {model}" + (f" and {counted(len(others), 'model')} more" if others else "")
        for role, classes in _by_role(summary.get("absent_classes", {})).items()
        for name, (model, *others) in classes.items()
    )


def _by_role(absent: Mapping[str, Any]) -> dict[str, dict[str, list[str]]]:
    """Role, class, models; from model, role, classes."""
    found: dict[str, dict[str, list[str]]] = {}
    for model, roles in absent.items():
        for role, classes in roles.items():
            for name in classes:
                found.setdefault(role, {}).setdefault(name, []).append(model)
    return found


def _worst(summary: Mapping[str, Any]) -> str:
    cases = [f"{case['image_id']} ({case['miou']:.3f})" for case in summary["worst"]]
    return f"Lowest MIoU: {', '.join(cases)}" if cases else ""


def findings_text(summary: Mapping[str, Any]) -> str:
    """Flags and duplicates (:func:`segpipe.dataset.flags.count_findings`), or nothing where there are none."""
    found = summary.get("checks")
    lines = []
    if found and found["flags"]:
        counts = ", ".join(f"{name} {count}" for name, count in found["flags"].items())
        lines.append(f"Worth a look (column flags): {counted(found['flagged'], 'image')}: {counts}")
    if found and (found["duplicates"] or found["near_duplicates"]):
        counts = f"{found['duplicates']} exact, {found['near_duplicates']} near"
        copies = found["unlabelled_copies_of_labelled"]
        also = f"; {counted(copies, 'unlabelled image')} among them copies of a labelled one" if copies else ""
        lines.append(f"Duplicates: {counts}{also}")
    return "\n".join(lines)


def _quarantined(summary: Mapping[str, Any]) -> str:
    cases = summary["quarantined"]
    lines = [f"  {case['image_id']}: {case['reason']}" for case in cases[:_MOST_QUARANTINED]]
    if len(cases) > _MOST_QUARANTINED:
        lines.append(f"  and {len(cases) - _MOST_QUARANTINED} more, see the report")
    return "\n".join(["Quarantined:", *lines]) if cases else ""


def check_quarantined(quarantined: int, total: int, tolerate: float) -> None:
    """Whether the run as a whole may count as successful.

    Raises:
        QuarantineError: more images are quarantined than tolerated; report.csv names each with its reason.
    """
    if quarantined > tolerate * total:
        raise QuarantineError(
            f"{quarantined} of {total} images are quarantined ({quarantined / total:.1%}), more than data.tolerate "
            f"allows ({tolerate:.1%}). The report is complete: its column reason says what to fix. Fix the files, or "
            "raise data.tolerate if the rest is enough."
        )

"""The summary that is printed when a run ends."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

_MOST_QUARANTINED = 10
WITHOUT = {
    "train": "no image has it among those that train",
    "val": "no image has it among those that choose the epoch of",
    "test": "no image has it among those that test",
}


def summary_text(summary: Mapping[str, Any], paths: Mapping[str, Path]) -> str:
    """The summary (:func:`segpipe.score.aggregate.summarise`) as text for a terminal.

    ``paths`` names what was written, such as ``{"report": Path("results/demo/report.csv")}``. The text has
    no final newline.
    """
    headline = "\n".join(line for line in (_headline(summary), _repeats(summary)) if line)
    parts = [_images(summary), headline, _classes(summary), _absent(summary), _worst(summary), findings_text(summary)]
    parts.append(_quarantined(summary))
    parts.append(_table([(name, str(path)) for name, path in paths.items()]))
    return "\n\n".join(part for part in parts if part)


def _images(summary: Mapping[str, Any]) -> str:
    images = summary["images"]
    counts = ", ".join(f"{images[status]} {status}" for status in images if status != "total" and images[status])
    total, patients = counted(images["total"], "image"), counted(summary["patients"]["total"], "patient")
    return f"{total} of {patients}: {counts or 'nothing to do'}"


def counted(count: int, noun: str) -> str:
    """``1 image``, ``2 images``."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def _headline(summary: Mapping[str, Any]) -> str:
    miou, foreground = summary["metrics"]["miou"], summary["metrics"]["miou_foreground"]
    if not miou["n"]:
        return "No image was scored: there are no references, or none that could be used."
    return (
        f"MIoU {miou['mean']:.3f} (median {miou['median']:.3f}, quartiles {miou['q1']:.3f} to "
        f"{miou['q3']:.3f}, n = {miou['n']}); without background {foreground['mean']:.3f}"
    )


def _repeats(summary: Mapping[str, Any]) -> str:
    found = summary.get("repeats")
    if not found or found["together"] is None:
        return ""
    alone = ", ".join(f"{miou:.3f}" for miou in found["miou"])
    return f"Single seeds {alone} (sd {found['sd']:.4f}), together {found['together']:.3f}"


def _absent(summary: Mapping[str, Any]) -> str:
    """Classes that a model never met, or was never tested on (:func:`segpipe.dataset.absent_classes`)."""
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


def _classes(summary: Mapping[str, Any]) -> str:
    if not summary["metrics"]["miou"]["n"]:
        return ""
    rows = [("class", "IoU mean", "IoU pooled", "Dice mean")]
    for name, scores in summary["classes"].items():
        rows.append((name, *(f"{scores[key]:.3f}" for key in ("iou_mean", "iou_pooled", "dice_mean"))))
    return _table(rows)


def _worst(summary: Mapping[str, Any]) -> str:
    cases = [f"{case['image_id']} ({case['miou']:.3f})" for case in summary["worst"]]
    return f"Lowest MIoU: {', '.join(cases)}" if cases else ""


def findings_text(summary: Mapping[str, Any]) -> str:
    """Flags and duplicates (:func:`segpipe.checks.hygiene.count_findings`), or nothing where there are none."""
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


def _table(rows: Sequence[tuple[str, ...]]) -> str:
    """Columns side by side: the first flush left, numbers flush right, a column of two flush left."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))] if rows else []
    if len(widths) == 2:
        return "\n".join(f"{name:<{widths[0]}}  {value}" for name, value in rows)
    lines = []
    for first, *others in rows:
        cells = (f"{cell:>{width}}" for cell, width in zip(others, widths[1:], strict=True))
        lines.append("  ".join([f"{first:<{widths[0]}}", *cells]))
    return "\n".join(lines)

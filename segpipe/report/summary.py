"""The summary that is printed when a run ends."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from segpipe.report.summary_scores import class_scores, group_scores, headline, quality_lines
from segpipe.report.text_table import text_table

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

"""What `segpipe verify` finds: one line for each file, or row of a file, that is not what it was."""

import csv
import io
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from segpipe.io.atomic import write_text
from segpipe.log import plain

KINDS = {
    "config": "stage configs",
    "input": "images and masks as they were read",
    "store": "shard stores",
    "dataset": "the dataset's table",
    "weights": "models",
    "mask": "predicted masks",
    "scores": "scores",
    "report": "report.csv and summary.json",
}
_MOST = 10  # findings of one kind that are printed; --output has all


@dataclass(frozen=True)
class Finding:
    """One difference: of which ``kind``, in which ``file`` (as a path or below ``data.root``), and what to do."""

    kind: str
    file: str
    problem: str
    advice: str
    image_id: str = ""


class UnreadableError(Exception):
    """A file that a check cannot go on without; it carries the finding that says so."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(finding.problem)
        self.finding = finding


def findings_text(findings: Sequence[Finding], checked: Counter[str], notes: Iterable[str]) -> str:
    """What was compared and what differs, for a terminal; what to do is said once for all it helps."""
    lines = []
    for kind, what in KINDS.items():
        own = [finding for finding in findings if finding.kind == kind]
        lines.append(f"{what}: {checked[kind]} compared, {len(own) or 'none'} {'differ' if own else 'differs'}")
        for finding in own[:_MOST]:
            of = f" ({finding.image_id})" if finding.image_id else ""
            lines.append(f"  {plain(finding.file)}{of}: {plain(finding.problem)}")
        if len(own) > _MOST:
            lines.append(f"  and {len(own) - _MOST} more (--output FILE writes all of them)")
        lines += [f"  -> {advice}" for advice in dict.fromkeys(finding.advice for finding in own[:_MOST])]
    return "\n".join([*lines, *notes])


def write_findings(findings: Iterable[Finding], path: Path) -> None:
    """A CSV with a row for each finding, and a header where there is none."""
    text = io.StringIO()
    names = [field.name for field in fields(Finding)]
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(names)
    writer.writerows([getattr(finding, name) for name in names] for finding in findings)
    write_text(path, text.getvalue())

"""What every format is given, and what it tells of each image."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from segpipe.config import Code
from segpipe.export_masks.finished import FinishedRun


@dataclass(frozen=True)
class Job:
    """One export: ``tolerance`` in pixels is how far a drawn outline may be from the mask's."""

    run: FinishedRun
    output: Path
    codes: Mapping[str, Code] = field(default_factory=dict)
    tolerance: float = 0.0


@dataclass(frozen=True)
class Outcome:
    """A row of exported.csv: ``files`` relative to the output; without one, ``reason`` says why."""

    image_id: str
    files: tuple[str, ...] = ()
    reason: str = ""
    notes: tuple[str, ...] = ()

    @property
    def cells(self) -> list[str]:
        """The row, as :data:`HEADER`."""
        status = "exported" if self.files else "skipped"
        return [self.image_id, " ".join(self.files), status, self.reason, " ".join(self.notes)]


HEADER = ["image_id", "file", "status", "reason", "notes"]

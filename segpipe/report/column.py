"""What one column of report.csv is."""

from dataclasses import dataclass
from typing import Literal

Kind = Literal["text", "integer", "score", "number", "boolean"]


@dataclass(frozen=True)
class Column:
    """One column: its header, what its cells hold, and what they mean."""

    name: str
    kind: Kind
    description: str

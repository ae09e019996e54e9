"""Whether a run as a whole counts as successful."""

from collections.abc import Mapping
from typing import Any

from segpipe.errors import QuarantineError


def judge(summary: Mapping[str, Any], tolerate: float) -> None:
    """Whether the run as a whole may count as successful.

    Raises:
        QuarantineError: more images are quarantined than tolerated; report.csv names each with its reason.
    """
    bad, total = summary["images"]["quarantined"], summary["images"]["total"]
    if bad > tolerate * total:
        raise QuarantineError(
            f"{bad} of {total} images are quarantined ({bad / total:.1%}), more than data.tolerate allows "
            f"({tolerate:.1%}). The report is complete: its column reason says what to mend. Mend the files, or raise "
            "data.tolerate if the rest is enough."
        )

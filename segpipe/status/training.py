"""How far a model's training is, from its log and from its history."""

import csv
import re
from dataclasses import dataclass
from pathlib import Path

from segpipe.status.snakemake import tail

_EPOCH = re.compile(
    r" epoch (?P<epoch>\d+)/(?P<epochs>\d+): .*val MIoU (?P<miou>[\d.]+|nan) "
    r"\(best (?P<best>[\d.]+|nan) in epoch (?P<best_epoch>\d+)\)(?:.*about (?P<left>\d+) s left)?"
)


@dataclass(frozen=True)
class Progress:
    """Epochs done of those planned, the last validation's MIoU and the best; ``seconds_left`` while it runs."""

    epoch: int
    epochs: int
    miou: float
    best: float
    best_epoch: int
    seconds_left: int | None = None


def progress_in_log(log: Path) -> Progress | None:
    """What the last line of an epoch says; None before the first."""
    found = _EPOCH.findall(tail(log, 16_000))
    if not found:
        return None
    epoch, epochs, miou, best, best_epoch, left = found[-1]
    return Progress(int(epoch), int(epochs), float(miou), float(best), int(best_epoch), int(left) if left else None)


def progress_in_history(history: Path) -> Progress | None:
    """That of a finished training; epochs without validation have no MIoU."""
    try:
        with history.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        scores = [(int(row["epoch"]), float(row["val_miou"])) for row in rows if row["val_miou"]]
    except (OSError, KeyError, ValueError):
        return None
    if not scores:
        return None
    best_epoch, best = max(scores, key=lambda score: score[1])
    last = int(rows[-1]["epoch"])
    return Progress(last, last, scores[-1][1], best, best_epoch)

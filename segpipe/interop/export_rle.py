"""Run lengths in a CSV of CheXmask's form, which `segpipe import-masks rle` expects unless told otherwise."""

import csv
from collections.abc import Iterable, Iterator

import numpy as np

from segpipe.files.atomic import atomic_path
from segpipe.interop.finished_run import Job, Outcome, Picture

NAME = "masks.csv"


def write(job: Job, pictures: Iterable[Picture]) -> Iterator[Outcome]:
    """One file with a row per image; the image is named by its path below ``data.root``."""
    path = job.output / NAME
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["Path", "Height", "Width", *job.run.classes])
        for picture in pictures:
            masks = job.run.masks(picture)
            table.writerow([picture.image, picture.rows, picture.columns, *map(pairs, masks)])
            yield Outcome(picture.image_id, (NAME,))


def pairs(mask: np.ndarray) -> str:
    """``mask`` (rows, columns) bool as "start length start length ...", counted along rows from 1."""
    padded = np.concatenate([[False], mask.ravel(), [False]])
    edges = np.flatnonzero(padded[1:] != padded[:-1])
    starts, ends = edges[0::2], edges[1::2]
    return " ".join(map(str, np.stack([starts + 1, ends - starts], axis=1).ravel()))

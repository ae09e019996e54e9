"""The two kinds of mask stores: files, bytes, CPU time; and the pipeline of prediction beside a plain loop.

Masks are as prediction makes them: pictures of 512x512 in the network's square, here the lungs of Montgomery (phantoms
where they are missing), brought to 1024x1024 and thresholded. The loop does the same with the same functions, one after
the other; both take turns. The network has random weights, which cost what trained ones do.
"""

import argparse
import os
import shutil
import tempfile
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from statistics import median

import cv2
import numpy as np
import torch
from harness import print_machine, print_table, shared

from segpipe.config import Dicom, Predict, Preprocess
from segpipe.demo.render import phantom_arrays
from segpipe.masks.encode import Layout
from segpipe.masks.journal import Entry
from segpipe.masks.store import MaskReader, MaskStore
from segpipe.models.card import ModelCard
from segpipe.models.networks.registry import build_network
from segpipe.models.weights import save_model
from segpipe.predict.ensemble import Ensemble
from segpipe.predict.pipeline import read_ahead
from segpipe.predict.writer import BATCHES_AHEAD, MaskWriter, Picture
from segpipe.preprocess.geometry import plan_fit

CLASSES, SIZE, ORIGINAL = {"lung": None}, 512, (1024, 1024)
KINDS = ("files", "rle")


def squares(count: int) -> list[np.ndarray]:
    """Smooth probabilities of lungs, float32 (512, 512)."""
    real = [cv2.imread(str(path), cv2.IMREAD_GRAYSCALE) for path in shared("montgomery-138/masks", "*.png")[:count]]
    masks = real or [
        phantom_arrays(seed, (SIZE, SIZE))[1]["lung"].astype(np.uint8) * np.uint8(255) for seed in range(count)
    ]
    return [cv2.GaussianBlur(cv2.resize(mask, (SIZE, SIZE)), (0, 0), 2).astype(np.float32) / 255 for mask in masks]


def measure_kinds(folder: Path, count: int) -> None:
    """Print files, bytes and CPU milliseconds of each kind."""
    found = squares(count)
    masks = [cv2.resize(square, ORIGINAL)[np.newaxis] >= 0.5 for square in found]
    rows = []
    for probabilities in ("none", "uint8", "float16"):
        for kind in KINDS:
            place = folder / f"{kind}-{probabilities}" / "masks" / "0000"
            layout = Layout(CLASSES, "binary", kind, probabilities)
            started = time.process_time()
            store = MaskStore(place, layout)
            for number, (mask, square) in enumerate(zip(masks, found, strict=True)):
                entries = layout.encode(f"image{number:04d}", mask, square[np.newaxis])
                store.save(f"image{number:04d}", entries)
                store.commit(f"image{number:04d}", Entry.of("", entries, {}))
            store.finish()
            written = time.process_time()
            with MaskReader(place, layout) as reader:
                for number, mask in enumerate(masks):
                    if not np.array_equal(reader.masks(f"image{number:04d}"), mask):
                        raise SystemExit(f"{kind} changes a mask")
            read = time.process_time()
            files = [path for path in (folder / f"{kind}-{probabilities}").rglob("*") if path.is_file()]
            size, taken = (
                sum(part) for part in zip(*((f.stat().st_size, f.stat().st_blocks * 512) for f in files), strict=True)
            )
            cost = [f"{1000 * seconds / len(masks):.1f}" for seconds in (written - started, read - written)]
            each = [f"{part / len(masks) / 1000:.1f}" for part in (size, taken)]
            rows.append([kind, probabilities, str(len(files)), *each, *cost])
    header = ["masks", "probabilities", "files", "KB an image", "KB on the disk", "ms to write", "ms to read"]
    print(f"{len(masks)} masks of 1024x1024, one class\n")
    print_table(header, rows)


def make_model(folder: Path) -> Path:
    """The default network with random weights."""
    torch.manual_seed(0)
    card = ModelCard(
        "subpixel_unet", {}, CLASSES, Preprocess().model_dump(mode="json"), Dicom().model_dump(mode="json"), {}
    )
    weights = build_network("subpixel_unet", 1, {}).state_dict()
    save_model(folder, {name: tensor.clone() for name, tensor in weights.items()}, card)
    return folder


def pictures(count: int) -> list[list[Picture]]:
    """Batches of four."""
    geometry = plan_fit(ORIGINAL, SIZE, "letterbox")
    each = [np.rint(square * 255).astype(np.uint8) for square in squares(count)]
    made = [Picture(f"i{n:04d}", "", pixels, geometry, "", ("model",)) for n, pixels in enumerate(each)]
    return [made[start : start + 4] for start in range(0, len(made), 4)]


def pipeline(writer: MaskWriter, batches: list[list[Picture]]) -> None:
    """As a shard is predicted."""
    with read_ahead(iter(batches), BATCHES_AHEAD) as ahead:
        deque(writer.write(ahead), maxlen=0)


def loop(writer: MaskWriter, batches: list[list[Picture]]) -> None:
    """One step after the other."""
    for batch in batches:
        found = writer.ensemble.probabilities(np.stack([picture.pixels for picture in batch]), ("model",))
        for item in zip(batch, found, strict=True):
            writer._commit(item, writer._write(item))


def measure_pipeline(folder: Path, count: int, rounds: int) -> None:
    """Print wall and CPU time an image, with one and with two threads of the network."""
    model, batches, rows = make_model(folder / "model"), pictures(count), []
    for threads in (1, 2):
        settings = Predict(engine="torch", batch_size=4)
        ensemble = Ensemble({"model": model}, CLASSES, Preprocess(), Dicom(), settings, threads)
        ensemble.load()
        ensemble.probabilities(np.stack([picture.pixels for picture in batches[0]]), ("model",))
        ways: dict[str, Callable[[MaskWriter, list[list[Picture]]], None]] = {"loop": loop, "pipeline": pipeline}
        took: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
        for _ in range(rounds):
            for name, way in ways.items():
                place = folder / "masks" / name
                shutil.rmtree(place, ignore_errors=True)
                writer = MaskWriter(ensemble, settings, "binary", CLASSES, place)
                wall, cpu = time.monotonic(), time.process_time()
                way(writer, batches)
                took[name].append((time.monotonic() - wall, time.process_time() - cpu))
        wall, cpu = ({name: median(pair[part] for pair in pairs) for name, pairs in took.items()} for part in (0, 1))
        each = [f"{1000 * part[name] / count:.0f}" for part in (wall, cpu) for name in ways]
        rows.append([str(threads), *each, f"{wall['loop'] / wall['pipeline']:.2f}"])
    print(f"{count} pictures, 1024x1024, {len(os.sched_getaffinity(0))} cores, median of {rounds} rounds\n")
    header = ["threads", "loop, wall ms", "pipeline, wall ms", "loop, CPU ms", "pipeline, CPU ms", "times faster"]
    print_table(header, rows)


def main() -> None:
    """Both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--masks", type=int, default=138)
    parser.add_argument("--pictures", type=int, default=48)
    parser.add_argument("--rounds", type=int, default=5, help="of the pipeline; 0: stores only")
    options = parser.parse_args()
    print_machine("opencv-python-headless", "numpy", "torch", "pyarrow")
    with tempfile.TemporaryDirectory() as folder:
        measure_kinds(Path(folder), options.masks)
        if options.rounds:
            measure_pipeline(Path(folder), options.pictures, options.rounds)


if __name__ == "__main__":
    main()

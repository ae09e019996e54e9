"""Eight images learned by heart: whether network, loss and optimizer work at all, and how fast.

A network that cannot reach 0.98 on eight images that it is trained on without augmentation has a fault, or too few
weights for outlines of this size. Augmentation and number of epochs are set here, the rest is the config's
default.
"""

import argparse
import os
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as the command sets it, before torch is imported
from harness import print_machine, print_table, shared

from segpipe.config.load import parse_config
from segpipe.config.stages import TrainStage, stage_configs
from segpipe.demo.render import phantom_arrays
from segpipe.models.device import fix_arithmetic
from segpipe.preprocess.store import pack_bits, stack_writer, write_table
from segpipe.train.data import TrainLoader
from segpipe.train.distributed import join
from segpipe.train.seeds import learning_rate
from segpipe.train.step import TrainStep
from segpipe.train.validation import validation_miou

IMAGES = 8
WANTED = 0.98


def pictures(size: int) -> tuple[str, list[tuple[np.ndarray, np.ndarray]]]:
    """What they are, and eight squares: grey values in [0, 1] and masks (classes, size, size)."""
    files = shared("montgomery-138", "images/*.png")[:: 138 // IMAGES][:IMAGES]
    if not files:
        both = [phantom_arrays(number, (size, size)) for number in range(IMAGES)]
        return "phantoms", [(np.clip(image, 0, 1), np.stack([mask["lung"]])) for image, mask in both]
    squares = []
    for file in files:
        image = cv2.imread(str(file), cv2.IMREAD_GRAYSCALE)
        mask = cv2.imread(str(file.parents[1] / "masks" / file.name), cv2.IMREAD_GRAYSCALE)
        image, mask = (cv2.resize(each, (size, size), interpolation=cv2.INTER_AREA) for each in (image, mask))
        squares.append((image / 255, (mask > 127)[np.newaxis]))
    return "Montgomery images", squares


def make_store(folder: Path, squares: list[tuple[np.ndarray, np.ndarray]], size: int) -> pd.DataFrame:
    """A shard of them; its rows as the dataset table has them."""
    store = folder / "0000"
    with (
        stack_writer(store / "images.npy", IMAGES, (size, size), np.dtype(np.uint8)) as images,
        stack_writer(store / "masks.npy", IMAGES, (size, size), np.dtype(np.uint8)) as masks,
    ):
        for image, mask in squares:
            images.append(np.rint(255 * image).astype(np.uint8))
            masks.append(pack_bits(mask))
    write_table(store / "table.parquet", pd.DataFrame({"image_id": [f"i{number}" for number in range(IMAGES)]}))
    return pd.DataFrame({"image_id": [f"i{number}" for number in range(IMAGES)], "shard": "0000", "row": range(IMAGES)})


def overfit(stage: TrainStage, rows: pd.DataFrame, shards: Path, every: int) -> list[list[str]]:
    """Train; a row for every few epochs: seconds and MIoU on the very images."""
    config, table, seconds, used = stage.train, [], 0.0, 0.0
    with join(config.device) as team:
        fix_arithmetic(config.threads, config.deterministic, config.tf32)
        feed = TrainLoader(stage, rows, shards, stage.seed, team, int(config.batch_size))
        learner, steps, step = TrainStep(stage, stage.seed, team), feed.steps, 0
        for epoch in range(1, config.epochs + 1):
            started, spent = time.monotonic(), time.process_time()
            learner.begin_epoch(epoch)
            for images, masks in feed.batches(epoch, 0):
                rate = learning_rate(
                    step, config.epochs * steps, round(config.warmup_epochs * steps), config.learning_rate
                )
                learner.run(images, masks, rate, step)
                step += 1
            seconds, used = seconds + time.monotonic() - started, used + time.process_time() - spent
            if epoch % every == 0 or epoch == config.epochs:
                miou = validation_miou(learner.evaluated, rows, shards, len(stage.classes), 2, team.device)
                table.append([str(epoch), f"{seconds:.0f}", f"{used:.0f}", f"{miou:.4f}"])
    return table


def main() -> None:
    """Train and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--every", type=int, default=5, help="epochs between two scores")
    parser.add_argument("--network", help="default: that of the config")
    parser.add_argument("--device", default="auto")
    arguments = parser.parse_args()
    config = parse_config(
        {
            "data": {"images": "{p}.png", "masks": {"lung": "l/{p}.png"}},
            "preprocess": {"size": arguments.size},
            "model": {"network": arguments.network} if arguments.network else {},
            "train": {
                "augment": "none",
                "epochs": arguments.epochs,
                "device": arguments.device,
            },
        }
    )
    stage = stage_configs(config, [])["train"]
    assert isinstance(stage, TrainStage)
    print_machine()
    with tempfile.TemporaryDirectory() as folder:
        what, squares = pictures(arguments.size)
        rows = make_store(Path(folder), squares, arguments.size)
        print(f"{stage.model.network}, {IMAGES} {what}, {arguments.size} x {arguments.size}\n")
        table = overfit(stage, rows, Path(folder), arguments.every)
    print_table(("epochs", "seconds of training", "CPU seconds", "MIoU"), table)
    reached = next((row for row in table if float(row[3]) >= WANTED), None)
    print(f"{WANTED} after {reached[1]} s" if reached else f"{WANTED} was not reached")


if __name__ == "__main__":
    main()

"""What data and augmentation add to a training step, and what a plain MONAI loop costs beside it.

For each network: the bare step (forward, loss, backward, optimiser) on one fixed batch; the same with segpipe's
batches, read from a shard store and augmented on the device; and the loop of MONAI's tutorials (Dataset, DataLoader and
a list of CPU transforms per image). Rounds alternate, and the ratios are those of neighbouring rounds.
"""

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as the command sets it, before torch is imported
import torch
from harness import print_machine, print_table
from monai import transforms as mt
from monai.data import CacheDataset, DataLoader

from segpipe.config import Model
from segpipe.model.device import autocast, choose_device, choose_precision, fix_arithmetic
from segpipe.model.inputs import to_input
from segpipe.model.weights import network_of
from segpipe.phantom import phantom_arrays
from segpipe.preprocess.store import pack_bits, stack_writer, write_table
from segpipe.train.augment.draws import RECIPES
from segpipe.train.data import Batch, Pictures, batches
from segpipe.train.losses import build_loss

NETWORKS = {"unet": {}, "unet, 16 to 128 channels": {"channels": [16, 32, 64, 128]}}


def make_store(folder: Path, images: int, size: int) -> pd.DataFrame:
    """A shard of phantoms."""
    (folder / "0000").mkdir()
    with (
        stack_writer(folder / "0000" / "images.npy", images, (size, size), np.dtype(np.uint8)) as pictures,
        stack_writer(folder / "0000" / "masks.npy", images, (size, size), np.dtype(np.uint8)) as masks,
    ):
        for number in range(images):
            image, mask = phantom_arrays(number, (size, size))
            pictures.append(np.rint(255 * image).astype(np.uint8))
            masks.append(pack_bits(np.stack(list(mask.values()))))
    rows = pd.DataFrame({"image_id": [str(number) for number in range(images)], "shard": "0000", "row": range(images)})
    write_table(folder / "0000" / "table.parquet", rows)
    return rows


def monai_batches(pictures: Pictures, batch_size: int, device: torch.device) -> Iterator[Batch]:
    """What a tutorial would do: everything in memory, random dictionary transforms on the CPU."""
    keys = ("image", "mask")
    compose = mt.Compose(
        [
            mt.RandAffined(
                keys, prob=0.8, rotate_range=0.17, scale_range=(0.12, 0.12), translate_range=(25, 25),
                mode=("bilinear", "nearest"), padding_mode="zeros",
            ),
            mt.RandAdjustContrastd("image", prob=0.5, gamma=(0.7, 1.4)),
            mt.RandScaleIntensityd("image", prob=0.3, factors=0.15),
            mt.RandShiftIntensityd("image", prob=0.3, offsets=0.08),
            mt.RandGaussianNoised("image", prob=0.2, std=0.03),
        ]
    )  # fmt: skip
    stored = [pictures.read(index) for index in range(len(pictures))]
    items = [
        {"image": image[None].astype(np.float32) / 255, "mask": np.stack([mask & 1, mask >> 1 & 1]).astype(np.float32)}
        for image, mask in stored
    ]
    for part in DataLoader(CacheDataset(items, compose, progress=False), batch_size=batch_size, drop_last=True):
        yield part["image"].to(device), part["mask"].to(device)


def seconds(step: Callable[[Batch], None], source: Iterator[Batch], device: torch.device) -> tuple[float, float]:
    """Wall and CPU seconds per step over a source."""
    wall, cpu, steps = time.perf_counter(), time.process_time(), 0
    for batch in source:
        step(batch)
        steps += 1
    if device.type == "cuda":
        torch.cuda.synchronize()
    return (time.perf_counter() - wall) / steps, (time.process_time() - cpu) / steps


def measure(options: dict[str, object], pictures: Pictures, arguments: argparse.Namespace) -> list[list[str]]:
    """A row per kind of data: medians, and ratios to the bare step."""
    device = choose_device(arguments.device)
    precision = choose_precision("auto", device)
    network = network_of(Model(options=options), pictures.classes).to(device).train()
    optimizer, loss_of = torch.optim.AdamW(network.parameters(), fused=device.type == "cuda"), build_loss("dice_ce")

    def step(batch: Batch) -> None:
        with autocast(device, precision):
            logits = network(to_input(batch[0]))
        optimizer.zero_grad(set_to_none=True)
        loss_of(logits.float(), batch[1]).backward()
        optimizer.step()

    size = arguments.batch_size
    fixed = next(batches(pictures, size, device))
    steps = len(pictures) // size
    kinds: dict[str, Callable[[int], Iterator[Batch]]] = {
        "bare step": lambda _: iter([fixed] * steps),
        "augment: none": lambda epoch: batches(pictures, size, device, True, RECIPES["none"], 0, epoch),
        "augment: light": lambda epoch: batches(pictures, size, device, True, RECIPES["light"], 0, epoch),
        "augment: strong": lambda epoch: batches(pictures, size, device, True, RECIPES["strong"], 0, epoch),
        "MONAI's transforms, per image": lambda _: monai_batches(pictures, size, device),
    }
    rounds = [
        {kind: seconds(step, source(epoch), device) for kind, source in kinds.items()}
        for epoch in range(arguments.rounds + 1)
    ][1:]
    rows = []
    for kind in kinds:
        wall, cpu = (statistics.median(found[kind][place] for found in rounds) for place in (0, 1))
        ratios = [
            statistics.median(found[kind][place] / found["bare step"][place] for found in rounds) for place in (0, 1)
        ]
        memory = torch.cuda.max_memory_allocated() / 2**20 if device.type == "cuda" else float("nan")
        rows.append(
            [kind, f"{1000 * wall:.0f}", f"{1000 * cpu:.0f}", f"{size / wall:.1f}", *(f"{x:.2f}" for x in ratios),
             f"{memory:.0f}"]
        )  # fmt: skip
    return rows


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda"))
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--batch-size", type=int, default=2)
    parser.add_argument("--images", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    fix_arithmetic(arguments.threads)
    print_machine("torch", "monai")
    with tempfile.TemporaryDirectory() as temporary:
        rows = make_store(Path(temporary), arguments.images, arguments.size)
        pictures = Pictures(rows, Path(temporary), 2)
        for name, options in NETWORKS.items():
            print(f"### `{name}`, {arguments.size} x {arguments.size}, batches of {arguments.batch_size}\n")
            header = ("", "ms wall", "ms CPU", "images/s", "wall, times bare", "CPU, times bare", "peak MiB of GPU")
            print_table(header, measure(options, pictures, arguments))


if __name__ == "__main__":
    main()

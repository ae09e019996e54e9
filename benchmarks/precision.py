"""What a lower precision or another engine does to the scores of labelled pictures, in the network's square.

    python benchmarks/precision.py results/montgomery/models/fold1 results/montgomery --shard 0000 --count 12

Pictures are those whose patients the model never saw, as `dataset.parquet` says. Each line is beside the first.
"""

import argparse
import time
from pathlib import Path

import numpy as np
import pandas as pd
from harness import print_machine, print_table

from segpipe.config import Predict
from segpipe.models.card import pictures_wanted, read_card
from segpipe.predict.ensemble import Ensemble
from segpipe.preprocess.store import open_store, pack_bits
from segpipe.score.overlap import counts_from_bits, miou

COLUMNS = ["engine", "MIoU", "change", "largest change of an image", "pixels that differ", "ms per image, wall"]
WAYS = [("torch", "float32"), ("openvino", "float32"), ("torch", "bfloat16"), ("openvino", "bfloat16")]


def main() -> None:
    """One line per engine and precision."""
    arguments = parse()
    print_machine("torch", "openvino")
    images, references = test_pictures(arguments)
    first: tuple[np.ndarray, np.ndarray] | None = None
    rows = []
    for engine, precision in WAYS:
        masks, milliseconds = predicted(arguments.model, images, engine, precision, arguments.threads)
        classes = masks.shape[1]
        bits = [pack_bits(mask) for mask in masks]
        scores = miou(np.stack([counts_from_bits(own, of, classes) for own, of in zip(bits, references, strict=True)]))
        first = first or (masks, scores)
        change = scores - first[1]
        rows.append(
            [f"{engine} {precision}", f"{scores.mean():.5f}", f"{change.mean():+.5f}", f"{np.abs(change).max():.5f}",
             f"{(masks != first[0]).mean():.1e}", f"{milliseconds:.0f}"]
        )  # fmt: skip
    print(f"{len(images)} pictures of {images.shape[1]} x {images.shape[2]}\n")
    print_table(COLUMNS, rows)


def test_pictures(arguments: argparse.Namespace) -> tuple[np.ndarray, np.ndarray]:
    """Pictures and packed references."""
    store = open_store(arguments.results / "shards" / arguments.shard)
    dataset = pd.read_parquet(arguments.results / "dataset" / "dataset.parquet").set_index("image_id")
    roles = dataset.loc[store.table["image_id"], f"role:{arguments.model.name}"].to_numpy()
    chosen = np.flatnonzero((roles == "test") & (store.table["status"] == "labelled").to_numpy())[: arguments.count]
    return store.images[chosen], store.masks[chosen]


def predicted(model: Path, images: np.ndarray, engine: str, precision: str, threads: int) -> tuple[np.ndarray, float]:
    """Masks (n, classes, size, size) and milliseconds per image, without the first batch, which starts the engine."""
    card = read_card(model)
    predict = Predict(engine=engine, precision=precision, device="cpu")
    ensemble = Ensemble({"model": model}, card.classes, *pictures_wanted(card, model)[:2], predict, threads)
    size, found = ensemble.batch_size, []
    started = time.perf_counter()
    for start in range(0, len(images), size):
        found.append(ensemble.probabilities(images[start : start + size], ["model"]) >= predict.threshold)
        if not start:
            started = time.perf_counter()
    return np.concatenate(found), 1000 * (time.perf_counter() - started) / max(1, len(images) - size)


def parse() -> argparse.Namespace:
    """The command's options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("results", type=Path)
    parser.add_argument("--shard", default="0000")
    parser.add_argument("--count", type=int, default=12)
    parser.add_argument("--threads", type=int, default=2)
    return parser.parse_args()


if __name__ == "__main__":
    main()

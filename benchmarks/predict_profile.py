"""Where the time of one predict shard goes, and what a million images would take.

    python benchmarks/predict_profile.py --model results/montgomery/models/fold0 --engine torch

The stage's own functions are wrapped with clocks, so that parts which overlap in time are told apart: wall time and the
CPU time of the thread that a part runs in. What remains of the process's CPU time are the network's other threads,
and what nobody named. Decoding happens in `segpipe preprocess`, before; it is measured here in one process by itself.
"""

import argparse
import importlib
import os
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import wraps
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as the command sets it, before torch is imported
from commands import run
from harness import print_machine, print_table
from predict_contestants import make_folder
from predict_model import archive_config, phantom_model, shard_commands

from segpipe.config import Config
from segpipe.config.stages import PredictStage, PreprocessStage, stage_configs
from segpipe.predict.shard import predict_shard
from segpipe.preprocess.read import read_sample
from segpipe.preprocess.transforms import preprocessing
from segpipe.samples.shards import read_table

PARTS = {
    "hash the picture, look for its mask": ("segpipe.predict.shard:Predictor._recipe",),
    "read the picture from the store": ("segpipe.predict.shard:Predictor._picture",),
    "wait for the reader": ("segpipe.predict.pipeline:_next",),
    "network": ("segpipe.predict.ensemble:Ensemble.probabilities",),
    "restore the original size": ("segpipe.preprocess.geometry:restore",),
    "threshold and tidy": (
        "segpipe.predict.postprocess:above_threshold",
        "segpipe.predict.postprocess:tidied",
    ),
    "encode the PNG": ("segpipe.masks.encode:Layout.encode",),
    "write the file": ("segpipe.masks.store:MaskStore.save",),
    "write the journal": ("segpipe.masks.store:MaskStore.commit",),
    "wait for the writers": ("segpipe.predict.pipeline:_result",),
}
DECODE = "decode and fit (segpipe preprocess)"
MILLION = 1_000_000


class Clocks:
    """Wall and CPU seconds of each part, over all threads."""

    def __init__(self) -> None:
        self.wall: dict[str, float] = defaultdict(float)
        self.cpu: dict[str, float] = defaultdict(float)
        self._lock = threading.Lock()

    def timed(self, part: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function with a clock around it."""

        @wraps(function)
        def call(*arguments: Any, **options: Any) -> Any:
            wall, cpu = time.perf_counter(), time.thread_time()
            try:
                return function(*arguments, **options)
            finally:
                with self._lock:
                    self.wall[part] += time.perf_counter() - wall
                    self.cpu[part] += time.thread_time() - cpu

        return call

    def wrap(self, part: str, place: str) -> None:
        """Put a clock around a function of a class, in its place."""
        module, name = place.split(":")
        owner: Any = importlib.import_module(module)
        *classes, last = name.split(".")
        for each in classes:
            owner = getattr(owner, each)
        setattr(owner, last, self.timed(part, getattr(owner, last)))


def profile(config: Config, model: Path, images: int, threads: int) -> list[tuple[str, float, float]]:
    """Milliseconds per image of each part, by the clock and of CPU, the whole stage last."""
    clocks = Clocks()
    for part, places in PARTS.items():
        for place in places:
            clocks.wrap(part, place)
    stage = stage_configs(config, [])["predict"]
    assert isinstance(stage, PredictStage)
    results, output = config.folder, config.folder / "predictions.parquet"
    wall, cpu = time.perf_counter(), time.process_time()
    predict_shard(stage, results / "shards" / "0000", [model], None, results / "masks", output, threads)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    parts = [(part, clocks.wall[part], clocks.cpu[part]) for part in PARTS]
    rest = cpu - sum(part[2] for part in parts)
    parts += [("the network's other threads, start and end", 0.0, rest), ("all", wall, cpu)]
    return [(part, 1000 * first / images, 1000 * second / images) for part, first, second in parts]


def decoding(config: Config, limit: int = 50) -> tuple[str, float, float]:
    """Milliseconds per image of what a worker of `segpipe preprocess` does."""
    stage = stage_configs(config, [])["preprocess"]
    assert isinstance(stage, PreprocessStage)
    compose = preprocessing(stage.classes, stage.missing_mask, stage.preprocess, stage.dicom, stage.root, stage.raster)
    samples = list(read_table(config.folder / "samples" / "0000.csv"))[:limit]
    read_sample(samples[0], stage, compose, b"")
    wall, cpu = time.perf_counter(), time.process_time()
    for sample in samples:
        read_sample(sample, stage, compose, b"")
    seconds = time.perf_counter() - wall, time.process_time() - cpu
    return (DECODE, *(1000 * each / len(samples) for each in seconds))


def estimate(decode: tuple[str, float, float], parts: Sequence[tuple[str, float, float]], cores: int) -> str:
    """CPU time does not depend on the neighbours, so it is what a million is computed from."""
    total = decode[2] + parts[-1][2]
    hours = total * MILLION / 1000 / 3600
    return (
        f"A million such images: {hours:,.0f} CPU hours (decode {decode[2] * MILLION / 3.6e6:,.0f}, the rest "
        f"{parts[-1][2] * MILLION / 3.6e6:,.0f}); {hours / cores / 24:.1f} days on {cores} cores that are kept busy, "
        f"{hours / 64:.1f} hours on 64."
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, help="default: a short training on phantoms")
    parser.add_argument("--engine", default="auto")
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--images", type=int, default=100)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    print_machine("torch")
    with tempfile.TemporaryDirectory(prefix="segpipe-bench-") as temporary:
        folder = Path(temporary)
        (folder / "model").mkdir()
        model = (arguments.model or phantom_model(folder / "model", epochs=12)).resolve()
        make_folder(folder / "images", arguments.images)
        predict = {"engine": arguments.engine, "device": arguments.device}
        config = archive_config(folder, folder / "images", model, predict)
        run(shard_commands(config, model)["preprocess"], folder)
        decode, parts = decoding(config), profile(config, model, arguments.images, arguments.threads)
    print(f"{arguments.images} images, engine {arguments.engine}, {arguments.threads} threads\n")
    rows = [[name, f"{wall:.2f}", f"{cpu:.2f}"] for name, wall, cpu in (decode, *parts)]
    print_table(("part", "wall ms per image", "CPU ms per image, of its thread"), rows)
    print(estimate(decode, parts, arguments.threads))


if __name__ == "__main__":
    main()

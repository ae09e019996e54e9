"""What a variant costs: parameters, time to train, time to predict."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import torch

from segpipe.config import Predict
from segpipe.config.stages import CompareStage
from segpipe.config.variants import model_name
from segpipe.log import logger
from segpipe.models.device import choose_device, fix_arithmetic, to_input
from segpipe.models.weights import load_model
from segpipe.predict.engines import ON_A_CPU, choose_engine
from segpipe.predict.pipeline import Cores

THREADS = 1  # that time a forward pass
RUNS, SECONDS = 5, 2.0  # forward passes that are timed; fewer once they took this long


@dataclass(frozen=True)
class Cost:
    """``milliseconds`` per image is of the network alone, without reading, restoring and writing."""

    parameters: int
    milliseconds: float
    device: str


def measure(folder: Path, size: int, predict: Predict) -> Cost:
    """Load a model and time it on random pictures of its size, with the engine that predicts: the median of a few
    forward passes.
    """
    fix_arithmetic(THREADS)
    device = choose_device(predict.device)
    network = load_model(folder)
    parameters = sum(parameter.numel() for parameter in network.parameters())
    run = choose_engine(predict, size, device, Cores(THREADS)).prepare(network)
    batch_size = ON_A_CPU if predict.batch_size == "auto" else predict.batch_size  # the same for all variants
    images = to_input(torch.rand(batch_size, 1, size, size, device=device))
    seconds: list[float] = []
    with torch.no_grad():
        run(images)  # the first pass chooses kernels
        if device.type == "cuda":
            torch.cuda.synchronize()
        while len(seconds) < RUNS and (not seconds or sum(seconds) < SECONDS):
            started = time.perf_counter()
            run(images)
            if device.type == "cuda":
                torch.cuda.synchronize()
            seconds.append(time.perf_counter() - started)
    middle = sorted(seconds)[len(seconds) // 2]
    return Cost(parameters, 1000 * middle / len(images), device.type)


def times_table(stage: CompareStage, results: Path, costs: Sequence[Cost]) -> pd.DataFrame:
    """One row per variant: what its models took to train, as Snakemake measured it, and a forward pass.

    Blank where Snakemake left no measurement.
    """
    rows = []
    for variant, cost in zip(stage.variants, costs, strict=True):
        folder = results / "benchmarks" / "compare" / variant.name / "train"
        names = [model_name(plain, repeat) for plain in stage.models for repeat in range(1, stage.repeats + 1)]
        found = [pd.read_csv(folder / f"{name}.tsv", sep="\t") for name in names if (folder / f"{name}.tsv").exists()]
        if len(found) < len(names):
            logger.warning("%s: %d of %d training times are missing", variant.name, len(names) - len(found), len(names))
        measured = (
            pd.concat(found)[["cpu_time", "s", "max_rss"]].apply(pd.to_numeric, errors="coerce") if found else None
        )
        rows.append(
            {
                "variant": variant.name,
                "models": len(names),
                "train_cpu_minutes": None if measured is None else round(measured["cpu_time"].mean() / 60, 2),
                "train_minutes": None if measured is None else round(measured["s"].mean() / 60, 2),
                "train_peak_mb": None if measured is None else round(measured["max_rss"].max()),
                "predict_ms_per_image": round(cost.milliseconds, 1),
                "device": cost.device,
                "threads": THREADS,
            }
        )
    return pd.DataFrame(rows)

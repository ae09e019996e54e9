"""An engine alone: milliseconds per image of a network on a batch that stays on its device, as JSON."""

import argparse
import json
import os
import time
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as the command sets it, before torch is imported
import torch

from segpipe.config import Predict
from segpipe.models.card import read_card
from segpipe.models.device import fix_arithmetic
from segpipe.models.weights import load_model
from segpipe.predict.engines import choose_engine
from segpipe.predict.pipeline import Cores


def main() -> None:
    """Measure for some seconds, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--engine", default="auto")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--batch-size", type=int, help="default: 4, or 64 on CUDA")
    parser.add_argument("--seconds", type=float, default=5.0)
    arguments = parser.parse_args()
    fix_arithmetic(arguments.threads)
    device, size = torch.device(arguments.device), read_card(arguments.model).preprocess["size"]
    count = arguments.batch_size or (64 if device.type == "cuda" else 4)
    wanted = Predict(engine=arguments.engine, device=arguments.device)
    network = choose_engine(wanted, size, device, Cores(arguments.threads)).prepare(load_model(arguments.model))
    pictures = torch.rand(count, 1, size, size, generator=torch.Generator().manual_seed(0)).to(device)
    images, spent = 0, 0.0
    with torch.no_grad():
        network(pictures)
        wait(device)
        used, started = time.process_time(), time.perf_counter()
        while spent < arguments.seconds:
            network(pictures)
            wait(device)
            images, spent = images + count, time.perf_counter() - started
    used = time.process_time() - used
    print(json.dumps({"wall_ms": 1000 * spent / images, "cpu_ms": 1000 * used / images, "batch_size": count}))


def wait(device: torch.device) -> None:
    """Until it has computed."""
    if device.type == "cuda":
        torch.cuda.synchronize()


if __name__ == "__main__":
    main()

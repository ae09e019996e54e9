"""A contestant of engines.py in a process of its own: a network behind an engine, and what it costs per image."""

import resource
import time
import traceback
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection

import numpy as np
import torch
from harness import cpu_seconds

from segpipe.demo.render import phantom_arrays
from segpipe.models.device import choose_precision, fix_arithmetic, to_input
from segpipe.models.networks.registry import build_network
from segpipe.predict.engines import ENGINES, parity
from segpipe.predict.pipeline import Cores
from segpipe.predict.torch_engine import Eager

NETWORKS = {
    "subpixel_unet": ("subpixel_unet", {}),
    "unet": ("unet", {}),
    "unet 1.6M": ("unet", {"channels": [16, 32, 64, 128, 256], "num_res_units": 2}),
}
CLASSES = 2


@dataclass(frozen=True)
class Task:
    """What a contestant does."""

    network: str
    engine: str
    threads: int
    precision: str
    size: int
    batches: tuple[int, ...]


@dataclass(frozen=True)
class Start:
    """Seconds from the loaded network to the first batch's result, and the largest difference of a probability.

    ``megabytes`` is the most that the process held until then, without the compilers that it called.
    """

    seconds: float
    difference: float
    megabytes: float


class Runner:
    """The parent's side."""

    def __init__(self, task: Task) -> None:
        self.name, context = task.engine, get_context("spawn")
        self._connection, other = context.Pipe()
        self._process = context.Process(target=_serve, args=(other, task))
        self._process.start()
        self.start: Start = self._answer()
        self.rounds: dict[int, list[tuple[float, float]]] = {batch: [] for batch in task.batches}

    def round(self, batch: int) -> None:
        """One more round: wall and CPU milliseconds per image."""
        self._connection.send(batch)
        self.rounds[batch].append(self._answer())

    def close(self) -> None:
        """End the process."""
        self._connection.send(None)
        self._process.join()

    def _answer(self) -> object:
        found = self._connection.recv()
        if isinstance(found, str):
            self._process.join()
            raise SystemExit(f"{self.name} failed:\n{found}")
        return found


def _serve(connection: Connection, task: Task) -> None:
    try:
        fix_arithmetic(task.threads)
        cpu, cores = torch.device("cpu"), Cores(task.threads)
        inputs = _pictures(max(task.batches), task.size)
        torch.manual_seed(0)
        network = build_network(NETWORKS[task.network][0], CLASSES, NETWORKS[task.network][1]).eval()
        weights = {name: tensor.clone() for name, tensor in network.state_dict().items()}
        started = time.perf_counter()
        run = ENGINES[task.engine](task.size, cpu, choose_precision(task.precision, cpu), cores).prepare(network)
        run(inputs)
        seconds = time.perf_counter() - started
        megabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        reference = build_network(NETWORKS[task.network][0], CLASSES, NETWORKS[task.network][1]).eval()
        reference.load_state_dict(weights)
        exact = Eager(task.size, cpu, torch.float32, cores).prepare(reference)
        connection.send(Start(seconds, parity(inputs, run, exact), megabytes))
        while (batch := connection.recv()) is not None:
            repeats = max(task.batches) // batch
            before, wall = cpu_seconds(), time.perf_counter()
            for _ in range(repeats):
                run(inputs[:batch])
            spent = (time.perf_counter() - wall, cpu_seconds() - before)
            connection.send(tuple(1000 * seconds / (repeats * batch) for seconds in spent))
    except Exception:
        connection.send(traceback.format_exc())


def _pictures(count: int, size: int) -> torch.Tensor:
    """Phantoms as networks see them."""
    images = np.stack([np.clip(phantom_arrays(number, (size, size))[0], 0, 1) for number in range(count)])
    return to_input(torch.from_numpy(images.astype(np.float32)[:, np.newaxis]))

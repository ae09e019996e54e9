"""OpenVINO on a CPU: each picture is one request on one thread, as many at once as there are threads.

That costs less CPU time than sharing each picture among the threads, and no sum depends on their number.
"""

import logging
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from segpipe.errors import ConfigError, in_a_line
from segpipe.predict.engines.torch_engine import Engine, Logits

_PRECISIONS = {torch.float32: "f32", torch.bfloat16: "bf16"}


class OpenVino(Engine):
    """The network is converted in memory, from its trace."""

    name = "openvino"
    threads_decide = False

    @property
    def version(self) -> str:
        return version("openvino")

    def prepare(self, network: nn.Module) -> Logits:
        openvino, setting = import_openvino(), self.setting
        options = {
            "PERFORMANCE_HINT": "THROUGHPUT",
            "NUM_STREAMS": setting.threads,
            "INFERENCE_NUM_THREADS": setting.threads,
            "INFERENCE_PRECISION_HINT": _PRECISIONS[setting.precision],
            "ENABLE_CPU_PINNING": False,  # other jobs of the machine would be pinned to the same cores
        }
        compiled = openvino.Core().compile_model(_converted(openvino, network, setting.size), "CPU", options)
        queue = openvino.AsyncInferQueue(compiled, setting.threads)
        shape = tuple(compiled.output(0).shape)[1:]

        def logits(inputs: Tensor) -> Tensor:
            found = np.empty((len(inputs), *shape), np.float32)
            pictures = inputs.numpy()

            def keep(request: Any, index: int) -> None:
                found[index] = request.get_output_tensor(0).data[0]

            queue.set_callback(keep)
            for index in range(len(pictures)):
                queue.start_async({0: pictures[index : index + 1]}, index)
            queue.wait_all()
            return torch.from_numpy(found)

        return logits


def import_openvino() -> Any:
    """The package, without ``openvino_telemetry``, which reports to its maker from the import on.

    Where that cannot be imported, OpenVINO takes a stub of its own, which sends nothing.
    """
    sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]
    import openvino

    return openvino


def _converted(openvino: Any, network: nn.Module, size: int) -> Any:
    shape = (1, 1, size, size)
    try:
        with warnings.catch_warnings(), _root_log_as_before(), torch.no_grad():
            warnings.simplefilter("ignore")  # shapes become constants, which is meant: all pictures have one
            return openvino.convert_model(network.cpu(), example_input=torch.zeros(shape), input=[shape])
    except Exception as error:
        text = in_a_line(error)
        raise ConfigError(
            f"OpenVINO {version('openvino')} does not convert this network ({type(error).__name__}: {text}). "
            "Set predict.engine: torch."
        ) from None


@contextmanager
def _root_log_as_before() -> Iterator[None]:
    """The converter sets up the log of the whole process, in which no warning of any library would be seen any more."""
    root = logging.getLogger()
    level, handlers, filters = root.level, root.handlers[:], root.filters[:]
    try:
        yield
    finally:
        root.setLevel(level)
        root.handlers[:], root.filters[:] = handlers, filters

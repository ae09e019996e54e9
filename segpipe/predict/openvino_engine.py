"""OpenVINO on a CPU: the network is traced and converted in memory."""

import logging
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from typing import Any

import torch
from torch import Tensor, nn

from segpipe.errors import ConfigError, in_a_line
from segpipe.predict.torch_engine import Engine, Logits, by_picture

_PRECISIONS = {torch.float32: "f32", torch.bfloat16: "bf16"}


class OpenVino(Engine):
    """Each picture is one request on one thread."""

    name = "openvino"

    @property
    def version(self) -> str:
        return version("openvino")

    def prepare(self, network: nn.Module) -> Logits:
        openvino = import_openvino()
        options = {
            "PERFORMANCE_HINT": "THROUGHPUT",
            "NUM_STREAMS": self.cores.number,
            "INFERENCE_NUM_THREADS": self.cores.number,
            "INFERENCE_PRECISION_HINT": _PRECISIONS[self.precision],
            "ENABLE_CPU_PINNING": False,  # other jobs of the machine would be pinned to the same cores
        }
        compiled = openvino.Core().compile_model(_converted(openvino, network, self.size), "CPU", options)
        mine = threading.local()

        def one(picture: Tensor) -> Tensor:
            if not hasattr(mine, "request"):
                mine.request = compiled.create_infer_request()
            return torch.from_numpy(mine.request.infer({0: picture.numpy()}, share_inputs=True)[0])

        return by_picture(one, self.cores)


def import_openvino() -> Any:
    """The package, without ``openvino_telemetry``, which reports to its maker from the import on.

    Where that cannot be imported, OpenVINO takes a stub of its own, which sends nothing.
    """
    sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]
    import openvino

    return openvino


def _converted(openvino: Any, network: nn.Module, size: int) -> Any:
    """The network as OpenVINO's model.

    Traced here and as a function, in a third of the time that OpenVINO takes to trace the module and to check that;
    the first batch is compared with PyTorch anyway (:func:`segpipe.predict.engines.parity`).
    """
    shape = (1, 1, size, size)
    frozen = network.cpu().requires_grad_(False)
    try:
        with warnings.catch_warnings(), _root_log_as_before(), torch.no_grad():
            warnings.simplefilter("ignore")  # shapes become constants, which is meant: all pictures have one
            trace: Any = torch.jit.trace(  # type: ignore[no-untyped-call]
                lambda picture: frozen(picture), torch.zeros(shape), check_trace=False
            )
            return openvino.convert_model(trace, input=[shape])
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

"""What computes the networks: the interface of an engine, and PyTorch behind it, as it is or compiled."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import torch
from monai.inferers import Inferer
from torch import Tensor, nn

from segpipe.errors import ConfigError, in_a_line
from segpipe.models.device import autocast, choose_layout, compiled

# The interface of an engine.

# (n, 1, size, size) float32, as the network sees pictures -> (n, classes, size, size) float32, both on the device.
Logits = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Setting:
    """What an engine has to know; ``inferer`` is None where the whole picture goes through at once."""

    size: int
    device: torch.device
    precision: torch.dtype
    threads: int
    inferer: Inferer | None = None

    @property
    def precision_name(self) -> str:
        """As the config calls it."""
        return str(self.precision).removeprefix("torch.")


class Engine(ABC):
    """A way to compute networks.

    A picture's logits depend on nothing but the picture, the network, the precision, the version and, where
    ``threads_decide``, the number of threads.
    """

    name: str  # as in predict.engine; an optional package has this name, too
    threads_decide = True

    def __init__(self, setting: Setting) -> None:
        self.setting = setting

    def __str__(self) -> str:
        return f"{self.name} {self.version} {self.setting.precision_name}"

    @property
    def version(self) -> str:
        """Of what computes."""
        return version("torch")

    @property
    def exact(self) -> bool:
        """Whether this is what others are compared with: PyTorch in float32, kernel by kernel."""
        return False

    @abstractmethod
    def prepare(self, network: nn.Module) -> Logits:
        """The function that a network in eval mode becomes; the module itself may change and is the engine's.

        Raises:
            ConfigError: this engine cannot compute it.
        """

    def fewest(self, batch_size: int) -> int:  # noqa: ARG002
        """How many pictures a batch needs at least, so that none is computed by other kernels than the rest."""
        return 1


# On a CPU: each picture is computed by one thread, as many pictures at once as there are threads.
#
# That costs less CPU time than sharing each picture or batch among the threads, threads that wait for each other lose
# nothing to other jobs on the same cores, and no sum depends on the number of threads or pictures.


def by_picture(one: Logits, threads: int) -> Logits:
    """``one``, which takes a single picture, (1, 1, size, size), made to take any number."""
    # PyTorch's own number of threads is per thread: those that call from elsewhere keep theirs.
    pool = ThreadPoolExecutor(threads, "predicts", initializer=torch.set_num_threads, initargs=(1,))

    def logits(inputs: Tensor) -> Tensor:
        # Copies, since a view into a batch may have other strides and so another kernel.
        return torch.cat(list(pool.map(one, [part.clone() for part in torch.split(inputs, 1)])))

    return logits


# PyTorch as it is: every other engine is compared with it.


class Eager(Engine):
    """float32 on a CPU, picture by picture; on CUDA autocast and channels last, by ``predict.precision``.

    For a batch on a CPU, PyTorch may choose kernels by how many pictures and threads there are; they round differently.
    """

    name = "torch"
    threads_decide = False

    @property
    def exact(self) -> bool:
        return self.setting.precision == torch.float32

    def prepare(self, network: nn.Module) -> Logits:
        setting = self.setting
        layout = choose_layout("auto", setting.device, setting.precision)
        moved = network.to(setting.device, memory_format=layout)  # type: ignore[call-overload]

        def logits(inputs: Tensor) -> Tensor:
            with torch.no_grad(), autocast(setting.device, setting.precision):
                arranged = inputs.contiguous(memory_format=layout)
                found: Tensor = setting.inferer(arranged, moved) if setting.inferer else moved(arranged)
            return found.float()

        return by_picture(logits, setting.threads) if setting.device.type == "cpu" else logits

    def fewest(self, batch_size: int) -> int:
        """On CUDA all batches have one size: kernels are chosen by it. Windows go through the network one by one."""
        return batch_size if self.setting.device.type == "cuda" and not self.setting.inferer else 1


# torch.compile: kernels made for one network and one shape of its input.


class Compiled(Engine):
    """On a CPU picture by picture, so that nothing depends on how many there are; on CUDA whole batches."""

    name = "compile"

    def prepare(self, network: nn.Module) -> Logits:
        setting = self.setting
        layout = choose_layout("auto", setting.device, setting.precision)
        moved = network.to(setting.device, memory_format=layout)  # type: ignore[call-overload]
        run = compiled(moved, dynamic=False)
        on_cpu = setting.device.type == "cpu"

        def logits(inputs: Tensor) -> Tensor:
            # Parts are copies: a view into a batch may have other strides, for which torch would compile anew.
            parts = torch.split(inputs, 1 if on_cpu else len(inputs))
            copies = [part.clone(memory_format=layout) for part in parts]
            with torch.no_grad(), autocast(setting.device, setting.precision):
                return torch.cat([_run(run, copy).float() for copy in copies])

        return logits

    def fewest(self, batch_size: int) -> int:
        """On CUDA a smaller batch would be compiled for anew."""
        return batch_size if self.setting.device.type == "cuda" else 1


def _run(network: Any, inputs: Tensor) -> Tensor:
    try:
        found: Tensor = network(inputs)
    except torch._dynamo.exc.TorchDynamoException as error:
        text = in_a_line(error)
        raise ConfigError(
            f"predict.engine: compile, but torch.compile fails here ({text}). It needs a C++ compiler on a CPU, and "
            "triton on CUDA. Set predict.engine: torch."
        ) from None
    return found

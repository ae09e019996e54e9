"""The interface of an engine, and PyTorch behind it, as it is or compiled.

On a CPU each picture is computed by one thread, as many pictures at once as there are threads. That costs less CPU time
than sharing each picture or batch among the threads, threads that wait for each other lose nothing to other jobs on the
same cores, and no sum depends on the number of threads or pictures.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn

from segpipe.errors import ConfigError, in_a_line
from segpipe.models.device import autocast, choose_layout, compiled
from segpipe.predict.pipeline import Cores

if TYPE_CHECKING:
    from monai.inferers import Inferer

# (n, 1, size, size) float32, as the network sees pictures -> (n, classes, size, size) float32, both on the device.
Logits = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Engine(ABC):
    """A way to compute networks; ``inferer`` is None where the whole picture goes through at once.

    A picture's logits depend on nothing but the picture, the network, the precision and the version.
    """

    size: int
    device: torch.device
    precision: torch.dtype
    cores: Cores
    inferer: "Inferer | None" = None

    name: ClassVar[str]  # as in predict.engine; an optional package has this name, too

    def __str__(self) -> str:
        return f"{self.name} {self.version} {self.precision_name}"

    @property
    def version(self) -> str:
        """Of what computes."""
        return version("torch")

    @property
    def precision_name(self) -> str:
        """As the config calls it."""
        return str(self.precision).removeprefix("torch.")

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


def by_picture(one: Logits, cores: Cores) -> Logits:
    """``one``, which takes a single picture, (1, 1, size, size), made to take any number."""
    # PyTorch's own number of threads is per thread: those that call from elsewhere keep theirs.
    pool = ThreadPoolExecutor(cores.number, "predicts", initializer=torch.set_num_threads, initargs=(1,))

    def on_a_core(picture: Tensor) -> Tensor:
        with cores:
            return one(picture)

    def logits(inputs: Tensor) -> Tensor:
        # Copies, since a view into a batch may have other strides and so another kernel.
        return torch.cat(list(pool.map(on_a_core, [part.clone() for part in torch.split(inputs, 1)])))

    return logits


class Eager(Engine):
    """PyTorch as it is: float32 on a CPU, picture by picture; on CUDA autocast and channels last.

    For a batch on a CPU, PyTorch may choose kernels by how many pictures and threads there are; they round differently.
    """

    name = "torch"

    @property
    def exact(self) -> bool:
        return self.precision == torch.float32

    def prepare(self, network: nn.Module) -> Logits:
        layout = choose_layout("auto", self.device, self.precision)
        moved = network.to(self.device, memory_format=layout)  # type: ignore[call-overload]

        def logits(inputs: Tensor) -> Tensor:
            with torch.no_grad(), autocast(self.device, self.precision):
                arranged = inputs.contiguous(memory_format=layout)
                found: Tensor = self.inferer(arranged, moved) if self.inferer else moved(arranged)
            return found.float()

        return by_picture(logits, self.cores) if self.device.type == "cpu" else logits

    def fewest(self, batch_size: int) -> int:
        """On CUDA all batches have one size: kernels are chosen by it. Windows go through the network one by one."""
        return batch_size if self.device.type == "cuda" and not self.inferer else 1


class Compiled(Engine):
    """`torch.compile`: kernels made for one network and one shape, a picture on a CPU and a whole batch on CUDA."""

    name = "compile"

    def prepare(self, network: nn.Module) -> Logits:
        layout = choose_layout("auto", self.device, self.precision)
        moved = network.to(self.device, memory_format=layout)  # type: ignore[call-overload]
        run = compiled(moved, dynamic=False)

        def logits(inputs: Tensor) -> Tensor:
            with torch.no_grad(), autocast(self.device, self.precision):
                return _run(run, inputs.clone(memory_format=layout)).float()

        if self.device.type != "cpu":
            return logits
        several = by_picture(logits, self.cores)
        several(torch.zeros(1, 1, self.size, self.size))  # compiled by one of the threads, before the others ask for it
        return several

    def fewest(self, batch_size: int) -> int:
        """On CUDA another size of a batch would be compiled again."""
        return batch_size if self.device.type == "cuda" else 1


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

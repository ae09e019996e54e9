"""The interface of an engine."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version

import torch
from monai.inferers import Inferer
from torch import Tensor, nn

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

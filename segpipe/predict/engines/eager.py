"""PyTorch as it is: every other engine is compared with it."""

import torch
from torch import Tensor, nn

from segpipe.model.device import autocast, choose_layout
from segpipe.predict.engines.by_picture import by_picture
from segpipe.predict.engines.engine import Engine, Logits


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

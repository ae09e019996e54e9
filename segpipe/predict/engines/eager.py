"""PyTorch as it is: every other engine is compared with it."""

import torch
from torch import Tensor, nn

from segpipe.model.device import autocast, choose_layout
from segpipe.predict.engines.engine import Engine, Logits


class Eager(Engine):
    """float32 on a CPU; on CUDA autocast and channels last, by ``predict.precision``."""

    name = "torch"

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

        return logits

    def fewest(self, batch_size: int) -> int:
        """On CUDA all batches have one size; on a CPU only a batch of one takes another convolution kernel.

        Windows go through the network one by one, however many pictures there are.
        """
        if self.setting.inferer:
            return 1
        return batch_size if self.setting.device.type == "cuda" else 2

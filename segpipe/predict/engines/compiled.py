"""torch.compile: kernels made for one network and one shape of its input."""

from typing import Any

import torch
from torch import Tensor, nn

from segpipe.errors import ConfigError, in_a_line
from segpipe.model.device import autocast, choose_layout, compiled
from segpipe.predict.engines.engine import Engine, Logits


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

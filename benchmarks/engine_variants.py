"""Other ways to use the engines, which lost: kept so that anybody can see whether they still do."""

import numpy as np
import torch
from torch import Tensor, nn

from segpipe.predict.engines.openvino_engine import OpenVino, import_openvino
from segpipe.predict.engines.openvino_engine import _converted as as_openvino
from segpipe.predict.engines.torch_engine import Eager, Engine, Logits


class Shared(Eager):
    """PyTorch, all of whose threads share each batch, with the channels last or not."""

    layout = torch.contiguous_format

    def prepare(self, network: nn.Module) -> Logits:
        """The network itself."""
        network.to(memory_format=self.layout)

        def logits(inputs: Tensor) -> Tensor:
            with torch.no_grad():
                found: Tensor = network(inputs.contiguous(memory_format=self.layout))
            return found

        return logits


class SharedChannelsLast(Shared):
    """The same with the channels last."""

    layout = torch.channels_last


class SharedOpenVino(OpenVino):
    """The latency hint: all threads share each picture."""

    def prepare(self, network: nn.Module) -> Logits:
        """One request at a time."""
        openvino = import_openvino()
        options = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": self.setting.threads,
                   "INFERENCE_PRECISION_HINT": "f32", "ENABLE_CPU_PINNING": False}  # fmt: skip
        model = as_openvino(openvino, network, self.setting.size)
        request = openvino.Core().compile_model(model, "CPU", options).create_infer_request()

        def logits(inputs: Tensor) -> Tensor:
            pictures = inputs.numpy()
            return torch.from_numpy(
                np.concatenate([request.infer({0: pictures[i : i + 1]})[0].copy() for i in range(len(pictures))])
            )

        return logits


VARIANTS: dict[str, type[Engine]] = {
    "torch, threads share a batch": Shared,
    "torch, threads share a batch, channels last": SharedChannelsLast,
    "openvino, threads share a picture": SharedOpenVino,
}

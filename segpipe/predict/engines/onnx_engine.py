"""ONNX Runtime on a CPU: each picture is computed by one thread, as many at once as there are threads."""

from importlib.metadata import version

import torch
from torch import Tensor, nn

from segpipe.errors import ConfigError, in_a_line
from segpipe.predict.engines.torch_engine import Engine, Logits, by_picture


class OnnxRuntime(Engine):
    """The network becomes an ONNX model in memory."""

    name = "onnxruntime"
    threads_decide = False

    @property
    def version(self) -> str:
        return version("onnxruntime")

    def prepare(self, network: nn.Module) -> Logits:
        import onnxruntime

        onnxruntime.disable_telemetry_events()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        model = _converted(network, self.setting.size)
        session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        name = session.get_inputs()[0].name

        def one(picture: Tensor) -> Tensor:
            return torch.from_numpy(session.run(None, {name: picture.numpy()})[0])

        return by_picture(one, self.setting.threads)


def _converted(network: nn.Module, size: int) -> bytes:
    from segpipe.interop.graph import onnx_model

    try:
        program = torch.export.export(network.cpu(), (torch.zeros(1, 1, size, size),))
        model: bytes = onnx_model(program).SerializeToString()
    except Exception as error:
        text = in_a_line(error)
        raise ConfigError(
            f"This network cannot be written as ONNX ({type(error).__name__}: {text}). Set predict.engine: torch."
        ) from None
    return model

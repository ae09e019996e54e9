"""Engines whose packages are optional: which are installed here, and which of them ``predict.engine: auto`` takes.

The scan asks, so nothing here imports them, or torch.
"""

from importlib.util import find_spec

# What an engine needs besides torch; the extra that brings it has the engine's name.
NEEDED = {"onnxruntime": ("onnx", "onnxscript", "onnxruntime"), "openvino": ("openvino",)}
FASTEST = ("openvino",)  # on a CPU, before PyTorch (docs/engines.md says from what)


def not_installed(engine: str) -> list[str]:
    """The packages that an engine lacks here."""
    return [package for package in NEEDED.get(engine, ()) if find_spec(package) is None]


def fastest_on_a_cpu() -> str:
    """What ``auto`` means on a CPU with what is installed here."""
    return next((engine for engine in FASTEST if not not_installed(engine)), "torch")

"""Which engine computes: by the config and by what is installed, never by how much there is to do.

The engine may change the last bit of a probability, and with it a pixel. So all shards of a run have the same.
"""

from importlib.util import find_spec

import torch

from segpipe.config import Predict
from segpipe.errors import ConfigError
from segpipe.model.device import choose_precision
from segpipe.predict.engines.compiled import Compiled
from segpipe.predict.engines.eager import Eager
from segpipe.predict.engines.engine import Engine, Setting
from segpipe.predict.engines.on_onnxruntime import OnnxRuntime
from segpipe.predict.engines.on_openvino import OpenVino
from segpipe.predict.masks import build_inferer

ENGINES: dict[str, type[Engine]] = {engine.name: engine for engine in (Eager, Compiled, OnnxRuntime, OpenVino)}
# What an engine needs besides torch; the extra that brings it has the engine's name.
NEEDED = {"onnxruntime": ("onnx", "onnxscript", "onnxruntime"), "openvino": ("openvino",)}
PRECISIONS = {"onnxruntime": (torch.float32,), "openvino": (torch.float32, torch.bfloat16)}
AUTO = ("openvino", "torch")  # measured: docs/engines.md


def choose_engine(predict: Predict, size: int, device: torch.device) -> Engine:
    """The engine of ``predict.engine``, for pictures of ``size`` x ``size``.

    Raises:
        ConfigError: it is not installed, or cannot do what the other settings ask for.
    """
    precision = choose_precision(predict.precision, device)
    inferer = None if predict.inferer == "whole" else build_inferer(predict, size)
    setting = Setting(size, device, precision, predict.threads, inferer)
    if predict.engine != "auto":
        if obstacle := hindrance(predict.engine, setting):
            raise ConfigError(f"predict.engine: {predict.engine}, but {obstacle}")
        return ENGINES[predict.engine](setting)
    return ENGINES[next(name for name in AUTO if not hindrance(name, setting))](setting)


def hindrance(name: str, setting: Setting) -> str:
    """Why an engine cannot be used, and what to do; empty where it can."""
    if missing := not_installed(name):
        return f"{', '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing: pip install 'segpipe[{name}]'."
    if name != "torch" and setting.inferer:
        return "it takes whole pictures only. Set predict.inferer: whole, or predict.engine: torch."
    if name in NEEDED and setting.device.type != "cpu":
        return "it computes on a CPU here. Set predict.device: cpu, or predict.engine: torch."
    if setting.precision not in PRECISIONS.get(name, (setting.precision,)):
        return f"it does not compute in {setting.precision_name}. Set predict.precision: float32, or engine: torch."
    return ""


def not_installed(name: str) -> list[str]:
    """The packages that an engine lacks here."""
    return [package for package in NEEDED.get(name, ()) if find_spec(package) is None]

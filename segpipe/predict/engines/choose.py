"""Which engine computes: by the config and by what is installed, never by how much there is to do.

The engine may change the last bit of a probability, and with it a pixel. So all shards of a run have the same.
"""

import torch

from segpipe.config import Predict
from segpipe.errors import ConfigError
from segpipe.installed import NEEDED, fastest_on_a_cpu, not_installed
from segpipe.model.device import choose_precision
from segpipe.predict.engines.compiled import Compiled
from segpipe.predict.engines.eager import Eager
from segpipe.predict.engines.engine import Engine, Setting
from segpipe.predict.engines.on_onnxruntime import OnnxRuntime
from segpipe.predict.engines.on_openvino import OpenVino
from segpipe.predict.masks import build_inferer

ENGINES: dict[str, type[Engine]] = {engine.name: engine for engine in (Eager, Compiled, OnnxRuntime, OpenVino)}
PRECISIONS = {"onnxruntime": (torch.float32,), "openvino": (torch.float32, torch.bfloat16)}


def choose_engine(predict: Predict, size: int, device: torch.device, decided: str = "") -> Engine:
    """The engine of ``predict.engine``, for pictures of ``size`` x ``size``.

    ``decided`` is what ``auto`` means on a CPU in the whole run; without it, what is installed here decides.

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
    name = decided or fastest_on_a_cpu()
    if _limit(name, setting):
        return ENGINES["torch"](setting)
    if missing := not_installed(name):
        raise ConfigError(
            f"predict.engine: auto is {name} in this run, as it was installed where the run was scanned, but here "
            f"{_are_missing(missing)}, and all shards must have the same engine. Install the same packages "
            f"everywhere (pip install 'segpipe[{name}]'), or set predict.engine: torch."
        )
    return ENGINES[name](setting)


def hindrance(name: str, setting: Setting) -> str:
    """Why an engine cannot be used, and what to do; empty where it can."""
    if missing := not_installed(name):
        return f"{_are_missing(missing)}: pip install 'segpipe[{name}]'."
    return _limit(name, setting)


def _limit(name: str, setting: Setting) -> str:
    """What an engine cannot do that the setting asks for, and what to do; empty where it can do all."""
    if name != "torch" and setting.inferer:
        return "it takes whole pictures only. Set predict.inferer: whole, or predict.engine: torch."
    if name in NEEDED and setting.device.type != "cpu":
        return "it computes on a CPU here. Set predict.device: cpu, or predict.engine: torch."
    if setting.precision not in PRECISIONS.get(name, (setting.precision,)):
        return f"it does not compute in {setting.precision_name}. Set predict.precision: float32, or engine: torch."
    return ""


def _are_missing(packages: list[str]) -> str:
    return f"{', '.join(packages)} {'is' if len(packages) == 1 else 'are'} missing"

"""Where the arithmetic runs, in which precision and memory layout, and what the network sees."""

import contextlib
from typing import Any, Literal

import torch
from torch import nn

from segpipe.errors import ConfigError


def to_input(images: torch.Tensor) -> torch.Tensor:
    """What every network sees, in training and inference: pictures in [0, 1], (n, 1, size, size) float32, centred and
    scaled. Fixed, so nothing is learned from data.
    """
    return (images - 0.5) / 0.25


def choose_device(wanted: Literal["auto", "cpu", "cuda"]) -> torch.device:
    """The device a config asks for.

    Raises:
        ConfigError: CUDA is asked for and there is none.
    """
    if wanted == "cuda" and not torch.cuda.is_available():
        raise ConfigError(
            "device: cuda, but torch finds no CUDA device here. Use device: auto, or a GPU build of torch."
        )
    return torch.device("cuda" if wanted != "cpu" and torch.cuda.is_available() else "cpu")


def fix_arithmetic(threads: int, deterministic: bool = True, tf32: bool = False) -> None:
    """Same config, same bytes: fixed threads and deterministic kernels.

    On CUDA ``deterministic=False`` lets cuDNN try its kernels and keep the fastest, and ``tf32`` multiplies float32
    with 10 bits of mantissa; neither means anything on a CPU.
    """
    cuda = torch.cuda.is_available()
    torch.set_num_threads(threads)
    # The switch of torch.use_deterministic_algorithms, which imports torch's compiler, too: a second of CPU time.
    torch.set_deterministic_debug_mode("error" if not cuda else "warn" if deterministic else "default")
    torch.backends.cudnn.benchmark = not deterministic
    torch.backends.cuda.matmul.allow_tf32 = tf32
    torch.backends.cudnn.allow_tf32 = tf32


def compiled(module: nn.Module, **options: Any) -> Any:
    """`torch.compile`, which also has to know whether :func:`fix_arithmetic` wants deterministic kernels."""
    wanted, warn = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    torch.use_deterministic_algorithms(wanted, warn_only=warn)
    return torch.compile(module, **options)


def choose_precision(wanted: Literal["auto", "float32", "bfloat16", "float16"], device: torch.device) -> torch.dtype:
    """float32 on a CPU: autocast to bfloat16 is 6-12 times slower on CPUs without native support."""
    if wanted != "auto":
        return {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}[wanted]
    if device.type == "cpu":
        return torch.float32
    return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16


def autocast(device: torch.device, precision: torch.dtype) -> Any:
    """The context for a forward pass."""
    if precision == torch.float32:
        return contextlib.nullcontext()
    return torch.autocast(device.type, precision)


def choose_layout(wanted: Literal["auto"] | bool, device: torch.device, precision: torch.dtype) -> torch.memory_format:
    """The memory layout of pictures and weights: channels last where tensor cores compute, unless the config says."""
    last = device.type == "cuda" and precision != torch.float32 if wanted == "auto" else wanted
    return torch.channels_last if last else torch.contiguous_format

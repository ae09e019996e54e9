"""Versions of what computes weights and masks: another version may give other bytes."""

from functools import cache
from importlib.metadata import version

from segpipe import __version__


@cache  # asked for once an image, and each time two packages' descriptions would be parsed
def versions() -> tuple[str, ...]:
    """Of segpipe, torch and MONAI."""
    return __version__, version("torch"), version("monai")

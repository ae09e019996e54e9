"""Versions of what computes weights and masks: another version may give other bytes."""

from importlib.metadata import version

from segpipe import __version__


def versions() -> tuple[str, ...]:
    """Of segpipe, torch and MONAI."""
    return __version__, version("torch"), version("monai")

"""`segpipe doctor`: what this installation can do, for a look and for bug reports."""

import os
import platform
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version

from segpipe import __version__
from segpipe.config.stages import NEEDED, fastest_on_a_cpu, not_installed

PACKAGES = (
    *("torch", "monai", "numpy", "pandas", "pyarrow", "pydicom", "imagecodecs", "nibabel"),
    *("pillow", "opencv-python-headless", "snakemake"),
)
OPTIONAL = {  # and the extra that brings it
    "tensorboard": "tracking",
    "mlflow-skinny": "mlflow",
    "highdicom": "seg",
    "snakemake-executor-plugin-slurm": "slurm",
}


def diagnosis() -> str:
    """Several paragraphs for a terminal. Names no user, host or path."""
    parts = [_versions(), _devices(), _engines(), _networks(), _transfer_syntaxes()]
    return "\n\n".join("\n".join(part) for part in parts)


def _versions() -> Iterator[str]:
    yield f"segpipe {__version__}, Python {platform.python_version()}, {platform.system()} {platform.machine()}"
    for package in PACKAGES:
        try:
            yield f"  {package} {version(package)}"
        except PackageNotFoundError:
            yield f"  {package} is missing: pip install {package}"
    for package, extra in OPTIONAL.items():
        try:
            yield f"  {package} {version(package)} (optional)"
        except PackageNotFoundError:
            yield f"  {package} is not installed, and optional: pip install 'segpipe[{extra}]'"


def _devices() -> Iterator[str]:
    import torch

    yield "Devices"
    yield f"  CPU, {os.cpu_count()} cores"
    for index in range(torch.cuda.device_count()):
        facts = torch.cuda.get_device_properties(index)
        yield f"  cuda:{index} {facts.name}, {facts.total_memory / 2**30:.0f} GiB"
    if not torch.cuda.is_available():
        yield "  no CUDA device: device: auto trains on the CPU"


def _engines() -> Iterator[str]:
    yield "Engines (predict.engine)"
    yield f"  torch {version('torch')}; compile is the same with its own kernels"
    for engine in NEEDED:
        missing = not_installed(engine)
        yield f"  {engine} " + (f"is not installed: pip install 'segpipe[{engine}]'" if missing else version(engine))
    yield f"  auto is {fastest_on_a_cpu()} on a CPU, torch on CUDA"


def _networks() -> Iterator[str]:
    from segpipe.models.networks.registry import describe_networks

    yield "Networks (model.network)"
    yield from (f"  {line}" for line in describe_networks())


def _transfer_syntaxes() -> Iterator[str]:
    from segpipe.images.dicom.pixels import decodable_transfer_syntaxes

    yield "DICOM transfer syntaxes that can be decoded here"
    yield from (f"  {name}" for name in decodable_transfer_syntaxes())

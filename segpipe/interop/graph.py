"""A trained network as one graph from images to logits, which other programs can run without segpipe's code.

It is written by torch.export and as ONNX; each file is compared with PyTorch before it is kept.
"""

import logging
import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram, export

from segpipe.demo.render import phantom_arrays
from segpipe.errors import ConfigError, InputError, in_a_line
from segpipe.models.card import ModelCard
from segpipe.models.device import to_input

IMAGE, LOGITS, BATCH = "image", "logits", "batch"
BATCHES = (1, 3)  # numbers of images for which a file is compared with the network
TOLERANCE = 1e-3  # of the largest logit; what float32 and another order of sums leave is a hundred times less
_NOT_FOR_OTHERS = ("stack_trace", "nn_module_stack", "source_fn_stack", "torch_fn", "from_node")

# From (n, 1, size, size) float32 in [0, 1] to logits, (n, classes, size, size) float32.
Run = Callable[[np.ndarray], np.ndarray]


class ImagesToLogits(nn.Module):
    """(n, 1, size, size) float32 in [0, 1] -> (n, classes, size, size); a sigmoid gives probabilities."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> Tensor:
        """Centre, scale, and apply the network."""
        logits: Tensor = self.network(to_input(image))
        return logits


def export_graph(network: nn.Module, card: ModelCard) -> ExportedProgram:
    """The graph with its weights, for any number of images of the size that the model was trained on.

    Raises:
        InputError: torch cannot trace the network.
    """
    size = int(card.preprocess["size"])
    example = torch.zeros(2, 1, size, size)  # of one image, torch would fix the number
    try:
        program = export(ImagesToLogits(network).eval(), (example,), dynamic_shapes=({0: Dim(BATCH, min=1)},))
    except Exception as error:
        raise InputError(
            f"The network {card.network} cannot be exported as a graph ({type(error).__name__}: {in_a_line(error)}). "
            "A MONAI bundle runs its own code and can be exported: --format bundle."
        ) from None
    for node in program.graph.nodes:  # where on this machine the code lies
        for name in _NOT_FOR_OTHERS:
            node.meta.pop(name, None)
    return program


def save_program(program: ExportedProgram, path: Path, contract: str) -> None:
    """A .pt2 file with the contract as the extra file ``contract.json``."""
    torch.export.save(program, path, extra_files={"contract.json": contract})


def run_program(path: Path) -> Run:
    """The .pt2 file as a function."""
    module = torch.export.load(path).module()
    return lambda images: np.asarray(module(torch.from_numpy(images)).detach())


def check_installed() -> None:
    """Raises ConfigError where the optional packages of ONNX are missing."""
    missing = [package for package in ("onnx", "onnxscript", "onnxruntime") if find_spec(package) is None]
    if missing:
        raise ConfigError(f"--format onnx needs {', '.join(missing)}: pip install 'segpipe[export]'.")


def save_onnx(program: ExportedProgram, path: Path, metadata: dict[str, str]) -> None:
    """One file with weights and ``metadata``, for any number of images: input ``image``, output ``logits``."""
    import onnx

    with _quiet():
        converted = torch.onnx.export(program, dynamo=True, input_names=[IMAGE], output_names=[LOGITS], verbose=False)
    assert converted is not None
    model = converted.model_proto
    for node in model.graph.node:
        del node.metadata_props[:]  # names and places of the code
    _name_the_batch(model)
    onnx.helper.set_model_props(model, metadata)
    onnx.save_model(model, path)


def run_onnx(path: Path) -> Run:
    """The ONNX file as a function, by onnxruntime on the CPU."""
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return lambda images: np.asarray(session.run([LOGITS], {IMAGE: images})[0])


def _name_the_batch(model: Any) -> None:
    """The exporter calls the number of images s77 or so."""
    own = model.graph.input[0].type.tensor_type.shape.dim[0].dim_param
    for value in (*model.graph.input, *model.graph.output, *model.graph.value_info):
        for dim in value.type.tensor_type.shape.dim:
            if dim.dim_param:
                dim.dim_param = re.sub(rf"\b{re.escape(own)}\b", BATCH, dim.dim_param)


@contextmanager
def _quiet() -> Iterator[None]:
    """The exporter tells of what is not installed and not needed, and of its own deprecated calls."""
    logger = logging.getLogger("torch.onnx")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(before)


@dataclass(frozen=True)
class Parity:
    """The largest difference of a logit, and the mask pixels (at the network's size) that differ, of how many."""

    difference: float
    differing: int
    pixels: int

    def __str__(self) -> str:
        return (
            f"{sum(BATCHES)} synthetic images: largest difference of a logit {self.difference:.1e}, "
            f"{self.differing} of {self.pixels} mask pixels differ"
        )


def parity(network: nn.Module, run: Run, size: int, what: str) -> Parity:
    """Compare ``run`` with the network itself, in batches of one and of three images.

    Raises:
        InputError: they differ by more than rounding.
    """
    reference = ImagesToLogits(network).eval()
    difference, differing, pixels, largest = 0.0, 0, 0, 1.0
    for start, count in zip((0, *np.cumsum(BATCHES)), BATCHES, strict=False):
        images = np.stack([_phantom(int(start) + number, size) for number in range(count)])
        with torch.no_grad():
            wanted = reference(torch.from_numpy(images)).numpy()
        found = run(images)
        difference = float(np.maximum(difference, np.abs(found - wanted).max()))  # NaN stays
        largest = max(largest, float(np.abs(wanted).max()))
        differing += int(np.count_nonzero((found > 0) != (wanted > 0)))
        pixels += wanted.size
    if not difference <= TOLERANCE * largest:  # NaN is no parity either
        raise InputError(
            f"{what}: its logits differ from the model's by up to {difference:.3g} (the largest is {largest:.3g}), "
            "which is more than rounding. It was not kept; please report this with the network's name and options."
        )
    return Parity(difference, differing, pixels)


def _phantom(number: int, size: int) -> np.ndarray:
    """A phantom as the store would hold it, (1, size, size) float32 in [0, 1]."""
    pixels, _ = phantom_arrays(number, (size, size))
    stored: np.ndarray = np.rint(np.clip(pixels, 0, 1) * 255).astype(np.float32) / np.float32(255)
    return stored[np.newaxis]

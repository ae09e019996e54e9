"""ONNX: the graph for onnxruntime and others, with the contract as metadata."""

import logging
import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.export import ExportedProgram

from segpipe.errors import ConfigError
from segpipe.export.graph import BATCH, IMAGE, LOGITS
from segpipe.installed import not_installed


def check_installed() -> None:
    """Raises ConfigError where the optional packages are missing."""
    if missing := not_installed("onnxruntime"):
        raise ConfigError(f"--format onnx needs {', '.join(missing)}: pip install 'segpipe[export]'.")


def onnx_model(program: ExportedProgram) -> Any:
    """The graph as an ``onnx.ModelProto``: input ``image``, output ``logits``."""
    with _quiet():
        converted = torch.onnx.export(program, dynamo=True, input_names=[IMAGE], output_names=[LOGITS], verbose=False)
    assert converted is not None
    model = converted.model_proto
    for node in model.graph.node:
        del node.metadata_props[:]  # names and places of the code
    return model


def save_onnx(program: ExportedProgram, path: Path, metadata: dict[str, str]) -> None:
    """One file with weights and ``metadata``, for any number of pictures."""
    import onnx

    model = onnx_model(program)
    _name_the_batch(model)
    onnx.helper.set_model_props(model, metadata)
    onnx.save_model(model, path)


def run_onnx(path: Path) -> Callable[[np.ndarray], np.ndarray]:
    """A function from (n, 1, size, size) float32 in [0, 1] to logits, by onnxruntime on the CPU."""
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return lambda images: np.asarray(session.run([LOGITS], {IMAGE: images})[0])


def _name_the_batch(model: Any) -> None:
    """The exporter calls the number of pictures s77 or so."""
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

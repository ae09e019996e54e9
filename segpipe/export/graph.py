"""A trained network as one graph from pictures to logits, which other programs can run without segpipe's code."""

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram, export

from segpipe.errors import InputError, in_a_line
from segpipe.model.card import ModelCard
from segpipe.model.inputs import to_input

IMAGE, LOGITS, BATCH = "image", "logits", "batch"
_NOT_FOR_OTHERS = ("stack_trace", "nn_module_stack", "source_fn_stack", "torch_fn", "from_node")


class PicturesToLogits(nn.Module):
    """(n, 1, size, size) float32 in [0, 1] -> (n, classes, size, size); a sigmoid gives probabilities."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> Tensor:
        """Centre, scale, and apply the network."""
        logits: Tensor = self.network(to_input(image))
        return logits


def exported(network: nn.Module, card: ModelCard) -> ExportedProgram:
    """The graph with its weights, for any number of pictures of the contract's size.

    Raises:
        InputError: torch cannot trace the network.
    """
    size = int(card.preprocess["size"])
    example = torch.zeros(2, 1, size, size)  # of one picture, torch would fix the number
    try:
        program = export(PicturesToLogits(network).eval(), (example,), dynamic_shapes=({0: Dim(BATCH, min=1)},))
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

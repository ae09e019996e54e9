"""What a config's training would take on GPUs: an estimate from the network's arithmetic, not a measurement.

Counted for one image, on torch's meta device, which computes shapes only:
  operations  of a forward pass (torch.utils.flop_counter), times three for forward and backward
  activations that the backward pass keeps (torch.autograd.graph.saved_tensors_hooks), each storage once
Assumed:
  SHARE of the data sheet's matrix speed is reached, or BANDWIDTH of the memory's speed with every activation moved
  MOVES times (written and read forward, read backward, its gradient written and read); the slower of the two counts
  activations take half with bfloat16 or float16; weights, gradients, two moments of Adam and the average are float32
"""

import argparse
from pathlib import Path

import torch
from harness import print_table
from torch.utils.flop_counter import FlopCounterMode

from segpipe.config.load import load_config
from segpipe.models.networks.registry import parameter_count
from segpipe.models.weights import network_of

# Dense half precision with float32 accumulation in TFLOP/s, GB/s and GiB of memory, as the makers' data sheets say.
GPUS = {
    "T4": (65, 320, 15),
    "RTX 4090": (165, 1008, 24),
    "A100 40 GB": (312, 1555, 40),
    "H100 SXM": (989, 3350, 80),
}
SHARE, BANDWIDTH, MOVES = 0.25, 0.6, 5
COPIES = 5  # of the weights
RESERVE = 1.5  # GiB: CUDA's context, work space of the convolutions, fragments
VALIDATION = 0.15 / 3  # of an epoch: its images, forward only


def per_image(network: torch.nn.Module, size: int) -> tuple[float, float]:
    """Operations forward and backward, and bytes kept in float32."""
    image = torch.empty(1, 1, size, size, device="meta")
    with FlopCounterMode(display=False) as counter:
        network(image)
    weights = {parameter.untyped_storage()._cdata for parameter in network.parameters()}
    kept: dict[int, int] = {}

    def note(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in weights:
            kept[storage._cdata] = storage.nbytes()
            alive.append(storage)
        return tensor

    alive: list[object] = []  # or a freed storage's number could be given to another
    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        outputs = network(image)
    outputs = outputs if isinstance(outputs, list | tuple) else [outputs]
    # The loss keeps logits, probabilities and a few of their products; the pictures come as uint8 and become float32.
    around = 6 * sum(output.numel() * 4 for output in outputs) + 8 * image.numel()
    return 3.0 * counter.get_total_flops(), float(sum(kept.values()) + around)


def main() -> None:
    """Print the estimate."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=Path)
    parser.add_argument("--images", type=int, default=100, help="that one model trains on")
    parser.add_argument("--batch-size", type=int, help="default: that of the config, or 8 where it is auto")
    arguments = parser.parse_args()
    config = load_config(arguments.config)
    wanted = config.train.batch_size
    batch = arguments.batch_size or (8 if wanted == "auto" else wanted)
    with torch.device("meta"):
        network = network_of(config.model, len(config.class_values)).train()
    flops, kept = per_image(network, config.preprocess.size)
    weights = 4 * COPIES * parameter_count(network)
    half = kept / 2
    memory = RESERVE + (weights + batch * half) / 2**30
    print(
        f"{config.model.network}, {config.preprocess.size} x {config.preprocess.size}: "
        f"{parameter_count(network) / 1e6:.1f} million weights\n"
        f"per image {flops / 1e9:.0f} GFLOP forward and backward, "
        f"{kept / 2**20:.0f} MiB of activations in float32, {half / 2**20:.0f} MiB in half precision\n"
        f"{batch} images a step in half precision: about {memory:.1f} GiB\n"
    )
    rows = []
    for name, (teraflops, gigabytes, size) in GPUS.items():
        seconds = max(flops / (SHARE * teraflops * 1e12), MOVES * half / (BANDWIDTH * gigabytes * 1e9))
        hours = config.train.epochs * arguments.images * seconds * (1 + VALIDATION) / 3600
        fits = int((size - RESERVE) * 2**30 - weights) // int(half)
        rows.append([name, f"{1 / seconds:.0f}", f"{60 * hours:.0f} min", str(max(0, fits))])
    print_table(
        ("GPU", "images/s", f"{config.train.epochs} epochs of {arguments.images} images", "images that fit"), rows
    )
    print("An estimate. Small batches, validation and deterministic kernels may make it several times slower.")


if __name__ == "__main__":
    main()

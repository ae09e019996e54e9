"""What a training step costs, and how much of it goes to data: segpipe, a plain MONAI loop, nnU-Net's own trainer.

For each network: segpipe's step on one fixed batch ("bare"), and on batches read from a shard store and augmented on
the device; the same step on the batches of MONAI's tutorials (Dataset, DataLoader and a list of CPU transforms per
image).
Beside them the tutorials' own network, loss and loop, and nnU-Net with its 2-D plan for the same pictures.

Each row is a process of its own. Rounds alternate between the rows, and ratios are medians over the rounds, each of
neighbours in time. nnU-Net's steps take long on a CPU, so that it takes part in few rounds, with two steps each.
"""

import argparse
import os
import statistics
import tempfile
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as the command sets it, before torch is imported
from harness import print_machine, print_table
from step_nnunet import NnUNet
from step_peers import CLASSES, Contestant, MonaiLoop, MonaiTutorial, Segpipe, Setting
from step_process import Round, Runner

from segpipe.config import Model
from segpipe.demo.render import phantom_arrays
from segpipe.models.device import choose_device
from segpipe.models.networks.registry import NETWORKS
from segpipe.preprocess.store import pack_bits, stack_writer, write_table

# At most 145 GFLOP for a step of two pictures of 512 x 512, forward and backward; the others take 190 to 2,400.
SMALL = ("subpixel_unet", "unet", "fcn", "attentionunet", "dynunet")
HEADER = (
    *("", "batch", "million weights", "images/s", "images per CPU s", "wall, times bare", "CPU, times bare"),
    *("lost to data", "peak MiB"),
)


def make_store(folder: Path, images: int, size: int) -> None:
    """A shard of phantoms."""
    store = folder / "0000"
    with (
        stack_writer(store / "images.npy", images, (size, size), np.dtype(np.uint8)) as pictures,
        stack_writer(store / "masks.npy", images, (size, size), np.dtype(np.uint8)) as masks,
    ):
        for number in range(images):
            image, mask = phantom_arrays(number, (size, size))
            pictures.append(np.rint(255 * image).astype(np.uint8))
            masks.append(pack_bits(np.stack([mask[name] for name in CLASSES])))
    write_table(store / "table.parquet", pd.DataFrame({"image_id": [str(number) for number in range(images)]}))


def measure(makers: dict[str, Callable[[], Contestant]], folder: Path, arguments: argparse.Namespace) -> None:
    """Run the rounds, print the table."""
    cuda = arguments.device == "cuda"
    steps = arguments.images // arguments.batch_size
    runners: list[Runner] = []
    try:
        for name, make in makers.items():
            few = 2 if name.startswith("nnU-Net") else steps
            runners.append(Runner(name, make, few, cuda, folder / f"{len(runners)}.log"))
        for number in range(1, arguments.rounds + 1):
            for runner in runners:
                if number <= arguments.nnunet_rounds or not runner.name.startswith("nnU-Net"):
                    runner.round(number)
        print_table(HEADER, [row(runner, cuda) for runner in runners])
    finally:
        for runner in runners:
            runner.stop()


def row(runner: Runner, cuda: bool) -> list[str]:
    """Medians over a runner's rounds. What data cost shows in wall time on a GPU, in CPU time on a CPU."""

    def median(figure: Callable[[Round], float]) -> float:
        return statistics.median(map(figure, runner.rounds))

    batch = runner.facts["batch_size"]
    speeds = [batch / median(lambda found: found.fed.wall), batch / median(lambda found: found.fed.cpu)]
    ratios = [
        median(lambda found: found.fed.wall / found.bare.wall),
        median(lambda found: found.fed.cpu / found.bare.cpu),
    ]
    figures = [
        *(f"{speed:.2f}" for speed in speeds),
        *(f"{ratio:.2f}" for ratio in ratios),
        f"{1 - 1 / ratios[0 if cuda else 1]:.0%}",
    ]
    patch = runner.facts["patch_size"]
    sizes = f"{batch} of {' x '.join(map(str, patch))}" if patch else str(batch)
    return [runner.name, sizes, f"{runner.facts['parameters'] / 1e6:.2f}", *figures, f"{runner.close():.0f}"]


def networks(arguments: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """Sections ``model`` of the config by name: the config's default, or those asked for."""
    if arguments.networks == ["all"]:
        return {name: {"network": name} for name in NETWORKS}
    if arguments.networks == ["small"]:
        return {name: {"network": name} for name in dict.fromkeys((Model().network, *SMALL))}
    return {name: {"network": name} for name in arguments.networks}


def parse() -> argparse.Namespace:
    """The arguments."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="*", default=["small"], help=f"names, all, or small: {', '.join(SMALL)}")
    parser.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda"))
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--batch-size", type=int, default=2)
    parser.add_argument("--images", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--nnunet-rounds", type=int, default=2, help="of them with nnU-Net; 0: without (default 2)")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--workers", type=int, default=0, help="processes that load for MONAI and nnU-Net (default 0)")
    arguments = parser.parse_args()
    arguments.device = choose_device(arguments.device).type
    unknown = set(arguments.networks) - {*NETWORKS, "small", "all"}
    if unknown:
        parser.error(f"--networks: there is no {', '.join(sorted(unknown))}; there are {', '.join(NETWORKS)}")
    return arguments


def main() -> None:
    """Measure and print."""
    arguments = parse()
    nnunet = arguments.nnunet_rounds and find_spec("nnunetv2")
    print_machine("torch", "monai", *(["nnunetv2"] if nnunet else []))
    with tempfile.TemporaryDirectory(prefix="segpipe-bench-") as temporary:
        folder = Path(temporary)
        make_store(folder / "store", arguments.images, arguments.size)
        values = (arguments.size, arguments.batch_size, arguments.threads, arguments.workers, arguments.device)
        setting = Setting(folder / "store", *values)
        print(f"{arguments.size} x {arguments.size}, {arguments.device}, {arguments.threads} threads\n")
        for name, model in networks(arguments).items():
            makers: dict[str, Callable[[], Contestant]] = {
                f"`{name}`, augment: light": partial(Segpipe, setting, model, "light"),
                f"`{name}`, augment: strong": partial(Segpipe, setting, model, "strong"),
                f"`{name}`, MONAI's batches": partial(MonaiLoop, setting, model),
            }
            measure(makers, folder, arguments)
        makers = {
            f"`{Model().network}`, augment: light": partial(Segpipe, setting, {}, "light"),
            "MONAI's tutorial": partial(MonaiTutorial, setting),
        }
        if nnunet:
            makers["nnU-Net, 2-D plan"] = partial(NnUNet, setting, folder / "nnunet")
        measure(makers, folder, arguments)
        if not nnunet:
            why = "was not asked for" if find_spec("nnunetv2") else "is not installed (benchmarks/README.md says how)"
            print(f"nnunetv2 {why}: row left out.")


if __name__ == "__main__":
    main()

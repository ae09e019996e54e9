"""What predict.py compares with, each a command: a plain loop, MONAI's pipeline, nnU-Net.

    python benchmarks/predict_peers.py loop --model MODEL --images FOLDER --output FOLDER

The loop and MONAI have segpipe's network and weights, and give it pictures in the same grey values; nnU-Net has its own
(:mod:`predict_nnunet`).
"""

import argparse
import os
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as segpipe sets it, before torch is imported
import cv2
import numpy as np
import torch
from torch import nn

from segpipe.models.card import read_card
from segpipe.models.weights import load_model


def load(arguments: argparse.Namespace) -> tuple[nn.Module, int, tuple[float, float]]:
    """The network, the size of its pictures, and the percentiles that become black and white."""
    torch.set_num_threads(arguments.threads)
    wanted = read_card(arguments.model).preprocess
    return load_model(arguments.model).to(arguments.device).eval(), wanted["size"], tuple(wanted["percentiles"])


def plain_loop(arguments: argparse.Namespace) -> None:
    """What one writes by hand: an image after the other, decoded, predicted in a batch of one, and written."""
    network, size, percentiles = load(arguments)
    for path in sorted(arguments.images.glob("*.png")):
        picture = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
        rows, columns = picture.shape
        small = cv2.resize(picture, (size, size), interpolation=cv2.INTER_AREA)
        low, high = np.percentile(small, percentiles)
        scaled = np.clip((small.astype(np.float32) - low) / (high - low), 0, 1)
        inputs = torch.from_numpy((scaled[None, None] - 0.5) / 0.25).float()
        with torch.no_grad():
            probability = torch.sigmoid(network(inputs.to(arguments.device)))[0, 0].cpu().numpy()
        large = cv2.resize(probability, (columns, rows), interpolation=cv2.INTER_LINEAR)
        cv2.imwrite(str(arguments.output / path.name), (large >= 0.5).astype(np.uint8) * 255)


def monai_pipeline(arguments: argparse.Namespace) -> None:
    """As MONAI's tutorials infer: Compose, Dataset, DataLoader, SimpleInferer, Invertd, SaveImaged."""
    from monai import transforms as mt
    from monai.data import DataLoader, Dataset, decollate_batch
    from monai.inferers import SimpleInferer

    network, size, (low, high) = load(arguments)
    before = mt.Compose(
        [
            mt.LoadImaged("image"),
            mt.EnsureChannelFirstd("image"),
            mt.Transposed("image", (0, 2, 1)),  # MONAI reads pictures with columns first; the network wants rows first
            mt.Resized("image", (size, size), mode="area"),
            mt.ScaleIntensityRangePercentilesd("image", low, high, 0, 1, clip=True),
            mt.NormalizeIntensityd("image", subtrahend=0.5, divisor=0.25),
        ]
    )
    after = mt.Compose(
        [
            mt.Activationsd("pred", sigmoid=True),
            mt.Invertd("pred", transform=before, orig_keys="image", nearest_interp=False),
            mt.AsDiscreted("pred", threshold=0.5),
            mt.SaveImaged(
                "pred", output_dir=arguments.output, output_ext=".png", output_dtype=np.uint8, scale=255,
                resample=False, separate_folder=False, output_postfix="", print_log=False,
            ),
        ]
    )  # fmt: skip
    items = [{"image": path} for path in sorted(arguments.images.glob("*.png"))]
    loader = DataLoader(Dataset(items, before), batch_size=arguments.batch_size, num_workers=arguments.workers)
    inferer = SimpleInferer()
    with torch.no_grad():
        for batch in loader:
            batch["pred"] = inferer(batch["image"].to(arguments.device), network)
            for item in decollate_batch(batch):
                after(item)


def nnunet(arguments: argparse.Namespace) -> None:
    """`nnUNetv2_predict` with the model that :mod:`predict_nnunet` made in ``--model``."""
    from predict_nnunet import predict

    predict(arguments.model, arguments.images, arguments.output, arguments.device, arguments.threads)


PEERS: dict[str, Callable[[argparse.Namespace], None]] = {
    "loop": plain_loop,
    "monai": monai_pipeline,
    "nnunet": nnunet,
}


def main() -> None:
    """Parse the arguments, predict."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("peer", choices=list(PEERS))
    for folder in ("model", "images", "output"):
        parser.add_argument(f"--{folder}", type=Path, required=True)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--workers", type=int, default=1, help="processes that load for MONAI")
    parser.add_argument("--batch-size", type=int, default=4, help="MONAI's")
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    PEERS[arguments.peer](arguments)


if __name__ == "__main__":
    main()

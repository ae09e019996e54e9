"""What preprocess.py compares with: OpenCV by hand, MONAI (Compose, PersistentDataset), nnU-Net's preprocessor."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
from monai import transforms as mt
from monai.data import PersistentDataset

from segpipe.config import Preprocess

Step = Callable[[Path], object]


def peers(folder: Path, size: int, nnunet_model: Path | None) -> dict[str, Step]:
    """By name; nnU-Net only where it is installed. ``folder`` takes what they write."""
    found: dict[str, Step] = {
        "OpenCV by hand": lambda path: plain_opencv(path, size),
        "MONAI, Compose, Resized area": monai_standard("area", size),
        "MONAI, Compose, Resized bilinear": monai_standard("bilinear", size),
        "MONAI, PersistentDataset, first pass": monai_persistent(folder / "persistent", size),
    }
    if not find_spec("nnunetv2"):
        print("nnunetv2 is not installed (benchmarks/README.md says how): rows left out.\n")
        return found
    return found | nnunet(folder / "nnunet", nnunet_model)


def plain_opencv(path: Path, size: int) -> np.ndarray:
    """The loop one would write by hand: read grey, shrink, percentiles, scale."""
    picture = cv2.resize(cv2.imread(str(path), cv2.IMREAD_GRAYSCALE), (size, size), interpolation=cv2.INTER_AREA)
    low, high = np.percentile(picture, Preprocess().percentiles)
    return np.clip((picture.astype(np.float32) - low) / (high - low), 0, 1)


def monai_compose(mode: str, size: int) -> mt.Compose:
    """MONAI's own transforms for the same job."""
    low, high = Preprocess().percentiles
    return mt.Compose(
        [
            mt.LoadImaged("image"),
            mt.EnsureChannelFirstd("image"),
            mt.Resized("image", (size, size), mode=mode),
            mt.ScaleIntensityRangePercentilesd("image", low, high, 0, 1, clip=True),
        ]
    )


def monai_standard(mode: str, size: int) -> Step:
    """The transforms alone."""
    compose = monai_compose(mode, size)
    return lambda path: compose({"image": path})


def monai_persistent(cache: Path, size: int) -> Step:
    """What is read a second time comes from a file; this is the first time, which writes it."""
    compose = monai_compose("area", size)

    def run(path: Path) -> object:
        shutil.rmtree(cache, ignore_errors=True)
        return PersistentDataset([{"image": str(path)}], compose, cache)[0]

    return run


def nnunet(folder: Path, model: Path | None) -> dict[str, Step]:
    """nnU-Net's preprocessing, alone and with the two files that it writes.

    Its plan keeps the original resolution: nothing is shrunk, all pixels are centred and scaled as float32.
    """
    from predict_nnunet import preprocessor

    folder.mkdir()
    if not model:
        command = [sys.executable, Path(__file__).with_name("predict_nnunet.py"), folder]
        subprocess.run(list(map(str, command)), check=True, capture_output=True)
    work = preprocessor(model or folder / "model")

    def saved(path: Path) -> object:
        for file in folder.glob("case*"):  # it does not overwrite
            file.unlink()
        return work(path, folder / "case")

    return {
        "nnU-Net, original resolution, z-scores": lambda path: work(path, None),
        "nnU-Net, the same and written (blosc2)": saved,
    }

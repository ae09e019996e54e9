"""CPU time per image of preprocessing, beside the bare decoding of the same files.

Prints a table for 8-bit 1024 x 1024 PNGs and one for DICOM files. One core: OpenCV's and torch's threads are
switched off, so that CPU time is comparable.
"""

import argparse
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pydicom
import torch
from harness import interleaved, print_machine, print_table, ratio_rows, real_data
from monai import transforms as mt

from segpipe.config import Dicom, Preprocess
from segpipe.config_file import parse_config
from segpipe.ingest import read_sample
from segpipe.io.radiograph import read_radiograph
from segpipe.phantom import phantom_arrays
from segpipe.samples.sample import Sample
from segpipe.stages import PreprocessStage, stage_configs
from segpipe.transforms import preprocessing

SIZE = 512
GOAL = 1.5
HEADER = ("", "CPU ms per image", "range", "times bare decode")
Step = Callable[[Path], object]


def bare_png(path: Path) -> np.ndarray:
    """Read the file and decode it, nothing else."""
    return cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_UNCHANGED)


def plain_opencv(path: Path) -> np.ndarray:
    """The loop one would write by hand: read grey, shrink, percentiles, scale."""
    picture = cv2.resize(cv2.imread(str(path), cv2.IMREAD_GRAYSCALE), (SIZE, SIZE), interpolation=cv2.INTER_AREA)
    low, high = np.percentile(picture, Preprocess().percentiles)
    return np.clip((picture.astype(np.float32) - low) / (high - low), 0, 1)


def monai_standard(mode: str) -> Step:
    """MONAI's own transforms for the same job."""
    low, high = Preprocess().percentiles
    compose = mt.Compose(
        [
            mt.LoadImaged("image"),
            mt.EnsureChannelFirstd("image"),
            mt.Resized("image", (SIZE, SIZE), mode=mode),
            mt.ScaleIntensityRangePercentilesd("image", low, high, 0, 1, clip=True),
        ]
    )
    return lambda path: compose({"image": path})


def segpipe_compose() -> Step:
    """segpipe's transforms with the default config, no masks."""
    compose = preprocessing({"lung": None}, "quarantine", Preprocess(size=SIZE), Dicom())
    return lambda path: compose({"image": path, "mask_files": {}, "invert": None})


def segpipe_row() -> Step:
    """As the stage does it: the transforms, and the image's row with the hash of what is stored."""
    config = parse_config({"classes": {"lung": None}, "data": {"root": "/", "images": "x"}, "model": {"weights": "x"}})
    stage = stage_configs(config, [])["preprocess"]
    assert isinstance(stage, PreprocessStage)
    compose = preprocessing(stage.classes, stage.missing_mask, stage.preprocess, stage.dicom)

    def run(path: Path) -> object:
        data, row = read_sample(Sample("x", str(path.relative_to("/"))), stage, compose, b"")
        assert data is not None, row["reason"]
        return row

    return run


def png_table(files: list[Path], repeats: int) -> None:
    """8-bit PNG: segpipe beside bare decode, OpenCV by hand and MONAI."""
    candidates: dict[str, Step] = {
        "bare decode (read, cv2.imdecode)": bare_png,
        "segpipe: reader alone": lambda path: read_radiograph(path),
        "segpipe: Compose": segpipe_compose(),
        "segpipe: Compose and row": segpipe_row(),
        "OpenCV by hand": plain_opencv,
        "MONAI, Resized area": monai_standard("area"),
        "MONAI, Resized bilinear": monai_standard("bilinear"),
    }
    rows = ratio_rows(interleaved(candidates, files, repeats))
    print_table(HEADER, rows)
    ratio = float(rows[2][-1])
    print(
        f"Goal: segpipe's Compose at most {GOAL} times bare decode. {'Met' if ratio <= GOAL else 'Missed'}: {ratio}\n"
    )


def dicom_table(files: list[Path], repeats: int) -> None:
    """DICOM, a line per file: segpipe's Compose beside pydicom's pixel_array."""
    compose, rows = segpipe_compose(), []
    for file in files:
        found = interleaved(
            {"pydicom": lambda path: pydicom.dcmread(path).pixel_array, "segpipe": compose}, [file], repeats
        )
        bare, own = ratio_rows(found)
        dataset = pydicom.dcmread(file)
        what = f"{dataset.Rows} x {dataset.Columns}, {dataset.file_meta.TransferSyntaxUID.name}"
        rows.append([file.stem, what, bare[1], own[1], own[-1]])
    print_table(("file", "what", "pydicom pixel_array, ms", "segpipe Compose, ms", "ratio"), rows)


def phantom_pngs(folder: Path, count: int) -> list[Path]:
    """Phantoms as 8-bit 1024 x 1024 PNGs, where the shared data is missing."""
    for seed in range(count):
        pixels, _ = phantom_arrays(seed, (1024, 1024))
        cv2.imwrite(str(folder / f"{seed}.png"), np.rint(pixels * 255).astype(np.uint8))
    return sorted(folder.glob("*.png"))


def main() -> None:
    """Parse the arguments, print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=9, help="rounds over all files (default 9)")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")  # pydicom's remarks on odd files
    print_machine("monai", "numpy", "opencv-python-headless", "pydicom", "torch")
    with tempfile.TemporaryDirectory() as folder:
        pngs = real_data("nih-25-unlabelled", "*.png")
        if not pngs:
            print("No shared data (SEGPIPE_SHARED): phantoms instead, which compress otherwise than radiographs.\n")
        png_table(pngs or phantom_pngs(Path(folder), 8), arguments.repeats)
    dicoms = real_data("radiographs-dicom", "*.dcm")
    if dicoms:
        dicom_table(dicoms, arguments.repeats)
    else:
        print("No shared data (SEGPIPE_SHARED): the DICOM table is left out.")


if __name__ == "__main__":
    main()

"""CPU time per image of preprocessing, beside the bare decoding of the same files.

Prints a table for 8-bit 1024 x 1024 PNGs, with what others do beside it, and one for DICOM files. One core each:
OpenCV's and torch's threads are switched off, so that CPU time is comparable.
"""

import argparse
import tempfile
import warnings
from pathlib import Path

import cv2
import numpy as np
import pydicom
import torch
from harness import interleaved, print_machine, print_table, ratio_rows, shared
from preprocess_peers import Step, peers

from segpipe.config import Dicom, Preprocess
from segpipe.config.load import parse_config
from segpipe.config.stages import PreprocessStage, stage_configs
from segpipe.demo.render import phantom_arrays
from segpipe.images.read import read_radiograph
from segpipe.preprocess.read import read_sample
from segpipe.preprocess.transforms import preprocessing
from segpipe.samples.sample import Sample

SIZE = 512
GOAL, PEER_GOAL = 1.2, 3.0  # times bare decode at most; times as fast as MONAI at least
HEADER = ("", "CPU ms per image", "range", "times bare decode")


def bare_png(path: Path) -> np.ndarray:
    """Read the file and decode it, nothing else."""
    return cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_UNCHANGED)


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


def png_table(files: list[Path], repeats: int, folder: Path, nnunet_model: Path | None) -> None:
    """8-bit PNG: segpipe beside bare decode, OpenCV by hand, MONAI and nnU-Net."""
    candidates: dict[str, Step] = {
        "bare decode (read, cv2.imdecode)": bare_png,
        "segpipe: reader alone": lambda path: read_radiograph(path),
        "segpipe: transforms": segpipe_compose(),
        "segpipe: transforms and row": segpipe_row(),
        **peers(folder, SIZE, nnunet_model),
    }
    rows = ratio_rows(interleaved(candidates, files, repeats))
    print_table(HEADER, rows)
    ratio = {row[0]: float(row[-1]) for row in rows}
    own, other = ratio["segpipe: transforms"], ratio["MONAI, Compose, Resized area"]
    print(f"Goal: at most {GOAL} times bare decode: {'met' if own <= GOAL else 'missed'} ({own:.2f}).")
    times = other / own
    verdict = "met" if times >= PEER_GOAL else "missed"
    print(f"Goal: at least {PEER_GOAL} times as fast as MONAI: {verdict} ({times:.1f}).\n")


def dicom_table(files: list[Path], repeats: int) -> None:
    """DICOM, a line per file: segpipe's transforms beside pydicom's pixel_array."""
    compose, rows = segpipe_compose(), []
    for file in files:
        found = interleaved(
            {"pydicom": lambda path: pydicom.dcmread(path).pixel_array, "segpipe": compose}, [file], repeats
        )
        bare, own = ratio_rows(found)
        dataset = pydicom.dcmread(file)
        what = f"{dataset.Rows} x {dataset.Columns}, {dataset.file_meta.TransferSyntaxUID.name}"
        rows.append([file.stem, what, bare[1], own[1], own[-1]])
    print_table(("file", "what", "pydicom pixel_array, ms", "segpipe transforms, ms", "ratio"), rows)


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
    parser.add_argument(
        "--nnunet-model", type=Path, help="FOLDER/model of `predict_nnunet.py FOLDER`; else one is made"
    )
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")  # pydicom's remarks on odd files
    print_machine("monai", "numpy", "opencv-python-headless", "pydicom", "torch")
    with tempfile.TemporaryDirectory() as folder:
        pngs = shared("nih-25-unlabelled", "*.png")
        if not pngs:
            print("No shared data (SEGPIPE_SHARED): phantoms instead, which compress otherwise than radiographs.\n")
        pngs = pngs or phantom_pngs(Path(folder), 8)
        png_table(pngs, arguments.repeats, Path(folder), arguments.nnunet_model)
    dicoms = shared("radiographs-dicom", "*.dcm")
    if dicoms:
        dicom_table(dicoms, arguments.repeats)
    else:
        print("No shared data (SEGPIPE_SHARED): the DICOM table is left out.")


if __name__ == "__main__":
    main()

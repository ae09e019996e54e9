"""Does decoding at a lower resolution change what a trained model reaches?

Takes the Montgomery County chest X-rays (512 x 512), writes them as JPEG 2000 DICOM or as JPEG files, and runs the
whole workflow at half their size twice: decoded in full, and at half resolution (``auto``). Prints the mean IoU of
both runs, the differences image by image, and the difference of the grey values in between.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from io import BytesIO
from pathlib import Path

import imagecodecs
import numpy as np
import pandas as pd
import yaml
from harness import PROJECT, print_machine, print_table, shared
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import ComputedRadiographyImageStorage, JPEG2000Lossless, generate_uid

SIZE = 256
SWITCH = {"j2k": ("dicom", "j2k_resolution"), "jpeg": ("raster", "jpeg_resolution")}
SUFFIX = {"j2k": ".dcm", "jpeg": ".jpg"}


def j2k_file(picture: np.ndarray) -> bytes:
    """A CR file, 8 bits, JPEG 2000 lossless with six resolutions."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = JPEG2000Lossless
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = ComputedRadiographyImageStorage
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    dataset.Modality, dataset.PhotometricInterpretation, dataset.SamplesPerPixel = "CR", "MONOCHROME2", 1
    dataset.Rows, dataset.Columns = picture.shape
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 8, 8, 7, 0
    stream = imagecodecs.jpeg2k_encode(picture, level=0, codecformat="j2k", resolutions=6, reversible=True)
    dataset.PixelData = encapsulate([stream])
    dataset["PixelData"].VR = "OB"
    file = BytesIO()
    dataset.save_as(file, enforce_file_format=True)
    return file.getvalue()


def make_archive(kind: str, root: Path) -> None:
    """Images of one kind beside hard copies of the masks."""
    for folder in ("images", "masks"):
        (root / folder).mkdir(parents=True)
    for path in shared("montgomery-138", "images/*.png"):
        picture = imagecodecs.imread(str(path))
        data = j2k_file(picture) if kind == "j2k" else imagecodecs.jpeg8_encode(picture, level=90)
        (root / "images" / path.with_suffix(SUFFIX[kind]).name).write_bytes(data)
        (root / "masks" / path.name).write_bytes((path.parents[1] / "masks" / path.name).read_bytes())


def run(kind: str, resolution: str, folder: Path, arguments: argparse.Namespace) -> pd.DataFrame:
    """The whole workflow; its report, one row per image."""
    section, key = SWITCH[kind]
    config = {
        "name": resolution,
        "results": str(folder / "results"),
        "classes": {"lung": None},
        "data": {
            "root": str(folder / "archive"),
            "images": f"images/MCUCXR_{{patient}}_{{finding}}{SUFFIX[kind]}",
            "masks": "masks/MCUCXR_{patient}_{finding}.png",
        },
        section: {key: resolution},
        "preprocess": {"size": SIZE},
        "train": {"epochs": arguments.epochs},
    }
    file = folder / f"{resolution}.yaml"
    file.write_text(yaml.safe_dump(config))
    command = [Path(sys.executable).with_name("snakemake"), "--cores", str(arguments.cores), "--configfile", file]
    subprocess.run(command, cwd=PROJECT, check=True, env=os.environ | {"PYTHONPATH": str(PROJECT)})
    return pd.read_csv(folder / "results" / resolution / "report.csv").set_index("image_id")


def grey_difference(results: Path) -> tuple[float, int]:
    """Mean and largest difference of the stored pictures, in grey levels of 255."""
    differences = []
    for images in sorted((results / "full" / "shards").glob("*/images.npy")):
        other = results / "auto" / "shards" / images.parent.name / "images.npy"
        differences.append(np.abs(np.load(images).astype(int) - np.load(other)))
    together = np.concatenate(differences)
    return float(together.mean()), int(together.max())


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kind", choices=SWITCH, default="j2k", help="JPEG 2000 in DICOM, or JPEG files")
    parser.add_argument("--epochs", type=int, default=28)
    parser.add_argument("--cores", type=int, default=2)
    arguments = parser.parse_args()
    if not shared("montgomery-138", "images/*.png"):
        sys.exit("no montgomery-138 below SEGPIPE_SHARED (default ../shared)")
    print_machine("torch", "imagecodecs", "opencv-python-headless")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        make_archive(arguments.kind, folder / "archive")
        full, auto = (run(arguments.kind, resolution, folder, arguments) for resolution in ("full", "auto"))
        mean, largest = grey_difference(folder / "results")
    difference = auto["iou_lung"] - full["iou_lung"]
    rows = [
        [
            name,
            *(f"{value:.4f}" for value in frame["iou_lung"].agg(["mean", "median"])),
            f"{frame['decoded_at'].max():.0f}",
        ]
        for name, frame in (("full", full), ("auto", auto))
    ]
    print_table(("decoded", "mean IoU", "median IoU", "decoded at 1/"), rows)
    error = difference.std() / len(difference) ** 0.5
    print(f"auto minus full, {len(difference)} images: {difference.mean():+.4f}, standard error {error:.4f}")
    print(f"stored pictures differ by {mean:.3f} of 255 on average, at most by {largest}")


if __name__ == "__main__":
    main()

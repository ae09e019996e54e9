"""CPU time per image of reading and preprocessing, beside bare decoders and other readers, format by format.

For every format the fastest of several decoders is found first; the table then compares it, followed by one
``cv2.resize``, with segpipe and its peers, file by file in turns. One core: the threads of OpenCV, OpenJPEG and torch
are switched off. torchxrayvision is left out where it is not installed.
"""

import argparse
import hashlib
import statistics
import tempfile
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import cv2
import reader_files as files
import torch
from harness import interleaved, print_machine, print_table
from reader_peers import SIZE, Reader, bare_decoders, monai_pipeline, plain_loop, shrink, torchxrayvision_reader

from segpipe.config import Dicom, Preprocess, Raster
from segpipe.images.read import read_radiograph
from segpipe.pool.worker import keep_freed_memory
from segpipe.preprocess.transforms import preprocessing

GOAL = 1.2
AUTO = {"dicom": Dicom(j2k_resolution="auto"), "raster": Raster(jpeg_resolution="auto")}
OWN, READ, HASH, BARE, BASE = "segpipe", "segpipe, reading alone", "SHA-256", "decoder", "decoder and resize"
PEERS = ("cv2 loop", "MONAI", "torchxrayvision")


@dataclass(frozen=True)
class Case:
    """A line of the table."""

    name: str
    decoders: str  # of bare_decoders
    files: Callable[[Path], list[Path]]
    policies: Mapping[str, Dicom | Raster] | None = None
    peers: bool = True  # they know no lower resolution, so that their time stands in the line before


def cases() -> list[Case]:
    """All formats; a lower resolution is a line of its own."""

    def dicom(name: str) -> Callable[[Path], list[Path]]:
        return lambda folder: files.dicom_files(folder, name)

    return [
        Case("PNG, 8 bits", "PNG", files.png_files),
        Case("PNG, 16 bits", "PNG", files.deep_png_files),
        Case("JPEG", "JPEG", files.jpeg_files),
        Case("JPEG, jpeg_resolution auto", "JPEG 1/4", files.jpeg_files, AUTO, peers=False),
        Case("DICOM, uncompressed", "native", dicom("RG3_UNCR")),
        Case("DICOM, RLE", "RLE", dicom("RG3_RLE")),
        Case("DICOM, JPEG lossless", "JPEG lossless", dicom("RG3_JPLL")),
        Case("DICOM, JPEG-LS", "JPEG-LS", dicom("RG3_JLSL")),
        Case("DICOM, JPEG 2000", "JPEG 2000", dicom("RG3_J2KR")),
        Case("DICOM, JPEG 2000, j2k_resolution auto", "JPEG 2000 1/2", dicom("RG3_J2KR"), AUTO, peers=False),
        Case("DICOM, JPEG baseline", "JPEG in DICOM", dicom("xrv_cr")),
    ]


def segpipe_compose(policies: Mapping[str, Dicom | Raster]) -> Callable[[Path], object]:
    """segpipe's transforms, no masks: read, hash, decode, grey values, fit, window."""
    raster, dicom = policies.get("raster"), policies.get("dicom") or Dicom()
    compose = preprocessing({"lung": None}, "quarantine", Preprocess(size=SIZE), dicom, raster=raster)
    return lambda path: compose({"image": path, "mask_files": {}, "invert": None})


def segpipe_reader(policies: Mapping[str, Dicom | Raster]) -> Callable[[Path], object]:
    """segpipe's reader at the resolution that the transforms would ask it for."""

    def target(shape: tuple[int, int]) -> tuple[int, int]:
        scale = SIZE / max(shape)
        return round(shape[0] * scale), round(shape[1] * scale)

    return lambda path: read_radiograph(path, **policies, target=target)


def medians(candidates: Mapping[str, Callable[[Path], object]], paths: list[Path], repeats: int) -> dict[str, float]:
    """CPU milliseconds per image of each candidate."""
    return {name: statistics.median(found) for name, found in interleaved(candidates, paths, repeats).items()}


def working(candidates: Mapping[str, Reader | None], path: Path) -> tuple[dict[str, Reader], dict[str, str]]:
    """Those that can read the file; and of the others, why not."""
    able, unable = {}, {}
    for name, candidate in candidates.items():
        try:
            if candidate is not None:
                candidate(path)
                able[name] = candidate
        except Exception as error:
            unable[name] = f"fails: {type(error).__name__}"
    return able, unable


def measure(
    case: Case, peers: Mapping[str, Reader | None], folder: Path, repeats: int
) -> tuple[list[str], float, bool]:
    """The line of the table, segpipe's ratio to decoder and resize, and whether it is ahead of every peer."""
    paths = case.files(folder)
    decoders, _ = working(bare_decoders()[case.decoders], paths[0])
    first = medians(decoders, paths, 2)
    fastest = min(first, key=first.__getitem__)
    decode = decoders[fastest]
    able, unable = working(peers if case.peers else {}, paths[0])
    policies = case.policies or {}
    found = medians(
        {
            BASE: lambda path: shrink(decode(path)),
            BARE: decode,
            OWN: segpipe_compose(policies),
            READ: segpipe_reader(policies),
            HASH: lambda path: hashlib.sha256(path.read_bytes()),
            **able,
        },
        paths,
        repeats,
    )
    ratio = found[OWN] / found[BASE]
    own = [f"{found[key]:.1f}" for key in (BARE, BASE, OWN)]
    rest = [f"{found[key]:.1f}" for key in (READ, HASH)]
    others = [f"{found[name]:.1f}" if name in able else unable.get(name, "") for name in PEERS]
    ahead = all(found[OWN] <= found[name] for name in able)
    return [case.name, fastest, *own, f"{ratio:.2f}", *rest, *others], ratio, ahead


def main() -> None:
    """Parse the arguments, print the table and what of the goal it meets."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=9, help="rounds over a format's files (default 9)")
    parser.add_argument("--only", default="", help="only formats whose name contains this text")
    arguments = parser.parse_args()
    keep_freed_memory()  # as segpipe's workers do; here it serves all alike
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")  # remarks on odd files
    print_machine("imagecodecs", "monai", "numpy", "opencv-python-headless", "pillow", "pydicom", "torch")
    peers = {"cv2 loop": plain_loop, "MONAI": monai_pipeline(), "torchxrayvision": torchxrayvision_reader()}
    if peers["torchxrayvision"] is None:
        print("torchxrayvision is not installed: its column stays empty.\n")
    with tempfile.TemporaryDirectory() as folder:
        wanted = [case for case in cases() if arguments.only in case.name]
        lines = [measure(case, peers, Path(folder), arguments.repeats) for case in wanted]
    header = ("CPU ms per image", "fastest decoder", BARE, BASE, OWN, "times", "reading alone", HASH, *PEERS)
    print_table(header, [line for line, _, _ in lines])
    missed = [f"{line[0]} ({ratio:.2f})" for line, ratio, _ in lines if ratio > GOAL]
    behind = [line[0] for line, _, ahead in lines if not ahead]
    print(
        f"Goal: segpipe at most {GOAL} times the fastest decoder and resize. Missed: {', '.join(missed) or 'nowhere'}."
    )
    print(f"Goal: segpipe ahead of every peer. Missed: {', '.join(behind) or 'nowhere'}.")


if __name__ == "__main__":
    main()

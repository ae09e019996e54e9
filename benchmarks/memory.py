"""Peak memory of `segpipe preprocess` and `segpipe predict` for small and large shards: it should not grow.

Shards are hard links to a few phantoms. Two figures a run: the peak resident set as the system counts it, in which
pages of memory-mapped files stand too although they cost nothing, and the largest anonymous part that was seen
(sampled every 10 ms): what the process really needs.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from harness import PROJECT, print_machine, print_table

from segpipe.config import Config
from segpipe.config_file import parse_config
from segpipe.model.card import ModelCard
from segpipe.model.weights import network_of, save_model
from segpipe.phantom import phantom_arrays
from segpipe.samples.scan import scan

SHAPES = ((1024, 1024), (900, 1100), (1100, 900), (720, 600))
GOAL = 1.1  # "flat": ten times the images, at most a tenth more memory
MODEL, CHANNELS = "model", [16, 32, 64, 128, 256, 256]


@dataclass(frozen=True)
class Peak:
    """What one command needed."""

    cpu_s: float
    rss_mb: float
    anonymous_mb: float


def call(command: Sequence[str], folder: Path) -> Peak:
    """Run a command in ``folder`` and watch its memory."""
    log, anonymous = folder / "log.txt", 0
    with log.open("w") as output:
        process = subprocess.Popen(command, cwd=folder, stdout=output, stderr=subprocess.STDOUT)
    while True:
        pid, status, usage = os.wait4(process.pid, os.WNOHANG)
        if pid:
            break
        anonymous = max(anonymous, _anonymous_kb(process.pid))
        time.sleep(0.01)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{log.read_text()[-3000:]}")
    return Peak(usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, anonymous / 1024)


def _anonymous_kb(pid: int) -> int:
    try:
        found = re.search(r"RssAnon:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
    except OSError:  # not Linux, or just gone
        return 0
    return int(found[1]) if found else 0


def make_archive(folder: Path, images: int) -> Config:
    """``images`` labelled images in one shard, and the config that reads them."""
    for seed, shape in enumerate(SHAPES):
        pixels, masks = phantom_arrays(seed, shape)
        for name, picture in {"image": pixels, **masks}.items():
            path = folder / "data" / name / f"p{seed:05d}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(path), np.rint(picture * 255.0).astype(np.uint8))
            for number in range(seed + len(SHAPES), images, len(SHAPES)):
                os.link(path, path.with_name(f"p{number:05d}.png"))
    masks = {name: f"{name}/{{patient}}.png" for name in ("lung", "heart")}
    data = {"root": "data", "images": "image/{patient}.png", "masks": masks, "shards": 1}
    return parse_config({"name": "bench", "data": data, "model": {"weights": MODEL, "options": {"channels": CHANNELS}}})


def write_model(folder: Path, config: Config) -> None:
    """The config's network with random weights: memory does not depend on what it has learned."""
    network = network_of(config.model, len(config.class_values))
    contract = {"preprocess": config.preprocess.model_dump(mode="json"), "dicom": config.dicom.model_dump(mode="json")}
    card = ModelCard(config.model.network, config.model.options, config.class_values, **contract, provenance={})
    save_model(folder, network.state_dict(), card)


def commands(config: Config) -> dict[str, list[str]]:
    """The commands of the rules preprocess and predict for the one shard."""
    results, segpipe = config.folder, Path(sys.executable).with_name("segpipe")
    shard = results / "shards" / "0000"
    stage = {name: results / "config" / f"{name}.json" for name in ("preprocess", "predict")}
    preprocess = [segpipe, "preprocess", "--config", stage["preprocess"], "--output", shard]
    predict = [segpipe, "predict-shard", "--config", stage["predict"], "--shard", shard, "--masks", results / "masks"]
    return {
        "preprocess": [str(part) for part in [*preprocess, "--table", results / "samples" / "0000.csv"]],
        "predict": [str(part) for part in [*predict, "--output", results / "predictions.parquet", MODEL]],
    }


def measure(folder: Path, images: int, verbs: Sequence[str]) -> dict[str, Peak]:
    """Peaks of the verbs for a shard of ``images``."""
    folder.mkdir()
    config = make_archive(folder, images)
    os.chdir(folder)  # the config's paths are relative to the folder that a run is started in
    write_model(folder / MODEL, config)
    scan(config)
    peaks = {verb: call(command, folder) for verb, command in commands(config).items() if verb in verbs}
    os.chdir(PROJECT)
    shutil.rmtree(folder)
    return peaks


def print_results(peaks: dict[tuple[str, int], Peak]) -> None:
    """The table, with ratios to each verb's smallest shard, and the verdict."""
    rows, worst = [], [0.0, 0.0]
    for (verb, images), peak in sorted(peaks.items()):
        first = next(other for (name, _), other in sorted(peaks.items()) if name == verb)
        ratios = [peak.rss_mb / first.rss_mb, peak.anonymous_mb / max(first.anonymous_mb, 1)]
        worst = [max(pair) for pair in zip(worst, ratios, strict=True)]
        figures = [peak.rss_mb, ratios[0], peak.anonymous_mb, ratios[1], peak.cpu_s]
        form = ("{:.0f}", "{:.2f}", "{:.0f}", "{:.2f}", "{:.0f}")
        rows.append([f"{verb}, {images} images", *(f.format(x) for f, x in zip(form, figures, strict=True))])
    print_table(("", "peak RSS MB", "ratio", "anonymous MB", "ratio", "CPU s"), rows)
    for what, ratio in zip(("peak RSS", "anonymous"), worst, strict=True):
        verdict = "met" if ratio <= GOAL else "missed"
        print(f"Goal: {what} flat, at most {GOAL} times the smallest shard's: {verdict} ({ratio:.2f}).")


def main() -> None:
    """Parse the arguments, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, nargs="+", default=[16, 160, 800], help="sizes of preprocessed shards")
    parser.add_argument("--predict-images", type=int, nargs="+", default=[16, 160], help="sizes of predicted shards")
    arguments = parser.parse_args()
    print_machine("monai", "opencv-python-headless", "torch")
    peaks: dict[tuple[str, int], Peak] = {}
    with tempfile.TemporaryDirectory(prefix="segpipe-bench-") as folder:
        for images in sorted({*arguments.images, *arguments.predict_images}):
            verbs = ["preprocess", *(["predict"] if images in arguments.predict_images else [])]
            for verb, peak in measure(Path(folder) / str(images), images, verbs).items():
                peaks[verb, images] = peak
    print_results(peaks)


if __name__ == "__main__":
    main()

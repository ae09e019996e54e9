"""How many modules of segpipe does one PNG pass through, from the scan to report.csv?

Runs the verbs of the rules on a few phantoms and notes each module of which a function is called, also in reading
workers. Importing a module does not count::

    python benchmarks/way.py [--list]
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from PIL import Image

import segpipe
from segpipe.config.load import load_config
from segpipe.demo.render import phantom_arrays
from segpipe.samples.scan import read_scan

SEGPIPE = Path(sys.executable).with_name("segpipe")
IMAGES, SIDE = 8, 96
# Imported by every Python of a verb, as its sitecustomize: one line for each module when it is first called.
NOTES = """
import os, sys, threading
seen, root = set(), os.environ["WAY_ROOT"]
def note(frame, event, argument):
    code = frame.f_code
    name = code.co_filename
    if event == "call" and code.co_flags & 1 and name not in seen and name.startswith(root) and name.endswith(".py"):
        seen.add(name)
        with open(os.environ["WAY_NOTES"], "a") as file:
            print(name[len(root):], file=file)
threading.setprofile(note)
sys.setprofile(note)
"""


def make_run(folder: Path) -> Path:
    """Phantoms as PNG with masks of the lungs, and their config."""
    for number in range(IMAGES):
        pixels, masks = phantom_arrays(number, (SIDE, SIDE))
        for kind, picture in (("image", np.clip(pixels, 0, 1) * 255), ("lung", masks["lung"] * 255)):
            path = folder / "data" / kind / f"p{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(picture.astype(np.uint8)).save(path)
    config: dict[str, Any] = {
        "results": str(folder / "results"),
        "data": {
            "root": str(folder / "data"),
            "images": "image/{patient}.png",
            "masks": {"lung": "lung/{patient}.png"},
        },
        "preprocess": {"size": 64},
        "folds": {"scheme": "holdout", "test_fraction": 0.3, "val_fraction": 0.3},
        "model": {"network": "unet", "options": {"channels": [4, 8], "num_res_units": 0}},
        "train": {"epochs": 1, "batch_size": 2},
        "predict": {"engine": "torch"},
    }
    path = folder / "way.yaml"
    path.write_text(yaml.safe_dump(config), encoding="utf-8")
    return path


def verbs(path: Path) -> dict[str, list[object]]:
    """The verbs in order, as the rules call them; the first writes what the others need."""
    config = load_config(path)
    results, found = config.folder, read_scan(config)
    shard = next(iter(found.shards))
    store, model = results / "shards" / shard, results / "models" / "holdout"
    dataset, table = results / "dataset" / "dataset.parquet", results / found.table(shard)
    predictions, masks = results / "predictions" / f"{shard}.parquet", results / "masks" / shard
    stage = {name: f"--config={results / found.stage(name)}" for name in found.stages}
    predict = [
        stage["predict"],
        "--shard",
        store,
        "--masks",
        masks,
        "--output",
        predictions,
        "--dataset",
        dataset,
        model,
    ]
    score = ["--table", table, "--shard", store, "--predictions", predictions, "--masks", masks]
    return {
        "scan": [path],
        "preprocess": [stage["preprocess"], "--table", table, "--output", store],
        "dataset": [stage["dataset"], "--stores", results / "shards", "--output", results / "dataset", shard],
        "train": [
            *(stage["train"], "--dataset", dataset, "--shards", results / "shards"),
            *("--model", "holdout", "--output", model),
        ],
        "predict-shard": predict,
        "score": [stage["score"], *score, "--output", results / "scores" / f"{shard}.parquet"],
        "report": [*stage.values(), "--results", results, shard],
    }


def modules_of(command: list[object], notes: Path) -> set[str]:
    """The modules of which a function was called."""
    notes.unlink(missing_ok=True)
    hooks = notes.parent / "hooks"
    hooks.mkdir(exist_ok=True)
    (hooks / "sitecustomize.py").write_text(NOTES, encoding="utf-8")
    root = str(Path(segpipe.__file__).parent) + os.sep
    path = os.pathsep.join([str(hooks), str(Path(root).parent)])
    environment = {**os.environ, "PYTHONPATH": path, "WAY_ROOT": root, "WAY_NOTES": str(notes)}
    subprocess.run([str(part) for part in command], env=environment, check=True, capture_output=True)
    return set(notes.read_text(encoding="utf-8").split())


def main() -> None:
    """Run the verbs, print a line for each and the sum."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--list", action="store_true", help="name the modules, too")
    arguments = parser.parse_args()
    everything: set[str] = set()
    with tempfile.TemporaryDirectory() as folder:
        path = make_run(Path(folder))
        subprocess.run([SEGPIPE, "scan", str(path)], check=True, capture_output=True)
        for verb, options in verbs(path).items():
            found = modules_of([SEGPIPE, verb, *options], Path(folder) / "notes.txt")
            new = found - everything
            everything |= found
            print(f"{verb:14} {len(found):4} modules, {len(new)} of them new")
            if arguments.list:
                print("\n".join(f"    {name}" for name in sorted(new)))
    print(f"{'all':14} {len(everything):4} modules of {sum(1 for _ in Path(segpipe.__file__).parent.rglob('*.py'))}")


if __name__ == "__main__":
    sys.exit(main())

"""What the comparisons at an equal budget share: CPU time, calibration, segpipe's own training, results, tables.

A contestant trains for a number of epochs that a short calibration chose, so that it spends the budget of CPU minutes,
validation of each epoch included. Schedules depend on that number, so it must be known before training starts. Images
to train, to validate and to test are those of one fold for all.
"""

import argparse
import hashlib
import json
import logging
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from budget_data import CLASSES, Prepared, prepare
from harness import PROJECT, cpu_seconds

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as the command sets it, before torch is imported
from calibration import Best, Contestant, calibrate, empty

from segpipe.config.stages import stage_configs
from segpipe.files.atomic import canonical_json
from segpipe.log import set_up_logging
from segpipe.predict.shard import predict_shard
from segpipe.samples.scan import read_scan
from segpipe.score.stage import score_shard

WORK = PROJECT / "results" / "budget"


class Segpipe:
    """segpipe's own training with its defaults, or with what a variant overrides."""

    def __init__(self, data: Prepared, model: str, threads: int, overrides: Mapping[str, Any]) -> None:
        self.data, self.model = data, model
        fixed = {"threads": threads, "device": "cpu"}
        parts = {part: {**overrides.get(part, {}), **fixed} for part in ("train", "predict")}
        self.overrides = {"model": overrides.get("model", {}), **parts}

    def settings(self) -> str:
        """What decides the training, in full: defaults change."""
        config = self.data.config(self.overrides)
        return canonical_json(
            {"model": config.model.model_dump(mode="json"), "train": config.train.model_dump(mode="json")}
        )

    def train(self, epochs: int, output: Path) -> Best:
        """As the workflow's rule does it."""
        from segpipe.train.stage import train_model

        overrides = {**self.overrides, "train": {**self.overrides["train"], "epochs": epochs}}
        stage = stage_configs(self.data.config(overrides), [])["train"]
        train_model(stage, self.data.table, self.data.shards, self.model, output / self.model)
        history = pd.read_csv(output / self.model / "history.csv")
        best = history.loc[history["val_miou"].idxmax()]
        return Best(int(best["epoch"]), "val MIoU", float(best["val_miou"]))

    def test(self, output: Path) -> pd.DataFrame:
        """As the workflow's rules do it, at the original size, which is the network's."""
        config = self.data.config(self.overrides)
        stages, tables = stage_configs(config, []), []
        for shard in sorted(path.name for path in self.data.shards.iterdir()):
            store, parts = self.data.shards / shard, [output / f"{shard}-{part}.parquet" for part in ("mask", "score")]
            masks = output / "masks" / shard
            predict_shard(stages["predict"], store, [output / self.model], self.data.table, masks, parts[0])
            samples = config.folder / read_scan(config).table(shard)
            score_shard(stages["score"], samples, store / "table.parquet", parts[0], masks, parts[1])
            tables.append(pd.read_parquet(parts[1]))
        return pd.concat(tables, ignore_index=True).sort_values("image_id", ignore_index=True)


def run(name: str, contestant: Contestant, arguments: argparse.Namespace, reuse: bool = False) -> dict[str, Any]:
    """Calibrate, train, test; the line for the results' file. ``reuse`` takes over a training of the same settings."""
    settings = contestant.settings()
    key = hashlib.sha256(f"{settings}/{_setting(arguments)}".encode()).hexdigest()[:12]
    folder = arguments.folder / "models" / key
    record = folder / "trained.json"
    if not (reuse and record.exists()):
        epochs = arguments.epochs or calibrate(contestant, arguments, folder)
        output, wall, cpu = empty(folder / f"epochs-{epochs}"), time.monotonic(), cpu_seconds()
        best = contestant.train(epochs, output)
        cost = {"cpu_minutes": (cpu_seconds() - cpu) / 60, "wall_minutes": (time.monotonic() - wall) / 60}
        record.write_text(json.dumps({"epochs": epochs, "best": vars(best), **cost}))
    facts = json.loads(record.read_text())
    scores = contestant.test(folder / f"epochs-{facts['epochs']}")
    columns = [name for name in scores if name.startswith(("iou_", "miou"))]
    images = {column: scores[column].round(6).tolist() for column in ["image_id", *columns]}
    return {"name": name, **_setting(arguments), **facts, "settings": settings, "images": images}


def _setting(arguments: argparse.Namespace) -> dict[str, Any]:
    """What rows of one table have in common."""
    return {name: getattr(arguments, name) for name in ("data", "size", "fold", "repeat", "threads", "minutes")}


def append(line: Mapping[str, Any], path: Path) -> None:
    """Add a line to the results' file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")


def results(arguments: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """The last line of each name for this setting."""
    lines = arguments.output.read_text(encoding="utf-8").splitlines() if arguments.output.exists() else []
    setting = _setting(arguments)
    found = [line for line in map(json.loads, lines) if all(line[key] == value for key, value in setting.items())]
    return {line["name"]: line for line in found}


def iou_of(line: Mapping[str, Any], classes: Sequence[str]) -> np.ndarray:
    """Each test image's IoU, the mean over the classes without the background."""
    return np.mean([line["images"][f"iou_{name}"] for name in classes], axis=0)


def paired(line: Mapping[str, Any], first: Mapping[str, Any], classes: Sequence[str]) -> str:
    """The mean difference to ``first`` image by image, with its standard error."""
    if line["images"]["image_id"] != first["images"]["image_id"]:
        return "other images"
    difference = iou_of(line, classes) - iou_of(first, classes)
    return f"{difference.mean():+.4f} ± {difference.std(ddof=1) / len(difference) ** 0.5:.4f}" if line != first else ""


def parser(description: str | None, output: str) -> argparse.ArgumentParser:
    """The arguments that all comparisons at an equal budget have."""
    made = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--data", choices=CLASSES, default="montgomery")
    made.add_argument("--minutes", type=float, default=20.0, help="CPU minutes per model (default 20)")
    made.add_argument("--epochs", type=int, default=0, help="train so many epochs, without calibration")
    made.add_argument("--size", type=int, default=512, help="rows and columns (default 512)")
    made.add_argument("--fold", type=int, default=0, choices=(0, 1, 2), help="which of three folds is tested")
    made.add_argument("--repeat", type=int, default=1, help="2, 3, ...: the same again from another seed")
    made.add_argument("--threads", type=int, default=2)
    made.add_argument("--only", nargs="+", default=[], metavar="NAME", help="run these and not the others")
    made.add_argument("--table", action="store_true", help="run nothing, print the table of what was run")
    made.add_argument("--folder", type=Path, default=WORK, help=f"pictures and models (default {WORK})")
    made.add_argument("--output", type=Path, default=WORK / output, help="a JSON line is added per model")
    return made


def prepared_data(arguments: argparse.Namespace) -> Prepared:
    """The images, or the end of the program where there are none."""
    set_up_logging(None)
    logging.getLogger("segpipe").setLevel(logging.WARNING if arguments.table else logging.INFO)
    found = prepare(arguments.data, arguments.size, arguments.folder.resolve())
    if found is None:
        print(f"{arguments.data} is not below SEGPIPE_SHARED (default ../shared): nothing was run.")
        sys.exit()
    return found


def model_name(arguments: argparse.Namespace) -> str:
    """The model as the workflow names it; its seed follows from the name."""
    return f"fold{arguments.fold}" + (f"-r{arguments.repeat}" if arguments.repeat > 1 else "")


def run_apart(script: str, names: Sequence[str], arguments: argparse.Namespace, *more: str) -> None:
    """Each name in a process of its own, so that none finds warm caches or another's threads."""
    given = [f"--{name}={value}" for name, value in {**_setting(arguments), "epochs": arguments.epochs}.items()]
    given += [f"--folder={arguments.folder}", f"--output={arguments.output}", *more]
    for name in names:
        subprocess.run([sys.executable, script, *given, "--only", name], check=True)

"""`segpipe train` as processes of their own, on the small prepared data of the unit tests."""

import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from segpipe.config.stages import stage_text
from tests.unit.prepared import prepare, stage

WRITTEN = ("model.safetensors", "model.json", "history.csv", "training.csv")


@dataclass(frozen=True)
class Training:
    """A prepared data set and a config, from which models can be trained into folders."""

    folder: Path

    def command(self, output: str) -> list[str]:
        data = ["--dataset", f"{self.folder}/dataset.parquet", "--shards", f"{self.folder}/shards"]
        written = ["--output", f"{self.folder}/{output}", "--log", f"{self.folder}/{output}.log"]
        config = ["--config", f"{self.folder}/train.json", "--model", "fold0"]
        return ["segpipe", "train", *config, *data, *written]

    def start(self, output: str, **variables: str) -> subprocess.Popen[str]:
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        return subprocess.Popen(
            self.command(output), env={**os.environ, "PATH": path, **variables}, stderr=subprocess.PIPE, text=True
        )

    def finish(self, output: str) -> dict[str, bytes]:
        process = self.start(output)
        _, errors = process.communicate(timeout=600)
        assert process.returncode == 0, errors
        return self.contents(output)

    def contents(self, output: str) -> dict[str, bytes]:
        return {name: (self.folder / output / name).read_bytes() for name in WRITTEN}

    def wait_for_progress(self, output: str, process: subprocess.Popen[str]) -> bool:
        """Until a checkpoint is written; False if the process ended before."""
        last = self.folder / output / "checkpoints/last.pt"
        before, deadline = _changed(last), time.monotonic() + 600
        while time.monotonic() < deadline:
            if _changed(last) != before:
                return True
            if process.poll() is not None:
                return False
            time.sleep(0.005)
        raise AssertionError("no progress for ten minutes")


def prepare_training(folder: Path, **train: object) -> Training:
    """Phantoms, and the config of the stage."""
    prepare(folder)
    (folder / "train.json").write_text(stage_text(stage("train", tensorboard=False, **train)))
    return Training(folder)


def _changed(path: Path) -> int:
    return path.stat().st_mtime_ns if path.exists() else 0

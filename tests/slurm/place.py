"""A folder in which the workflow runs on the cluster, processes in it that a test holds, and what comes out."""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.slurm.cluster import wait_until
from tests.workflow.conftest import PROJECT, TINY

LIMIT = 600.0  # seconds for whatever is waited for, which takes ten on a quiet machine
CONFIG = {**TINY, "folds": {"k": 3, "val_fraction": 0.2}}
PATTERNS = (
    "report.csv",
    "summary.json",
    "models/*/model.safetensors",
    "models/*/model.json",
    "models/*/history.csv",
    "models/*/training.csv",
    "shards/*/*.*",
    "scores/*",
    "predictions/*",
    "masks/**/*.png",
)
# The profile as it is, but for the patience of a cluster: tests ask every second or two.
QUICK = {"slurm-init-seconds-before-status-checks": 1, "seconds-between-status-checks": 1, "latency-wait": 30}


@dataclass
class Head:
    """A running Snakemake, and its output so far."""

    process: subprocess.Popen[bytes]
    log: Path

    @property
    def text(self) -> str:
        return self.log.read_text(errors="replace")

    def kill(self) -> None:
        """As by the system: no time to say goodbye."""
        self.process.kill()
        self.process.wait()

    def finish(self) -> str:
        """Wait for its end; its output."""
        try:
            code = self.process.wait(LIMIT)
        finally:
            self.kill()
        assert code == 0, self.text[-6000:]
        return self.text


class Place:
    """Data, config, profile and results; ``resources`` and ``partition`` replace those of the profile's rules."""

    def __init__(
        self, folder: Path, resources: dict[str, dict[str, Any]] | None = None, partition: str | None = None
    ) -> None:
        self.folder, self.gates = folder, folder / "gates"
        self.results = folder / "results" / str(CONFIG["name"])
        self._heads: list[Head] = []
        self.gates.mkdir()
        (folder / "config.yaml").write_text(yaml.safe_dump(CONFIG, sort_keys=False))
        profile = yaml.safe_load((PROJECT / "profiles/slurm/config.yaml").read_text()) | QUICK
        if partition:
            for values in (profile["default-resources"], profile["set-resources"]["train"]):
                values["slurm_partition"] = partition
        for rule, values in (resources or {}).items():
            profile["set-resources"].setdefault(rule, {}).update(values)
        (folder / "profile").mkdir()
        (folder / "profile/config.yaml").write_text(yaml.safe_dump(profile, sort_keys=False))

    def command(self, *arguments: str) -> list[str]:
        snakemake = str(Path(sys.executable).with_name("snakemake"))
        return [
            snakemake,
            "--directory",
            str(self.folder),
            "--configfile",
            str(self.folder / "config.yaml"),
            *arguments,
        ]

    def environment(self) -> dict[str, str]:
        own = f"{PROJECT}/tests/slurm/held{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
        cache = {"XDG_CACHE_HOME": f"{self.folder}/.cache", "COLUMNS": "200"}
        return {**os.environ, **cache, "PYTHONPATH": own, "SEGPIPE_TEST_HOLD": str(self.gates)}

    def start(self, *arguments: str) -> Head:
        """Snakemake with the profile."""
        log = self.folder / f"head-{len(self._heads)}.log"
        command = self.command("--profile", str(self.folder / "profile"), *arguments)
        with log.open("w") as output:
            process = subprocess.Popen(
                command, cwd=PROJECT, env=self.environment(), stdout=output, stderr=output, start_new_session=True
            )
        self._heads.append(Head(process, log))
        return self._heads[-1]

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Snakemake to its end, without SLURM."""
        command, environment = self.command(*arguments), self.environment()
        return subprocess.run(command, cwd=PROJECT, env=environment, capture_output=True, text=True, timeout=3 * LIMIT)

    def segpipe(self, *arguments: str) -> str:
        """What a verb says, called in the folder of the run."""
        command = [str(Path(sys.executable).with_name("segpipe")), *arguments]
        done = subprocess.run(command, cwd=self.folder, env=self.environment(), capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def end(self) -> None:
        """Nothing stays: neither heads nor held processes."""
        for gate in [path for path in self.gates.iterdir() if path.suffix != ".held"]:
            gate.unlink()
        for head in self._heads:
            head.kill()

    def hold(self, *names: str) -> None:
        """Let processes stop there, see ``held/sitecustomize.py``."""
        for name in names:
            (self.gates / name).touch()

    def open(self, *names: str) -> None:
        """Let them go on, and all that come later."""
        for name in names:
            (self.gates / name).unlink()

    def held(self, pattern: str) -> dict[str, str]:
        """SLURM's ids of the jobs that are held there, and what holds them; without processes that were killed."""
        found = {}
        for mark in self.gates.glob(f"{pattern}.*.held"):
            name, process, _ = mark.name.rsplit(".", 2)
            if Path("/proc", process).exists() and (job := mark.read_text()):
                found[job] = name
        return found

    def wait_held(self, pattern: str, count: int, but: set[str] = frozenset()) -> dict[str, str]:  # type: ignore[assignment]
        """The same, as soon as there are so many besides those of ``but``."""
        found: dict[str, str] = {}

        def look() -> bool:
            found.clear()
            found.update({job: name for job, name in self.held(pattern).items() if job not in but})
            return len(found) >= count

        try:
            wait_until(look, f"{count} jobs held at {pattern} (besides {sorted(but)})", LIMIT)
        except TimeoutError as error:
            heads = "\n".join(head.text[-3000:] for head in self._heads[-1:])
            raise AssertionError(f"{error}; there are {self.held('*')}\n{heads}") from None
        return found

    def contents(self) -> dict[str, bytes]:
        """What must be the same, wherever and however it was computed."""
        paths = [path for pattern in PATTERNS for path in self.results.glob(pattern)]
        return {str(path.relative_to(self.results)): path.read_bytes() for path in paths}


def make_data(folder: Path) -> None:
    """The phantoms of all places."""
    segpipe = str(Path(sys.executable).with_name("segpipe"))
    subprocess.run([segpipe, "phantom", str(folder / "data"), "--count", "16", "--seed", "1"], check=True)


def copy_of(reference: Place, folder: Path, without: tuple[str, ...], **values: Any) -> Place:
    """The reference as it was left, with Snakemake's memory of it, without some results."""
    shutil.copytree(reference.folder, folder, ignore=shutil.ignore_patterns("gates", "profile", "*.log"))
    place = Place(folder, **values)
    for pattern in without:
        for path in place.results.glob(pattern):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    return place

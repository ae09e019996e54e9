"""A finished run is reproduced in another folder, byte for byte, and the first is left as it was."""

import json
import os
import subprocess
import sys
from pathlib import Path

from segpipe.audit.provenance import read_provenance
from tests.workflow.conftest import TINY, Run


def stamps(folder: Path) -> dict[str, tuple[int, int]]:
    paths = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): (path.stat().st_mtime_ns, path.stat().st_size) for path in paths}


def reproduce(run: Run, *arguments: str) -> subprocess.CompletedProcess[str]:
    segpipe = str(Path(sys.executable).with_name("segpipe"))
    return subprocess.run(
        [segpipe, "reproduce", *arguments], cwd=run.folder, env=run.environment(), capture_output=True, text=True,
        timeout=600,
    )  # fmt: skip


def test_a_run_is_reproduced_elsewhere_and_a_changed_byte_is_named(finished: Run, tmp_path):
    results, again = finished.results(TINY), tmp_path / "again"
    before = stamps(results)
    done = reproduce(finished, str(results.relative_to(finished.folder)), "--output", str(again), "--cores", "2")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "every byte is the same" in done.stdout
    assert stamps(results) == before
    assert read_provenance(again)["same"] == read_provenance(results)["same"]
    crate = json.loads((again / "ro-crate-metadata.json").read_text())
    (action,) = (entity for entity in crate["@graph"] if entity["@type"] == "CreateAction")
    assert action["startTime"] < action["endTime"]
    text = (results / "provenance.json").read_text() + (results / "ro-crate-metadata.json").read_text()
    assert str(finished.folder.parents[1]) not in text, "also not where it was first run, before it was copied"
    assert os.uname().nodename not in text
    mask = min((again / "masks").rglob("*.png"))
    mask.write_bytes(mask.read_bytes() + b"\0")
    done = reproduce(finished, str(results.relative_to(finished.folder)), "--output", str(again), "--cores", "2")
    assert done.returncode == 7, done.stdout + done.stderr
    assert f"differs: {mask.relative_to(again)}" in done.stdout

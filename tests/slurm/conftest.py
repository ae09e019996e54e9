import subprocess
import sys
from pathlib import Path

import pytest

from tests.slurm.cluster import Cluster, alone, install, missing, running
from tests.slurm.place import Place


@pytest.fixture(scope="session")
def cluster(tmp_path_factory) -> Cluster:
    """One for all tests; /etc/slurm/slurm.conf, where jobs look for it, exists as long as it does."""
    pytest.importorskip("snakemake_executor_plugin_slurm")
    with alone():
        install()
        reason = missing()
        if reason:
            pytest.skip(f"no SLURM cluster can be started: {reason}")
        with running(tmp_path_factory.mktemp("cluster")) as started:
            yield started


@pytest.fixture(scope="session")
def reference(cluster, tmp_path_factory) -> Place:
    """The run on this machine that all others are compared with."""
    folder = tmp_path_factory.mktemp("local")
    segpipe = str(Path(sys.executable).with_name("segpipe"))
    subprocess.run([segpipe, "phantom", str(folder / "data"), "--count", "16", "--seed", "1"], check=True)
    place = Place(folder)
    done = place.run("--cores", "2")
    assert done.returncode == 0, done.stdout + done.stderr
    return place


@pytest.fixture(scope="module")
def place_for(cluster):
    """Makes places whose processes end with the module."""
    places: list[Place] = []

    def keep(place: Place) -> Place:
        places.append(place)
        return place

    yield keep
    for place in places:
        place.end()

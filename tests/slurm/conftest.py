import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.slurm.cluster import Cluster, alone, install, missing, running
from tests.slurm.place import Place, make_data


@pytest.fixture(scope="session")
def cluster(tmp_path_factory) -> Iterator[Cluster]:
    """One for all tests; /etc/slurm/slurm.conf, where jobs look for it, exists as long as it does."""
    pytest.importorskip("snakemake_executor_plugin_slurm")
    with alone():
        install()
        reason = missing()
        if reason:
            pytest.skip(f"no SLURM cluster can be started: {reason}")
        with running(tmp_path_factory.mktemp("cluster")) as started:
            yield started


@dataclass
class Scene:
    """Where a story is told: cluster, new folder, the run to compare with; ``keep`` ends a place with the last test."""

    cluster: Cluster
    folder: Path
    reference: "Future[Place]"
    keep: Callable[[Place], Place]


@pytest.fixture(scope="session")
def told(request, cluster: Cluster, tmp_path_factory) -> "Iterator[dict[str, Future[Any]]]":
    """What ``tell`` of each module gives, by the module's name, and the reference.

    They mostly wait for SLURM, so all are told at once, each on nodes of its own. Processes end with the last test.
    """
    places: list[Place] = []

    def keep(place: Place) -> Place:
        places.append(place)
        return place

    found: dict[str, Future[Any]] = {"reference": in_background(run_here, tmp_path_factory.mktemp("local"))}
    for module in {item.module for item in request.session.items if hasattr(item.module, "tell")}:
        folder = tmp_path_factory.mktemp(module.__name__.rpartition(".")[2])
        found[module.__name__] = in_background(module.tell, Scene(cluster, folder, found["reference"], keep))
    yield found
    for place in places:
        place.end()


def in_background(work: Callable[..., Any], *arguments: Any) -> "Future[Any]":
    """In a thread that ends with this process at the latest: nobody waits for it when a test run is interrupted."""
    future: Future[Any] = Future()

    def run() -> None:
        try:
            future.set_result(work(*arguments))
        except BaseException as error:  # whoever asks for the result gets it
            future.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return future


def run_here(folder: Path) -> Place:
    make_data(folder)
    place = Place(folder)
    done = place.run("--cores", "2")
    assert done.returncode == 0, done.stdout + done.stderr
    return place


@pytest.fixture(scope="session")
def reference(told) -> Place:
    """The run on this machine that all others are compared with."""
    return told["reference"].result()

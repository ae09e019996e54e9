import logging
import os
from pathlib import Path

import pytest

from segpipe.log import logger

PROJECT = Path(__file__).resolve().parent.parent

# Those that take minutes start first, so that no worker ends long after the others. The cluster's mostly wait; of the
# next two only one needs the finished run, which the first to ask for it makes.
FIRST = (
    "tests/slurm/",
    "tests/workflow/test_same_bytes.py",
    "tests/workflow/test_killed_training.py",
    "tests/workflow/",
)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """A worker for each core, eight at most, and one for the cluster."""
    return min(len(os.sched_getaffinity(0)), 8) + 1


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """``--dist loadfile`` in our order, with the cluster's files one after the other."""
    from xdist.scheduler import LoadFileScheduling

    class Scheduler(LoadFileScheduling):
        def _split_scope(self, nodeid):
            file = super()._split_scope(nodeid)
            return FIRST[0] if file.startswith(FIRST[0]) else file

    if config.getvalue("dist") != "loadfile":
        return None
    config.option.loadscopereorder = False
    return Scheduler(config, log)


def pytest_collection_modifyitems(items) -> None:
    def place(item) -> int:
        return next((place for place, start in enumerate(FIRST) if item.nodeid.startswith(start)), len(FIRST))

    items.sort(key=place)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real data; tests that need it are skipped where it is missing."""
    folder = Path(os.environ.get("SEGPIPE_SHARED", PROJECT.parent / "shared"))
    if not (folder / "data").is_dir():
        pytest.skip(f"no real data in {folder}; set SEGPIPE_SHARED to the folder that holds data/")
    return folder / "data"


@pytest.fixture(autouse=True)
def _log_as_new():
    """A verb, or a training, that was called in this process sets up the log for good: caplog would see nothing."""
    logging.disable(logging.NOTSET)
    logger.handlers, logger.propagate, logger.disabled = [], True, False
    logger.setLevel(logging.NOTSET)

import logging
import os
from pathlib import Path

import pytest

from segpipe.log import logger

PROJECT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real data; tests that need it are skipped where it is missing."""
    folder = Path(os.environ.get("SEGPIPE_SHARED", PROJECT.parent / "shared"))
    if not (folder / "data").is_dir():
        pytest.skip(f"no real data in {folder}; set SEGPIPE_SHARED to the folder that holds data/")
    return folder / "data"


@pytest.fixture(autouse=True)
def _log_as_before():
    """A verb that is called in this process sets up the log for good; the next test's caplog would see nothing."""
    handlers, level, propagate, disabled = logger.handlers[:], logger.level, logger.propagate, logger.disabled
    logging.disable(logging.NOTSET)
    yield
    logger.handlers[:], logger.propagate, logger.disabled = handlers, propagate, disabled
    logger.setLevel(level)

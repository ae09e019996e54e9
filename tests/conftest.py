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
def _log_as_new():
    """A verb, or a training, that was called in this process sets up the log for good: caplog would see nothing."""
    logging.disable(logging.NOTSET)
    logger.handlers, logger.propagate, logger.disabled = [], True, False
    logger.setLevel(logging.NOTSET)

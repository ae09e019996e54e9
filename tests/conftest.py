import os
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real data; tests that need it are skipped where it is missing."""
    folder = Path(os.environ.get("SEGPIPE_SHARED", PROJECT.parent / "shared"))
    if not (folder / "data").is_dir():
        pytest.skip(f"no real data in {folder}; set SEGPIPE_SHARED to the folder that holds data/")
    return folder / "data"

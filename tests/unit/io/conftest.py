import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real and hostile files, named by SEGPIPE_SHARED or beside the project."""
    shared = Path(os.environ.get("SEGPIPE_SHARED", Path(__file__).parents[4] / "shared"))
    if not (shared / "data").is_dir():
        pytest.skip(f"real data are not here ({shared / 'data'}); set SEGPIPE_SHARED to the folder that has them")
    return shared / "data"

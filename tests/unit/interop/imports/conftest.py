from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROWS, COLUMNS = 6, 9


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """A data root with the images a/x1.png and a/x2.png."""
    (tmp_path / "a").mkdir()
    for name in ("x1", "x2"):
        Image.fromarray(np.arange(ROWS * COLUMNS, dtype=np.uint8).reshape(ROWS, COLUMNS)).save(
            tmp_path / f"a/{name}.png"
        )
    return tmp_path

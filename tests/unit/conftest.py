from pathlib import Path

import pytest

from tests.unit.prepared import prepare


@pytest.fixture(scope="session")
def prepared(tmp_path_factory) -> Path:
    """shards/0000, shards/0001 and dataset.parquet of a dozen small phantoms."""
    return prepare(tmp_path_factory.mktemp("prepared"))

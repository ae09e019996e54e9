from pathlib import Path

import pandas as pd
import pytest


@pytest.fixture(scope="session")
def prepared(prepared, tmp_path_factory) -> Path:
    """The same shards, of which each fold's model trains on eight images and validates on one."""
    folder = tmp_path_factory.mktemp("prepared-to-train")
    (folder / "shards").symlink_to(prepared / "shards")
    table = pd.read_parquet(prepared / "dataset.parquet")
    for fold in range(2):
        roles = ["test", "test", "test", "val", *["train"] * 8]
        table[f"role:fold{fold}"] = [*roles[-2 * fold :], *roles[: -2 * fold]] if fold else roles
    table.to_parquet(folder / "dataset.parquet")
    return folder

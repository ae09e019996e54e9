import json
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pydicom
import pytest
from PIL import Image

from segpipe.config.load import load_config
from segpipe.demo.files import make_phantoms
from segpipe.interop.finished_run import FinishedRun
from tests.unit.finished import make_run

CODES = {"lung": {"value": "39607008", "meaning": "Lung structure"}}
TOLD = {"PatientBirthDate": "19700101", "StudyDate": "20200102", "StudyTime": "030405", "PatientComments": "SECRET"}


def tell_more(folder: Path, images: int, seed: int, scale: float) -> None:
    """Phantoms, of which the first has dates and a comment in its header."""
    make_phantoms(folder, images, seed, scale=scale)
    path = folder / "images/syn0000_pa1.dcm"
    dataset = pydicom.dcmread(path)
    for keyword, value in TOLD.items():
        setattr(dataset, keyword, value)
    dataset.InstitutionName, dataset.OperatorsName = "SECRET", "SECRET"
    dataset.save_as(path, enforce_file_format=True)


@pytest.fixture(scope="session")
def config(tmp_path_factory) -> Path:
    """The config file of a finished run of 12 phantoms, of which two are broken."""
    folder = tmp_path_factory.mktemp("exported")
    with patch("tests.unit.finished.make_phantoms", tell_more):
        make_run(folder)
    values = json.loads((folder / "config.yaml").read_text())
    (folder / "config.yaml").write_text(json.dumps({**values, "export": {"codes": CODES}}))
    return folder / "config.yaml"


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """A data root with the images a/x1.png and a/x2.png of 6 x 9 pixels."""
    (tmp_path / "a").mkdir()
    for name in ("x1", "x2"):
        Image.fromarray(np.arange(54, dtype=np.uint8).reshape(6, 9)).save(tmp_path / f"a/{name}.png")
    return tmp_path


@pytest.fixture
def run(config):
    run = FinishedRun(load_config(config))
    yield run
    run.close()

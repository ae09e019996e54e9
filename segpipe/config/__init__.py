"""The configuration: pydantic models that are its defaults, validation, schema and documentation.

A config file is YAML; an unknown key is an error. Sections are read by one stage each, so that
changing a section re-runs only the stages that use it (:mod:`segpipe.config.stages`).
"""

from segpipe.config.data import (
    Classes,
    ClassName,
    ClassValues,
    Data,
    Dicom,
    LabelTexts,
    MonaiTransform,
    PixelValues,
    Preprocess,
    Raster,
    Section,
)
from segpipe.config.learning import Compare, Folds, Model, Network, Train
from segpipe.config.results import Checks, Code, Export, Predict, Report, Score
from segpipe.config.run import Config
from segpipe.files.atomic import canonical_json

__all__ = [
    "Checks",
    "ClassName",
    "ClassValues",
    "Classes",
    "Code",
    "Compare",
    "Config",
    "Data",
    "Dicom",
    "Export",
    "Folds",
    "LabelTexts",
    "Model",
    "MonaiTransform",
    "Network",
    "PixelValues",
    "Predict",
    "Preprocess",
    "Raster",
    "Report",
    "Score",
    "Section",
    "Train",
    "canonical_json",
]

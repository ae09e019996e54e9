"""A whole run."""

from pathlib import Path
from typing import Any

from pydantic import Field, field_validator, model_validator

from segpipe.config.data import (
    MAX_CLASSES,
    ClassName,
    ClassValues,
    Data,
    Dicom,
    LabelTexts,
    PixelValues,
    Preprocess,
    Raster,
    Section,
    lone_sides,
)
from segpipe.config.learning import Compare, Folds, Model, Train
from segpipe.config.results import Checks, Export, Predict, Report, Score


class Config(Section):
    """A whole run."""

    name: str = Field(
        "run",
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$",
        description="results go to <results>/<name>; default: the config file's name",
    )
    results: Path = Field(Path("results"))
    seed: int = Field(0, ge=0, lt=2**32, description="decides folds, weights and augmentation")
    classes: dict[ClassName, PixelValues | LabelTexts | None] = Field(
        {},
        description="class name: pixel values in a label mask, texts of labels (labelme, DICOM SEG), or null where a "
        "mask file shows one class only",
    )
    data: Data
    dicom: Dicom = Dicom()
    raster: Raster = Raster()
    preprocess: Preprocess = Preprocess()
    checks: Checks = Checks()
    folds: Folds = Folds()
    model: Model = Model()
    train: Train = Train()
    predict: Predict = Predict()
    compare: Compare | None = None
    score: Score = Score()
    report: Report = Report()
    export: Export = Export()

    @field_validator("classes", mode="before")
    @classmethod
    def _named_in_one_way(cls, value: Any) -> Any:
        """One message instead of one for each kind of list that it might have been."""
        for name, values in value.items() if isinstance(value, dict) else ():
            kinds = {type(item) for item in values} if isinstance(values, list) else set()
            if values is not None and (kinds not in ({int}, {str}) or "" in values):
                raise ValueError(
                    f'{name}: {values!r}; give a list of numbers, as [1, 2], or of label texts, as ["left lung"], or '
                    "null where each class has mask files of its own"
                )
            if isinstance(values, list) and kinds == {int} and not all(0 <= number <= 65535 for number in values):
                raise ValueError(f"{name}: {values!r}; pixel values are from 0 to 65535")
        return value

    @model_validator(mode="after")
    def _classes_match_masks(self) -> "Config":
        masks = self.data.masks
        if len(self.class_values) > MAX_CLASSES:
            raise ValueError(f"classes: {len(self.class_values)} of them; a mask holds at most {MAX_CLASSES}")
        if "background" in self.class_values:
            raise ValueError("classes: background means the pixels of no class and is always scored; rename yours")
        if isinstance(masks, dict) and self.classes and set(masks) != set(self.classes):
            raise ValueError(
                f"classes names {sorted(self.classes)} but data.masks has patterns for {sorted(masks)}; "
                "name the same classes in both, or leave classes out"
            )
        if isinstance(masks, str) and not self.classes:
            raise ValueError("data.masks is one pattern: say under classes what its pixel values mean")
        if isinstance(masks, str) and len(self.classes) > 1 and None in self.classes.values():
            raise ValueError("one mask file for several classes: give every class its pixel values")
        kinds = {type(value) for values in self.classes.values() for value in values or ()}
        if isinstance(masks, str) and len(kinds) > 1:
            raise ValueError("one mask file for all classes: name them all by numbers, or all by texts")
        if self.data.sheet and not self.classes and not self.model.weights:
            raise ValueError("with data.sheet, name the classes (heart: null for a mask file of its own)")
        if not self.data.sheet and masks is None and not self.model.weights:
            raise ValueError("no data.masks and no model.weights: there is nothing to train on and no model to apply")
        return self

    @model_validator(mode="after")
    def _mirrored_classes_have_counterparts(self) -> "Config":
        lone = lone_sides(list(self.class_values))
        if self.predict.mirror and lone:
            raise ValueError(
                f"predict.mirror: {', '.join(lone)} {'has a side' if len(lone) == 1 else 'have sides'}, but the other "
                "side is no class, so that the mirrored picture would have to be predicted as what it does not show. "
                "Leave predict.mirror out, or name the other side, too"
            )
        return self

    @model_validator(mode="after")
    def _trains_what_it_compares(self) -> "Config":
        if self.compare and self.model.weights:
            raise ValueError(
                "compare trains networks, but with model.weights nothing is trained; remove one of the two"
            )
        return self

    @model_validator(mode="after")
    def _codes_are_of_classes(self) -> "Config":
        lone = sorted(set(self.export.codes) - set(self.class_values))
        if lone:
            raise ValueError(f"export.codes: {lone[0]} is no class; there are {', '.join(self.class_values)}")
        return self

    @model_validator(mode="after")
    def _starts_from_what_it_has(self) -> "Config":
        if self.model.init and self.model.weights:
            raise ValueError(
                "model.init is where training starts, but with model.weights nothing is trained; remove one of the two"
            )
        if self.train.freeze_encoder_epochs and not self.model.init:
            raise ValueError(
                "train.freeze_encoder_epochs keeps the encoder as model.init gave it, but there is no model.init; it "
                "would stay at random values. Set model.init, or remove train.freeze_encoder_epochs"
            )
        return self

    @property
    def class_values(self) -> dict[str, ClassValues]:
        """Classes in the order of the output channels, with how masks name them."""
        if self.classes:
            return dict(self.classes)
        return dict.fromkeys(self.data.masks) if isinstance(self.data.masks, dict) else {}

    @property
    def folder(self) -> Path:
        """Where this run's results go."""
        return self.results / self.name

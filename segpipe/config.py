"""The configuration: pydantic models that are its defaults, validation, schema and documentation.

A config file is YAML; an unknown key is an error. Sections are read by one stage each, so that
changing a section re-runs only the stages that use it (:mod:`segpipe.stages`).
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

ClassName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")]
PixelValues = Annotated[list[Annotated[int, Field(ge=0, le=65535)]], Field(min_length=1)]
LabelTexts = Annotated[list[Annotated[str, Field(min_length=1, max_length=200)]], Field(min_length=1)]

ClassValues = list[int] | list[str] | None
"""How masks name a class: by numbers, by the texts of labels, or not at all where a file shows it alone."""

Classes = Mapping[str, ClassValues]


MAX_CLASSES = 32  # one bit each in a mask


class Section(BaseModel):
    """Base of all sections: unknown keys are errors, values do not change after reading."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class MonaiTransform(Section):
    """Any MONAI transform by class name, with its arguments: ``{name: RandFlipd, prob: 0.5}``."""

    model_config = ConfigDict(extra="allow", frozen=True)

    name: str = Field(description="class name in monai.transforms, a dictionary transform (ends in d)")

    @property
    def arguments(self) -> dict[str, Any]:
        """The transform's keyword arguments."""
        return dict(self.__pydantic_extra__ or {})


class Data(Section):
    """Which images and masks there are."""

    root: Path = Field(Path(), description="folder that sheet, images and masks are relative to")
    sheet: Path | None = Field(
        None, description="sample sheet (.csv or .tsv) with columns image, mask or one per class, patient, ..."
    )
    images: list[str] = Field([], description="path patterns; wildcards such as {patient} become columns")
    masks: str | dict[ClassName, str] | None = Field(
        None, description="mask pattern with the images' wildcards, or one pattern per class"
    )
    missing_mask: Literal["quarantine", "empty"] = Field(
        "quarantine",
        description="an image with masks for some classes only: quarantine it, or take the others as empty",
    )
    patient_salt_file: Path | None = Field(
        None, description="file whose content salts the patient keys; keep it out of the results"
    )
    shards: Literal["auto"] | int = Field(
        "auto", description="number of shards, a power of two; auto: about 512 images each"
    )
    duplicates: Literal["error", "warn"] = Field(
        "error", description="the same picture labelled in two folds: stop, or only say so"
    )
    links: Literal["inside", "follow"] = Field(
        "inside", description="symbolic links: inside, they may not lead out of data.root; follow, they may"
    )
    seconds_per_image: int = Field(
        120, ge=1, description="CPU seconds after which reading one image is given up and the image quarantined"
    )
    tolerate: float = Field(
        0.1, ge=0, le=1, description="largest fraction of quarantined images of a run that counts as successful"
    )

    @field_validator("images", mode="before")
    @classmethod
    def _one_or_many(cls, value: Any) -> Any:
        return [value] if isinstance(value, str) else value

    @field_validator("shards")
    @classmethod
    def _power_of_two(cls, value: Literal["auto"] | int) -> Literal["auto"] | int:
        if isinstance(value, int) and (value < 1 or value & (value - 1)):
            raise ValueError(f"must be auto or a power of two (1, 2, 4, 8, ...), not {value}")
        return value

    @model_validator(mode="after")
    def _one_source(self) -> "Data":
        if bool(self.sheet) == bool(self.images):
            raise ValueError("give either sheet or images, not both and not neither")
        if self.sheet and self.masks:
            raise ValueError("masks are columns of the sheet; remove data.masks")
        return self


class Dicom(Section):
    """How DICOM values become grey values (docs/dicom.md)."""

    voi: Literal["auto", "window", "lut", "percentile", "none"] = Field(
        "auto",
        description="auto: the file's VOI LUT or window, else percentiles; window or lut: that or quarantine; "
        "percentile: ignore the file's; none: the whole declared range",
    )
    window: int = Field(0, ge=0, description="which of several windows, counted from 0")
    frame: Literal["first", "middle"] | Annotated[int, Field(ge=1)] | None = Field(
        None, description="which of several frames: first, middle, or its number from 1; null: quarantine"
    )
    j2k_resolution: Literal["auto", "full"] = Field(
        "full",
        description="auto: decode JPEG 2000 at the lowest resolution that is not below preprocess.size; "
        "full: at its own",
    )


class Raster(Section):
    """How PNG, JPEG, TIFF, BMP and GIF files are read (docs/rasters.md)."""

    page: Annotated[int, Field(ge=1)] | None = Field(
        None, description="which page of a TIFF with several, from 1; null: quarantine"
    )
    jpeg_resolution: Literal["auto", "full"] = Field(
        "full",
        description="auto: decode JPEG at the lowest of 1/1, 1/2, 1/4, 1/8 that is not below preprocess.size; "
        "full: at its own",
    )


class Checks(Section):
    """What makes an image worth a look: flags in the report, which change no pixel and no score (docs/checks.md)."""

    near_duplicates: int = Field(
        60,
        ge=0,
        le=128,
        description="largest number of different bits, of 256, in the perceptual hashes of near duplicates; "
        "0: look for exact duplicates only",
    )
    near_duplicate_fit: float = Field(
        0.99, ge=0, le=1, description="smallest R2 of one thumbnail fitted to the other that makes them near duplicates"
    )
    polarity: float = Field(
        0.15, ge=0, description="flag polarity where polarity_score is below minus this: the picture looks inverted"
    )
    orientation: float = Field(
        0.2,
        gt=0,
        description="flag orientation where, turned or mirrored, the thumbnail correlates better by this with the "
        "mean of all thumbnails",
    )
    flat: float = Field(0.9, gt=0, le=1, description="flag flat where one grey value fills this share of the picture")
    grey_levels: int = Field(
        16, ge=2, le=256, description="flag few_grey_levels where the picture has fewer of 256, as a mask would"
    )
    clipped: float = Field(
        0.25,
        gt=0,
        le=1,
        description="flag clipped where this share within the field has the darkest or brightest value",
    )
    aspect_ratio: float = Field(
        4.0, ge=1, description="flag aspect_ratio where the longer side is this many times the other"
    )
    tiny: float = Field(0.5, ge=0, description="flag tiny where the longer side is below this times preprocess.size")
    mask_full: float = Field(
        0.9, gt=0, le=1, description="flag mask_full where a class covers this share of the picture"
    )
    mask_outside: float = Field(
        0.05,
        ge=0,
        le=1,
        description="flag mask_outside where more than this share of a mask lies beyond the picture or field",
    )
    mask_area: float = Field(
        6.0, gt=0, description="flag mask_area where the robust z score of a class's area exceeds this"
    )

    def of_duplicates(self) -> "Checks":
        """The keys that decide on duplicates, the others at their defaults: what can stop a run before training."""
        return Checks(near_duplicates=self.near_duplicates, near_duplicate_fit=self.near_duplicate_fit)


class Preprocess(Section):
    """From any picture to the network's input."""

    size: Annotated[int, Field(ge=64, le=4096, multiple_of=32)] = Field(
        512, description="rows and columns of the network's input, a multiple of 32"
    )
    fit: Literal["letterbox", "stretch"] = Field(
        "letterbox", description="letterbox keeps the aspect ratio and pads; stretch does not"
    )
    percentiles: tuple[float, float] = Field(
        (0.5, 99.5), description="grey values that become black and white where the file prescribes no window"
    )
    dtype: Literal["uint8", "uint16"] = Field("uint8", description="precision of the stored images")
    transforms: list[MonaiTransform] = Field(
        [], description="MONAI intensity transforms applied after the fit to `image`, float32 in [0, 1]"
    )

    @field_validator("percentiles")
    @classmethod
    def _ordered(cls, value: tuple[float, float]) -> tuple[float, float]:
        if not 0 <= value[0] < value[1] <= 100:
            raise ValueError(f"must be two rising numbers in 0..100, not {value}")
        return value


class Folds(Section):
    """Which patients train, validate and test."""

    scheme: Literal["kfold", "holdout"] = Field(
        "kfold", description="kfold: every labelled image gets an out-of-fold score; holdout: one model, one test set"
    )
    k: int = Field(3, ge=2, le=20, description="number of folds")
    test_fraction: float = Field(0.25, gt=0, lt=1, description="share of patients held out (holdout)")
    val_fraction: float = Field(0.15, gt=0, lt=1, description="share of the other patients that choose the best epoch")
    column: str | None = Field(
        None,
        description="take folds from this column of the sheet instead: 0..k-1 for kfold, train/val/test for holdout",
    )

    @property
    def models(self) -> list[str]:
        """Names of the models a run trains: one per fold, or one."""
        return [f"fold{number}" for number in range(self.k)] if self.scheme == "kfold" else ["holdout"]


class Model(Section):
    """The network."""

    network: str = Field("unet", description="name in segpipe.model.networks; `segpipe doctor` lists them")
    options: dict[str, Any] = Field({}, description="the network's own arguments, such as channels")
    weights: Path | None = Field(
        None, description="apply this trained model (a folder with model.safetensors) and train nothing"
    )


class Train(Section):
    """How a model is trained."""

    epochs: int = Field(30, ge=1)
    batch_size: int = Field(2, ge=1)
    loss: Literal["bce", "dice", "dice_ce", "dice_focal"] = Field("dice_ce")
    optimizer: Literal["adam", "adamw", "sgd"] = Field("adamw")
    learning_rate: float = Field(2e-3, gt=0)
    weight_decay: float = Field(1e-4, ge=0)
    warmup_epochs: float = Field(1.0, ge=0, description="epochs of linear warm-up before the cosine")
    patience: int = Field(0, ge=0, description="stop after this many epochs without a better MIoU; 0: never")
    augment: Literal["light", "strong", "none"] | list[MonaiTransform] = Field(
        "light", description="light, strong, none, or a list of MONAI random transforms on keys image and mask"
    )
    preview_every: int = Field(5, ge=0, description="epochs between preview pictures; 0: none")
    device: Literal["auto", "cpu", "cuda"] = Field("auto")
    precision: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        "auto", description="auto: bfloat16 or float16 autocast on CUDA, float32 on a CPU"
    )
    threads: int = Field(2, ge=1, description="CPU threads of torch; part of what decides the bytes")
    workers: int = Field(
        0, ge=0, description="processes for a list of MONAI transforms in augment; do not change the result"
    )


class Predict(Section):
    """How masks are made."""

    batch_size: int = Field(4, ge=1, description="images at a time; does not change the result")
    threshold: float = Field(0.5, gt=0, lt=1)
    masks: Literal["auto", "labels", "per_class"] = Field(
        "auto", description="auto: one 0/255 PNG for one class, else in the form of the reference masks"
    )
    inferer: Literal["whole", "sliding_window"] = Field(
        "whole", description="MONAI SimpleInferer, or SlidingWindowInferer for inputs too large for memory"
    )
    device: Literal["auto", "cpu", "cuda"] = Field("auto")
    threads: int = Field(2, ge=1, description="CPU threads of torch")


class Report(Section):
    """What the report says."""

    title: str = Field("segpipe report")


class Config(Section):
    """A whole run."""

    name: str = Field("run", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", description="results go to <results>/<name>")
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
    report: Report = Report()

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


def canonical_json(value: Any) -> str:
    """The one JSON text of a value, for files that are compared and hashed.

    Keys keep their order: that of ``classes`` is the order of the network's channels.
    """
    return json.dumps(value, indent=1, ensure_ascii=False) + "\n"

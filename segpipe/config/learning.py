"""Who trains, on what network, and how: ``folds``, ``model``, ``train`` and ``compare``."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from segpipe.config.data import MonaiTransform, Section

VariantName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_]{0,39}$")]


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
    """The network, and weights to apply or to start from."""

    network: str = Field(
        "subpixel_unet", description="name in segpipe.models.networks.registry; `segpipe doctor` lists them"
    )
    options: dict[str, Any] = Field({}, description="the network's own arguments, such as channels")
    weights: list[Path] = Field(
        [],
        description="apply this trained model (a folder with model.safetensors), or several and their mean, and train "
        "nothing",
    )
    init: Path | None = Field(
        None,
        description="start training from the weights of this trained model; what does not fit starts at random, and "
        "the log lists it",
    )

    @field_validator("weights", mode="before")
    @classmethod
    def _one_or_many(cls, value: Any) -> Any:
        return [] if value is None else [value] if isinstance(value, str | Path) else value


class Train(Section):
    """How a model is trained."""

    epochs: Annotated[int, Field(ge=1)] | Literal["auto"] = Field(
        "auto", description="auto: as many as show the network 6,400 pictures, at least 10 and at most 300"
    )
    repeats: int = Field(
        1,
        ge=1,
        le=50,
        description="models per fold, each from a seed of its own; their mean predicts, and the "
        "report shows their spread",
    )
    patients: int = Field(0, ge=0, description="train on at most this many patients, drawn by the seed; 0: on all")
    batch_size: Annotated[int, Field(ge=1)] | Literal["auto"] = Field(
        2,
        description="images per step, over all devices; auto: the largest power of two that fits into a GPU's memory "
        "and leaves ten steps an epoch; 2 on a CPU",
    )
    loss: Literal["bce", "dice", "dice_ce", "dice_focal"] = Field("dice_ce")
    optimizer: Literal["adam", "adamw", "sgd"] = Field("adamw")
    learning_rate: float = Field(2e-3, gt=0)
    weight_decay: float = Field(1e-4, ge=0)
    warmup_epochs: float = Field(1.0, ge=0, description="epochs of linear warm-up before the cosine")
    ema: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="decay per step of the moving average of the weights, which is then what is validated and kept; "
        "0: the weights themselves",
    )
    patience: int = Field(0, ge=0, description="stop after this many epochs without a better MIoU; 0: never")
    freeze_encoder_epochs: int = Field(
        0, ge=0, description="epochs at the start in which the encoder's weights stay as model.init gave them"
    )
    augment: Literal["light", "strong", "none"] | list[MonaiTransform] = Field(
        "light", description="light, strong, none, or a list of MONAI random transforms on keys image and mask"
    )
    preview_every: int = Field(5, ge=0, description="epochs between preview pictures; 0: none")
    tensorboard: bool = Field(True, description="write curves and previews for TensorBoard, if it is installed")
    mlflow: str | None = Field(
        None, description="MLflow's tracking URI, such as sqlite:///mlflow.db: log parameters and curves there"
    )
    device: Literal["auto", "cpu", "cuda"] = Field("auto")
    precision: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        "auto", description="auto: bfloat16 or float16 autocast on CUDA, float32 on a CPU"
    )
    deterministic: bool = Field(
        True, description="the same bytes every time, for which CUDA uses slower kernels; a CPU has no others"
    )
    tf32: bool = Field(
        False, description="on CUDA, multiply float32 in TensorFloat-32: faster, with 10 bits of mantissa"
    )
    channels_last: Literal["auto"] | bool = Field(
        "auto", description="memory layout; auto: channels last on CUDA with autocast, where tensor cores like it"
    )
    compile: bool = Field(False, description="torch.compile the network: a minute at the start, then faster steps")
    gradient_checkpointing: bool = Field(
        False,
        description="compute activations twice instead of keeping them: a third slower, for networks that do not fit",
    )
    threads: int = Field(2, ge=1, description="CPU threads of torch; part of what decides the bytes")
    workers: int = Field(
        0, ge=0, description="processes for a list of MONAI transforms in augment; do not change the result"
    )


class Network(Section):
    """One of the networks to compare."""

    network: str = Field(description="name in segpipe.models.networks.registry")
    options: dict[str, Any] = Field({}, description="the network's own arguments")


class Compare(Section):
    """Train and score combinations on the same folds; writes comparison.csv and comparison.png (docs/compare.md)."""

    networks: dict[VariantName, Network] = Field(
        {}, description="networks by a name of your choice; empty: the config's model alone"
    )
    losses: list[Literal["bce", "dice", "dice_ce", "dice_focal"]] = Field([], description="empty: that of train")
    patients: list[Annotated[int, Field(ge=0)]] = Field(
        [], description="numbers of patients to train on, 0 for all; empty: that of train"
    )
    repeats: int = Field(1, ge=1, le=50, description="seeds of each combination")

    @field_validator("losses", "patients")
    @classmethod
    def _each_once(cls, value: list[Any]) -> list[Any]:
        twice = sorted({item for item in value if value.count(item) > 1})
        if twice:
            raise ValueError(f"{twice[0]} is listed twice; each combination is trained once")
        return value

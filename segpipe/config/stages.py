"""What each stage sees of the config, and nothing more."""

from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import Field, ValidationError

from segpipe import __version__
from segpipe.config import (
    Checks,
    ClassValues,
    Config,
    Dicom,
    Folds,
    Model,
    Predict,
    Preprocess,
    Raster,
    Score,
    Section,
    Train,
)
from segpipe.config.data import have_label_values
from segpipe.config.variants import RUN, Variant, trials, variants
from segpipe.errors import ConfigError
from segpipe.files.atomic import canonical_json
from segpipe.files.source import file_stamp

# Engines whose packages are optional: which are installed here, and which of them ``predict.engine: auto`` takes.
#
# The scan asks, so nothing here imports them, or torch.

# What an engine needs besides torch; the extra that brings it has the engine's name.
NEEDED = {"openvino": ("openvino",)}
FASTEST = ("openvino",)  # on a CPU, before PyTorch (docs/engines.md says from what)


def not_installed(engine: str) -> list[str]:
    """The packages that an engine lacks here."""
    return [package for package in NEEDED.get(engine, ()) if find_spec(package) is None]


def fastest_on_a_cpu() -> str:
    """What ``auto`` means on a CPU with what is installed here."""
    return next((engine for engine in FASTEST if not not_installed(engine)), "torch")


# What each stage sees of the config, and nothing more.
#
# The scan writes these to ``results/<name>/config/<stage>-<hash>.json``; a rule takes its file as an input. So
# a new report title retrains nothing, and a verb run by hand sees exactly what Snakemake gave it. A trial
# (:mod:`segpipe.config.variants`) has files of its own for what differs in it, in its own folder ``config``.


class ReadStage(Section):
    """Where images and masks lie and how their values are read."""

    root: Path
    classes: dict[str, ClassValues]
    missing_mask: Literal["quarantine", "empty"]
    links: Literal["inside", "follow"]


class PreprocessStage(ReadStage):
    """Raw files to the shard store."""

    version: str  # another version may decide otherwise, so it reads everything again
    patient_salt_file: Path | None
    patient_salt_stamp: str  # a new salt gives new keys, so every shard is read again
    seconds_per_image: int
    dicom: Dicom
    raster: Raster
    preprocess: Preprocess


class DatasetStage(Section):
    """Gathering the shards: folds and duplicates."""

    seed: int
    classes: list[str]
    duplicates: Literal["error", "warn"]
    checks: Checks
    folds: Folds


class TrainStage(Section):
    """One model; ``preprocess``, ``dicom`` and ``raster`` are what it records of how its pictures were read."""

    seed: int
    classes: dict[str, ClassValues]
    dicom: Dicom
    raster: Raster = Raster()
    preprocess: Preprocess
    model: Model
    train: Train


class PredictStage(Section):
    """Applying models to a shard."""

    classes: dict[str, ClassValues]
    dicom: Dicom
    preprocess: Preprocess
    predict: Predict
    label_masks: bool  # one file for all classes, as the reference masks of this run have
    labelled_only: bool = False  # where masks are made for their scores alone
    engine_on_cpu: str = ""  # what predict.engine: auto means there in all shards: the fastest that the scan found


class ScoreStage(ReadStage):
    """Comparing masks at the original resolution."""

    score: Score = Score()


class ReportStage(Section):
    """Tables and pictures at the end."""

    title: str
    checks: Checks
    classes: list[str]
    carried: list[str]
    repeats: int = 1
    seed: int = 0
    language: Literal["en", "zh"] = "en"
    cases: int = 24
    score: Score = Score()
    by: list[str] = Field(default_factory=list)
    bands: dict[str, list[float]] = Field(default_factory=dict)


class ComparedVariant(Section):
    """One row of a comparison."""

    name: str
    label: str
    network: str
    loss: str
    patients: int


class CompareStage(Section):
    """Tables and picture of a comparison; the first variant is what the others are compared with."""

    title: str
    seed: int
    classes: list[str]
    models: list[str]  # of the first seed
    repeats: int
    variants: list[ComparedVariant]
    predict: Predict
    size: int


class ProvenanceStage(Section):
    """What a run was made from: all of the config, as :func:`segpipe.config.load.parse_config` reads it."""

    config: dict[str, Any]


Stage = TypeVar("Stage", bound=Section)


def stage_configs(config: Config, carried: list[str]) -> dict[str, Section]:
    """The config of every stage; ``carried`` are the sample columns that go to the report.

    The stages of a trial have its folder before their names: ``compare/<variant>/train``.
    """
    classes = config.class_values
    data = config.data
    read = {"root": data.root, "classes": classes, "missing_mask": data.missing_mask, "links": data.links}
    names = list(classes)
    return {
        "preprocess": PreprocessStage(
            **read,
            version=__version__,
            patient_salt_file=data.patient_salt_file,
            patient_salt_stamp=file_stamp(data.patient_salt_file) if data.patient_salt_file else "",
            seconds_per_image=data.seconds_per_image,
            dicom=config.dicom,
            raster=config.raster,
            preprocess=config.preprocess,
        ),
        "dataset": DatasetStage(
            seed=config.seed,
            classes=names,
            duplicates=data.duplicates,
            checks=config.checks.of_duplicates(),
            folds=config.folds,
        ),
        "score": ScoreStage(**read, score=_measured(config)),
        "report": ReportStage(
            title=config.report.title,
            checks=config.checks,
            classes=names,
            carried=carried,
            repeats=1 if config.model.weights else config.train.repeats,
            seed=config.seed,
            language=config.report.language,
            cases=config.report.cases,
            score=_measured(config),
            by=config.report.by,
            bands=config.report.bands,
        ),
        "provenance": ProvenanceStage(config=config.model_dump(mode="json")),
        **_of_trials(config),
    }


def _measured(config: Config) -> Score:
    """The section ``score``; without probabilities there is no calibration."""
    kept = config.predict.probabilities != "none"
    return config.score.model_copy(update={"calibration": config.score.calibration and kept})


def _of_trials(config: Config) -> dict[str, Section]:
    """Training and prediction of the run and of every other trial, and what brings variants together."""
    contract = {"classes": config.class_values, "dicom": config.dicom, "preprocess": config.preprocess}
    # The number of seeds is no part of a model: with one more, those that are there stay as they are.
    one_seed = config.train.model_copy(update={"repeats": 1})
    found: dict[str, Section] = {
        "train": TrainStage(seed=config.seed, **contract, raster=config.raster, model=config.model, train=one_seed)
    }
    for trial in trials(config):
        found[f"{trial}predict"] = PredictStage(
            **contract,
            predict=config.predict,
            label_masks=have_label_values(config.class_values),
            labelled_only=trial != RUN,
            engine_on_cpu=fastest_on_a_cpu() if config.predict.engine == "auto" else "",
        )
    compared = variants(config)
    for variant in compared:
        stage = TrainStage(seed=config.seed, **contract, raster=config.raster, model=variant.model, train=variant.train)
        found[f"{variant.folder}train"] = stage
    return found | ({"compare": _comparison(config, compared)} if config.compare else {})


def _comparison(config: Config, compared: list[Variant]) -> CompareStage:
    assert config.compare
    axes = ("name", "label", "network", "loss", "patients")
    return CompareStage(
        title=config.report.title,
        seed=config.seed,
        classes=list(config.class_values),
        models=config.folds.models,
        repeats=config.compare.repeats,
        variants=[ComparedVariant(**{axis: getattr(variant, axis) for axis in axes}) for variant in compared],
        predict=config.predict,
        size=config.preprocess.size,
    )


def stage_file(stage: str, fingerprint: str) -> str:
    """Where a stage's file lies below the results: ``compare/x/train`` is ``compare/x/config/train-<hash>.json``."""
    folder, slash, name = stage.rpartition("/")
    return f"{folder}{slash}config/{name}-{fingerprint}.json"


def stage_name(path: Path) -> str:
    """The reverse of :func:`stage_file` for a file's name: ``train`` of ``config/train-<fingerprint>.json``."""
    return path.stem.rpartition("-")[0]


def stage_text(stage: Section) -> str:
    """The file's text: the same for equal configs."""
    return canonical_json(stage.model_dump(mode="json"))


def load_stage(path: Path, kind: type[Stage]) -> Stage:
    """Read a stage's file back.

    Raises:
        ConfigError: the file is missing, or was not written by this version's scan.
    """
    try:
        return kind.model_validate_json(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}. `segpipe scan CONFIG` writes it.") from None
    except ValidationError as error:
        first = error.errors()[0]
        raise ConfigError(
            f"{path} does not fit this version of segpipe: {'.'.join(map(str, first['loc']))}: {first['msg']}. "
            "`segpipe scan CONFIG` writes it again."
        ) from None

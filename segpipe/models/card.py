"""What a model needs to be applied: its card, ``model.json``, and whether it fits a config.

Read without torch, so that a wrong model is found before any job runs.
"""

from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from segpipe import __version__
from segpipe.config import ClassValues, Config, Dicom, Preprocess, Raster
from segpipe.errors import ConfigError, InputError
from segpipe.files.atomic import read_json
from segpipe.models.networks.registry import check_options

WEIGHTS = "model.safetensors"
SEEN = "training.csv"
GREYS = ("voi", "window")  # of the DICOM policy; the rest chooses pictures and how finely they are decoded


@dataclass(frozen=True)
class ModelCard:
    """What a model needs to be applied; ``provenance`` is for people. Cards of older models have no ``raster``."""

    network: str
    options: dict[str, Any]
    classes: dict[str, ClassValues]
    preprocess: dict[str, Any]
    dicom: dict[str, Any]
    provenance: dict[str, Any]
    raster: dict[str, Any] = field(default_factory=dict)


def read_card(folder: Path) -> ModelCard:
    """The model's contract.

    Raises:
        InputError: not a model's folder, or written by a version of segpipe that is not understood here.
    """
    path = folder / "model.json"
    values = read_json(
        path,
        missing="{path} is not a segpipe model ({reason}). A model is a folder with model.json and model.safetensors, "
        "as results/<name>/models/fold0.",
        damaged="{path} is not a segpipe model: no JSON ({reason}). Copy the folder again.",
    )
    found = list(values) if isinstance(values, dict) else []
    needed = [each.name for each in fields(ModelCard) if each.default_factory is MISSING]
    missing = [name for name in needed if name not in found]
    unknown = sorted(set(found) - {each.name for each in fields(ModelCard)})
    if missing or unknown:
        lacks = f"lacks {', '.join(missing)}" if missing else f"has keys unknown here: {', '.join(unknown)}"
        raise InputError(
            f"{path} is not a model of this version of segpipe ({__version__}): it {lacks}. Use the version that "
            "trained it, or train again."
        )
    return ModelCard(**values)


def pictures_wanted(card: ModelCard, folder: Path) -> tuple[Preprocess, Dicom, Raster]:
    """How pictures are read and prepared for the model.

    Raises:
        InputError: another version of segpipe wrote settings that this one does not know.
    """
    try:
        return (
            Preprocess.model_validate(card.preprocess),
            Dicom.model_validate(card.dicom),
            Raster.model_validate(card.raster),
        )
    except ValidationError as error:
        first = error.errors()[0]
        raise InputError(
            f"{folder}/model.json wants pictures prepared as this version of segpipe ({__version__}) does not know: "
            f"{'.'.join(map(str, first['loc']))}: {first['msg']}. Use the version that trained the model."
        ) from None


def pictures_seen(folder: Path) -> set[str]:
    """Hashes of the pictures that trained or validated a model (``training.csv`` beside it); empty if unknown."""
    path = folder / SEEN
    return set(path.read_text(encoding="utf-8").split()[1:]) if path.exists() else set()


def contract_differences(card: ModelCard, preprocess: Preprocess, dicom: Dicom, other: str = "the config") -> list[str]:
    """Every key that decides what the network sees and differs, with the model's value and that of ``other``."""
    greys = dicom.model_dump(mode="json", include=set(GREYS))
    wanted = {"preprocess": card.preprocess, "dicom": {key: card.dicom.get(key) for key in GREYS}}
    found = {"preprocess": preprocess.model_dump(mode="json"), "dicom": greys}
    return [
        f"{section}.{key}: {values.get(key)!r} ({other} says {found[section].get(key)!r})"
        for section, values in wanted.items()
        for key in {**values, **found[section]}
        if found[section].get(key) != values.get(key)
    ]


def check_contract(
    card: ModelCard,
    folder: Path,
    classes: dict[str, ClassValues],
    preprocess: Preprocess,
    dicom: Dicom,
    other: str = "the config",
) -> None:
    """Refuse to apply a model to pictures prepared in another way than it was trained on.

    ``other`` says, for the message, where the wrong values stand.

    Raises:
        ConfigError: names every key that differs, with the value the model needs.
    """
    differing = contract_differences(card, preprocess, dicom, other)
    if list(classes) != list(card.classes):
        differing.append(f"classes: {', '.join(card.classes)} in this order ({other} says {', '.join(classes)})")
    if differing:
        raise ConfigError(
            f"The model in {folder} was trained with other settings; it needs\n  " + "\n  ".join(differing)
        )


def check_models(config: Config) -> None:
    """Check whether the networks and models that a config asks for can be had: ``model``, ``compare.networks``.

    Raises:
        ConfigError: an unknown network or option, or a given model of other settings; the text names it.
        InputError: a folder that holds no model.
    """
    # Where given models or a comparison's networks take its place, the config's own need not fit the pictures.
    replaced = config.model.weights or (config.compare and config.compare.networks)
    check_options(config.model.network, config.model.options, None if replaced else config.preprocess.size)
    for name, each in (config.compare.networks if config.compare else {}).items():
        try:
            check_options(each.network, each.options, config.preprocess.size)
        except ConfigError as error:
            raise ConfigError(f"compare.networks.{name}.{str(error).removeprefix('model.')}") from None
    for number, folder in enumerate(config.model.weights):
        if folder.absolute() in [other.absolute() for other in config.model.weights[:number]]:
            raise ConfigError(f"model.weights: {folder} is listed twice, so that it would count double in the mean.")
        check_contract(read_card(folder), folder, config.class_values, config.preprocess, config.dicom)
    if config.model.init:
        read_card(config.model.init)  # training lists what does not fit

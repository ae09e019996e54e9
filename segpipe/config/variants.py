"""What is trained, predicted and scored apart: the run itself, each seed alone, each variant of a comparison.

A trial is a folder below the results, ``""`` for the run itself. All trials share shards, dataset and folds,
and are served by the same rules; a trial that is added or removed touches no other.
"""

from collections.abc import Mapping, Sized
from dataclasses import dataclass
from itertools import product

from segpipe.config import Config, Model, Train

RUN = ""


@dataclass(frozen=True)
class Variant:
    """One combination of a comparison; ``network``, ``loss`` and ``patients`` are its place on the three axes.

    ``name`` is its folder below ``compare/``. It names all three, also where one does not vary: an axis that
    gets a second value must not rename, and so train again, what is there. ``label`` leaves those out.
    """

    name: str
    label: str
    network: str
    loss: str
    patients: int
    model: Model
    train: Train

    @property
    def folder(self) -> str:
        """The trial that trains this variant."""
        return f"compare/{self.name}/"


def variants(config: Config) -> list[Variant]:
    """The combinations in the order of the config: networks first, then losses, then patients."""
    compare = config.compare
    if not compare:
        return []
    own = config.model
    networks = {
        name: Model(network=each.network, options=each.options, init=own.init)
        for name, each in compare.networks.items()
    } or {own.network: own}
    losses = compare.losses or [config.train.loss]
    patients = compare.patients or [config.train.patients]
    found = []
    for name, loss, most in product(networks, losses, patients):
        train = config.train.model_copy(update={"loss": loss, "patients": most, "repeats": 1})
        slug = "-".join((name, loss, f"{most}patients" if most else "all"))
        label = _label({name: networks, loss: losses, f"{most} patients" if most else "all patients": patients})
        found.append(Variant(slug, label, name, loss, most, networks[name], train))
    return found


def _label(axes: Mapping[str, Sized]) -> str:
    """What a variant is on those axes that vary, for people; its network where none does."""
    said = [text for text, axis in axes.items() if len(axis) > 1]
    return ", ".join(said) or next(iter(axes))


def repeat_folder(trial: str, repeat: int) -> str:
    """The trial in which one seed of a trial predicts alone; repeats count from 1."""
    return f"{trial}repeats/{repeat}/"


def model_name(plain: str, repeat: int) -> str:
    """A model's name from its fold's: the first seed has the fold's own, so that more seeds leave it as it is."""
    return plain if repeat == 1 else f"{plain}-r{repeat}"


def plain_name(model: str) -> str:
    """The fold's name from a model's, as the columns ``role:<name>`` of the dataset table have it.

    >>> plain_name("fold0-r2"), plain_name("holdout")
    ('fold0', 'holdout')
    """
    return model.split("-r")[0]


def trials(config: Config) -> dict[str, list[str]]:
    """For each trial the folders of the models that predict in it, below the results.

    A trial whose models come from several seeds has, for each seed, a trial of that seed alone. With given
    models (``model.weights``) there is the run alone, and it has no models of its own.
    """
    if config.model.weights:
        return {RUN: []}
    found: dict[str, list[str]] = {}
    compared = config.compare.repeats if config.compare else 1
    seeds = {RUN: config.train.repeats, **{variant.folder: compared for variant in variants(config)}}
    for trial, repeats in seeds.items():
        of_repeat = {
            repeat: [f"{trial}models/{model_name(plain, repeat)}" for plain in config.folds.models]
            for repeat in range(1, repeats + 1)
        }
        found[trial] = [folder for folders in of_repeat.values() for folder in folders]
        if repeats > 1:
            found |= {repeat_folder(trial, repeat): folders for repeat, folders in of_repeat.items()}
    return found

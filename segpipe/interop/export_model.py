"""`segpipe export`: one trained model into a folder, in the forms asked for."""

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

from torch import nn

from segpipe import __version__
from segpipe.errors import ConfigError, InputError
from segpipe.files.atomic import atomic_path, canonical_json, write_text
from segpipe.interop.bundle import write_bundle
from segpipe.interop.graph import check_installed, export_graph, parity, run_onnx, run_program, save_onnx, save_program
from segpipe.interop.model_card import model_card
from segpipe.models.card import ModelCard, pictures_wanted, read_card
from segpipe.models.weights import load_model, weights_hash
from segpipe.predict.ensemble import CARD

Format = Literal["bundle", "onnx", "torch-export"]
FORMATS: tuple[Format, ...] = ("bundle", "onnx", "torch-export")


def export_model(folder: Path, output: Path, formats: Sequence[Format], results: Path | None = None) -> list[str]:
    """Write the model's files into ``output``; returns a line about each.

    ``results`` is the folder of the run that trained the model: its scores go into the card. An exported graph is
    compared with the model before it gets its name.

    Raises:
        InputError, ConfigError: no model, a damaged one, or one that cannot be exported.
    """
    if not (folder / CARD).exists() and (found := sorted(path.parent for path in folder.glob(f"*/{CARD}"))):
        raise ConfigError(f"{folder} holds {len(found)} models. Export one, such as {found[0]}.")
    if output.absolute() == folder.absolute() or (output / "models").absolute() == folder.absolute():
        raise ConfigError(f"{output} is where the model is. Export into another folder.")
    _refuse_others(folder, output)
    if "onnx" in formats:
        check_installed()
    card = read_card(folder)
    pictures_wanted(card, folder)
    network = load_model(folder)
    text = model_card(folder, card, results)  # what it refuses leaves no half an export
    lines = list(_files(folder, output, card, network, formats))
    return [*lines, _write_card(output / "MODEL_CARD.md", text)]


def _refuse_others(folder: Path, output: Path) -> None:
    """Files of two models in one folder would pass for one model's."""
    models = output / "models"
    if any(models.glob(f"*/{CARD}")):
        raise ConfigError(f"{output} is the results folder of a run. Export into another folder.")
    if (models / "model.safetensors").exists() and weights_hash(models) != weights_hash(folder):
        raise ConfigError(
            f"{output} holds another model's export, of which the model card and files in other formats would stay. "
            "Delete it, or export into another folder."
        )


def _files(folder: Path, output: Path, card: ModelCard, network: nn.Module, formats: Sequence[Format]) -> Iterator[str]:
    """Write all of them; yields what was written and how well it agrees."""
    models = output / "models"
    for name in ("model.safetensors", CARD):
        with atomic_path(models / name) as temporary:
            shutil.copyfile(folder / name, temporary)
    if "bundle" in formats:
        write_bundle(card, network, output)
        yield f"{output}: a MONAI bundle, which runs the same code"
    if not set(formats) - {"bundle"}:
        return
    graph, size, contract = export_graph(network, card), int(card.preprocess["size"]), _contract(folder, card)
    if "onnx" in formats:
        with atomic_path(path := models / "model.onnx") as temporary:
            save_onnx(graph, temporary, {"segpipe.contract": contract, "segpipe.version": __version__})
            agreement = parity(network, run_onnx(temporary), size, path.name)
        yield f"{path}: {agreement}"
    if "torch-export" in formats:
        with atomic_path(path := models / "model.pt2") as temporary:
            save_program(graph, temporary, contract)
            agreement = parity(network, run_program(temporary), size, path.name)
        yield f"{path}: {agreement}"


def _contract(folder: Path, card: ModelCard) -> str:
    """What a program that runs the graph has to know, as JSON."""
    facts = {name: value for name, value in vars(card).items() if name != "provenance"}
    return canonical_json({"segpipe": __version__, "weights_sha256": weights_hash(folder), **facts})


def _write_card(path: Path, text: str) -> str:
    """A card that somebody has completed is not overwritten."""
    if path.exists() and path.read_text(encoding="utf-8") != text:
        new = path.with_suffix(".new.md")
        write_text(new, text)
        return f"{new}: the new card; {path.name} says something else and was left as it is"
    write_text(path, text)
    return f"{path}: for people; please read and complete it"


def check_formats(formats: Sequence[str]) -> list[Format]:
    """The formats asked for, each once.

    Raises:
        InputError: there is no such format.
    """
    unknown = sorted(set(formats) - set(FORMATS))
    if unknown:
        raise InputError(f"--format {unknown[0]}: there are {', '.join(FORMATS)}.")
    return [known for known in FORMATS if known in formats]

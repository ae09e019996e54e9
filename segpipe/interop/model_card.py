"""MODEL_CARD.md: what a reader has to know before trusting a model (after Mitchell et al. 2019, Model cards).

It tells numbers of images and patients, never a name, key or path of any.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from segpipe import __version__
from segpipe.config.stages import ReportStage, load_stage
from segpipe.config.variants import plain_name
from segpipe.errors import InputError
from segpipe.files.atomic import canonical_json
from segpipe.models.card import ModelCard
from segpipe.models.weights import weights_hash
from segpipe.report.table import run_table
from segpipe.samples.scan import scan_of_run
from segpipe.score.summary import METHOD, of_images

ADVICE = "Give the results folder of the finished run that trained the model, as results/<name>."
NONE = "–"  # in a table's cell


@dataclass(frozen=True)
class Tested:
    """The report's rows of images whose patients the model never saw, and how the run made them."""

    rows: pd.DataFrame
    seed: int
    repeats: int


def model_card(folder: Path, card: ModelCard, results: Path | None = None) -> str:
    """The card as Markdown; ``results`` is the folder of the run that trained the model, for its scores.

    Raises:
        InputError: ``results`` is not the folder of a finished run of this model.
    """
    tested = _tested(folder, card, results) if results else None
    parts = [
        [f"# Segmentation of {', '.join(card.classes)} in radiographs", "", *_facts(folder, card)],
        ["## Data", "", *_data(card, tested)],
        ["## Scores", "", *_scores(card, tested)],
        ["## Intended use", "", *USE],
        ["## Limits", "", *_limits(card)],
        ["## How images are prepared", "", "```json", _preparation(card), "```"],
        ["## How it was trained", "", "```json", canonical_json(card.provenance).rstrip(), "```"],
    ]
    return "\n\n".join("\n".join(part) for part in parts) + "\n"


USE = (
    "Research: measuring structures on radiographs like those it was trained on, with a person who looks at the masks.",
    "It is no medical device, was examined by no authority, and must not be the ground of a decision about a patient.",
    "",
    "*To be completed by those who pass the model on: for which question, which patients, which devices; licence of",
    "model and data; whom to ask.*",
)


def _facts(folder: Path, card: ModelCard) -> Iterator[str]:
    yield "| | |"
    yield "|---|---|"
    yield f"| network | `{card.network}`, options `{card.options or 'defaults'}` |"
    yield f"| classes | {', '.join(card.classes)}; each pixel may belong to several |"
    yield f"| input | one grey image, {card.preprocess.get('size')} x {card.preprocess.get('size')} pixels |"
    yield f"| model of the run | {card.provenance.get('model', 'unknown')} |"
    yield f"| exported by | segpipe {__version__} |"
    trained = [f"{name} {card.provenance[name]}" for name in ("segpipe", "torch") if name in card.provenance]
    yield f"| trained by | {', '.join(trained) or 'unknown'} |"
    yield f"| SHA-256 of the weights | `{weights_hash(folder)}` |"
    yield f"| training fingerprint | `{card.provenance.get('fingerprint', 'unknown')}` |"


def _data(card: ModelCard, tested: Tested | None) -> Iterator[str]:
    """What trained the model, as it recorded itself; what tested it, from the run."""
    yield "| used for | images | patients |"
    yield "|---|---:|---:|"
    for role, what in (("train", "training"), ("val", "choosing the best epoch")):
        images, patients = (card.provenance.get(f"{role}_{name}", "unknown") for name in ("images", "patients"))
        yield f"| {what} | {images} | {patients} |"
    if tested:
        yield f"| testing, never seen by the model | {len(tested.rows)} | {tested.rows['patient'].nunique()} |"
    yield ""
    yield "Patients were drawn as a whole: no patient stands in two rows. Only images with reference masks are counted."


def _scores(card: ModelCard, tested: Tested | None) -> Iterator[str]:
    if not tested:
        best = card.provenance.get("val_miou")
        yield "No test scores are at hand: export with `--results results/<name>`."
        if best is not None:
            yield f"The best epoch reached an MIoU of {best} on the images that chose it, which flatters the model."
        return
    yield "Of images whose patients the model never saw."
    if tested.repeats > 1:
        yield "Each was predicted by the mean of all repeats of this model, so these are the scores of that mean."
    yield ""
    yield "| score | mean | 95 % interval | lowest image |"
    yield "|---|---:|---:|---:|"
    names = ["miou", "miou_foreground", *(f"{score}_{name}" for score in ("iou", "dice") for name in card.classes)]
    for name, found in of_images(tested.rows, names, tested.seed).items():
        yield f"| {name} | {_digits(found['mean'])} | {_interval(found)} | {_digits(tested.rows[name].min())} |"
    yield ""
    yield (
        f"{len(tested.rows)} images of {tested.rows['patient'].nunique()} patients, compared at their original size. "
        f"The interval is of the mean, as in the run's report ({METHOD}); it says what other patients of the same "
        "kind would change, not what another hospital would."
    )
    yield from _sites(tested.rows)


def _interval(found: Mapping[str, float | None]) -> str:
    return NONE if found["low"] is None else f"{_digits(found['low'])} to {_digits(found['high'])}"


def _digits(value: float | None) -> str:
    return NONE if value is None or pd.isna(value) else f"{value:.3f}"


def _sites(rows: pd.DataFrame) -> Iterator[str]:
    sites = rows[rows["site"] != ""].groupby("site", sort=True)
    if len(sites) > 1:
        yield ""
        yield "| site | images | miou |"
        yield "|---|---:|---:|"
        for site, group in sites:
            yield f"| {str(site).replace('|', ' ')} | {len(group)} | {group['miou'].mean():.3f} |"


def _limits(card: ModelCard) -> Iterator[str]:
    yield "- Images of other views, devices, ages or diseases than in the training data: nothing is known of these."
    yield "- It finds its classes in any image, even where they are absent; it does not say how sure it is."
    sided = [name for name in card.classes if {"left", "right"} & set(name.split("_"))]
    if sided:
        yield f"- {', '.join(sided)}: a mirrored image gets the wrong side."
    yield "- Scores compare with the run's reference masks; if these are wrong in a systematic way, so is the model."
    yield "- Training data are not part of this folder, nor is the list of hashes of the images that were seen."


def _preparation(card: ModelCard) -> str:
    sections = ("preprocess", "dicom", "raster", "classes")
    return canonical_json({name: getattr(card, name) for name in sections}).rstrip()


def _check_run(folder: Path, card: ModelCard, results: Path) -> None:
    """Scores of other weights would be a lie."""
    own = results / "models" / str(card.provenance.get("model", ""))
    if not (own / "model.safetensors").exists() or weights_hash(own) != weights_hash(folder):
        raise InputError(
            f"--results {results}: the run there has not trained the model in {folder} (its models are others, or were "
            "trained again since), so its scores are not this model's."
        )


def _tested(folder: Path, card: ModelCard, results: Path) -> Tested:
    """The report's rows of the fold that the model never saw.

    They come from the stages' tables, so that nothing which somebody changes in report.csv gets into a card.
    """
    _check_run(folder, card, results)
    try:
        found = scan_of_run(results)
    except InputError as error:
        raise InputError(f"--results: {error} {ADVICE}") from None
    stage = load_stage(results / found.stage("report"), ReportStage)
    table = run_table(stage, results, sorted(found.shards), with_folds=True)
    rows = table[table["status"] == "scored"]
    model = plain_name(str(card.provenance.get("model", "")))
    if model.startswith("fold"):
        rows = rows[pd.to_numeric(rows["fold"], errors="coerce") == int(model.removeprefix("fold"))]
    if rows.empty:
        raise InputError(f"--results {results}: the run scores no image of the fold that {model} never saw.")
    return Tested(rows, stage.seed, stage.repeats)

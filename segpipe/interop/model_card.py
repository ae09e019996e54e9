"""MODEL_CARD.md: what a person has to know before trusting a model (after Mitchell et al. 2019, Model cards).

It tells numbers of images and patients, never a name, key or path of any.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from segpipe import __version__
from segpipe.config.stages import ReportStage, load_stage
from segpipe.config.variants import plain_name
from segpipe.errors import InputError
from segpipe.files.json_file import canonical_json
from segpipe.models.card import ModelCard
from segpipe.models.weights import weights_hash
from segpipe.report.stage import run_table
from segpipe.samples.scan import newest_scan
from segpipe.score.summary import of_images

ADVICE = "Give the results folder of the finished run that trained the model, as results/<name>."


def model_card(folder: Path, card: ModelCard, results: Path | None) -> str:
    """The card as Markdown; ``results`` is the folder of the run that trained the model, for its scores.

    Raises:
        InputError: ``results`` is not the folder of a finished run of this model.
    """
    if results:
        _check_run(folder, card, results)
    parts = [
        [f"# Segmentation of {', '.join(card.classes)} in radiographs", "", *_facts(folder, card)],
        ["## Data", "", *_data(card, results)],
        ["## Scores", "", *_scores(card, results)],
        ["## Intended use", "", *USE],
        ["## Limits", "", *_limits(card)],
        ["## How pictures are prepared", "", "```json", _contract(card), "```"],
        ["## How it was trained", "", "```json", canonical_json(card.provenance).rstrip(), "```"],
    ]
    return "\n\n".join("\n".join(part) for part in parts) + "\n"


USE = (
    "Research: measuring structures on radiographs like those it was trained on, with a person who looks at the masks.",
    "It is no medical device, was examined by no authority, and must not be the ground of a decision about a patient.",
    "",
    "*To be completed by who passes the model on: for which question, which patients, which devices; licence of model",
    "and data; whom to ask.*",
)


def _facts(folder: Path, card: ModelCard) -> Iterator[str]:
    yield "| | |"
    yield "|---|---|"
    yield f"| network | `{card.network}`, options `{card.options or 'defaults'}` |"
    yield f"| classes | {', '.join(card.classes)}; each pixel may belong to several |"
    yield f"| input | one grey picture, {card.preprocess.get('size')} x {card.preprocess.get('size')} pixels |"
    yield f"| model of the run | {card.provenance.get('model', 'unknown')} |"
    yield f"| exported by | segpipe {__version__} |"
    trained = [f"{name} {card.provenance[name]}" for name in ("segpipe", "torch") if name in card.provenance]
    yield f"| trained by | {', '.join(trained) or 'unknown'} |"
    yield f"| SHA-256 of the weights | `{weights_hash(folder)}` |"
    yield f"| training contract | `{card.provenance.get('contract', 'unknown')}` |"


def _data(card: ModelCard, results: Path | None) -> Iterator[str]:
    """What trained the model, as it recorded itself; what tested it, from the run."""
    yield "| used for | images | patients |"
    yield "|---|---:|---:|"
    for role, what in (("train", "training"), ("val", "choosing the best epoch")):
        images, patients = (card.provenance.get(f"{role}_{name}", "unknown") for name in ("images", "patients"))
        yield f"| {what} | {images} | {patients} |"
    tested = _tested(card, results)
    if tested is not None:
        yield f"| testing, never seen by the model | {len(tested)} | {tested['patient'].nunique()} |"
    yield ""
    yield "Patients were drawn as a whole: no patient stands in two rows. Only images with reference masks are counted."


def _scores(card: ModelCard, results: Path | None) -> Iterator[str]:
    report = _report(card, results)
    if report is None:
        best = card.provenance.get("val_miou")
        yield "No test scores are at hand: export with `--results results/<name>`."
        if best is not None:
            yield f"The best epoch reached an MIoU of {best} on the images that chose it, which flatters the model."
        return
    who, rows, seed = report
    yield who
    yield ""
    yield "| score | mean | 95 % interval | lowest image |"
    yield "|---|---:|---:|---:|"
    names = ["miou", "miou_foreground", *(f"{score}_{name}" for score in ("iou", "dice") for name in card.classes)]
    for name, found in of_images(rows, names, seed).items():
        ends = "" if found["low"] is None else f"{found['low']:.3f} to {found['high']:.3f}"
        yield f"| {name} | {found['mean']:.3f} | {ends} | {rows[name].min():.3f} |"
    yield ""
    yield (
        f"{len(rows)} images of {rows['patient'].nunique()} patients, compared at their original size. The interval is "
        "of the mean, as in the run's report; it says what other patients of the same kind would change, not what "
        "another hospital would."
    )
    yield from _sites(rows)


def _sites(rows: pd.DataFrame) -> Iterator[str]:
    sites = rows[rows["site"] != ""].groupby("site", sort=True)
    if len(sites) > 1:
        yield ""
        yield "| site | images | miou |"
        yield "|---|---:|---:|"
        for site, group in sites:
            yield f"| {str(site).replace('|', ' ')} | {len(group)} | {group['miou'].mean():.3f} |"


def _limits(card: ModelCard) -> Iterator[str]:
    yield "- Pictures of other views, devices, ages or diseases than in the training data: nothing is known of these."
    yield "- It finds its classes in any picture, also where there are none; it does not say how sure it is."
    sided = [name for name in card.classes if {"left", "right"} & set(name.split("_"))]
    if sided:
        yield f"- {', '.join(sided)}: a mirrored picture gets the wrong side."
    yield "- Scores compare with the run's reference masks; if these are wrong in a systematic way, so is the model."
    yield "- Training data are not part of this folder, nor is the list of hashes of the pictures that were seen."


def _contract(card: ModelCard) -> str:
    return canonical_json({"preprocess": card.preprocess, "dicom": card.dicom, "classes": card.classes}).rstrip()


def _check_run(folder: Path, card: ModelCard, results: Path) -> None:
    """Scores of other weights would be a lie."""
    own = results / "models" / str(card.provenance.get("model", ""))
    if not (own / "model.safetensors").exists() or weights_hash(own) != weights_hash(folder):
        raise InputError(
            f"--results {results}: the run there has not trained the model in {folder} (its models are others, or were "
            "trained again since), so its scores are not this model's."
        )


def _tested(card: ModelCard, results: Path | None) -> pd.DataFrame | None:
    """The labelled images of the patients that the model never saw, or None where no run is at hand."""
    if results is None:
        return None
    role = f"role:{_plain_name(card)}"
    table = _read(pd.read_parquet, results / "dataset" / "dataset.parquet", [role, "status", "patient"])
    return table[(table["status"] == "labelled") & (table[role] == "test")]


def _report(card: ModelCard, results: Path | None) -> tuple[str, pd.DataFrame, int] | None:
    """Whose scores they are, the rows of the report (those of the fold that the model never saw), and its seed.

    They come from the stages' tables, so that nothing which somebody changes in report.csv gets into a card.
    """
    if results is None:
        return None
    model = _plain_name(card)
    table, seed = _run_table(results)
    rows = table[table["status"] == "scored"]
    if model.startswith("fold"):
        rows = rows[pd.to_numeric(rows["fold"], errors="coerce") == int(model.removeprefix("fold"))]
    if rows.empty:
        raise InputError(f"--results {results}: the run scores no image of the fold that {model} never saw.")
    who = "Of images whose patients the model never saw."
    if _repeats(results, model) > 1:
        who += " Each was predicted by the mean of all repeats of this model, so these are the scores of that mean."
    return who, rows, seed


def _run_table(results: Path) -> tuple[pd.DataFrame, int]:
    try:
        found = newest_scan(results)
    except InputError as error:
        raise InputError(f"--results: {error} {ADVICE}") from None
    stage = load_stage(results / found.stage("report"), ReportStage)
    return run_table(stage, results, sorted(found.shards), with_folds=True), stage.seed


def _repeats(results: Path, model: str) -> int:
    return len([path for path in (results / "models").glob(f"{model}*") if plain_name(path.name) == model])


def _plain_name(card: ModelCard) -> str:
    """The model's name without the number of its repeat."""
    return plain_name(str(card.provenance.get("model", "")))


def _read(read: Any, path: Path, columns: Sequence[str]) -> pd.DataFrame:
    try:
        table: pd.DataFrame = read(path)
    except (OSError, ValueError) as error:
        raise InputError(f"--results: {path} cannot be read ({type(error).__name__}). {ADVICE}") from None
    missing = [name for name in columns if name not in table]
    if missing:
        raise InputError(f"--results: {path} has no column {missing[0]}, so another run trained this model.")
    return table

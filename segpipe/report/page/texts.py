"""What the page says, in each language, and the paragraph for a paper's methods.

``texts/`` has a file per language, all with the same keys.
"""

import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from segpipe.report.page.run_facts import RunFacts

FOLDER = Path(__file__).parent / "texts"
REFERENCES = (
    "MONAI: Cardoso MJ, Li W, Brown R, et al. MONAI: an open-source framework for deep learning in healthcare. "
    "arXiv:2211.02701, 2022.",
    "PyTorch: Paszke A, Gross S, Massa F, et al. PyTorch: an imperative style, high-performance deep learning library. "
    "Advances in Neural Information Processing Systems 32, 2019.",
    "Snakemake: Mölder F, Jablonski KP, Letcher B, et al. Sustainable data analysis with Snakemake. F1000Research 10, "
    "33, 2021.",
)


def languages() -> list[str]:
    """The languages there are, English first."""
    return sorted((path.stem for path in FOLDER.glob("*.toml")), key=lambda name: (name != "en", name))


def load_texts(language: str) -> dict[str, str]:
    """Key to text, the tables of the file joined by dots: ``summary.images``.

    Gaps in a text are names in braces, which :func:`filled` fills.
    """
    found = tomllib.loads((FOLDER / f"{language}.toml").read_text(encoding="utf-8"))
    return dict(_flat(found, ""))


def filled(text: str, gaps: dict[str, Any]) -> str:
    """The text with its gaps filled; the page's script does the same when the language changes.

    Not str.format, which would take a brace in a value's place for its own.

    >>> filled("{n} images", {"n": 3})
    '3 images'
    """
    for name, value in gaps.items():
        text = text.replace(f"{{{name}}}", str(value))
    return text


def _flat(table: dict[str, Any], prefix: str) -> list[tuple[str, str]]:
    rows: list[tuple[str, str]] = []
    for key, value in table.items():
        rows += _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else [(f"{prefix}{key}", value)]
    return rows


def paragraph(facts: RunFacts, summary: Mapping[str, Any], texts: Mapping[str, str]) -> str:
    """Sentences in the language of ``texts``; what the run's files do not say is left out."""
    sentences = [filled(texts[f"methods.{key}"], gaps) for key, gaps in _sentences(facts, summary, texts)]
    return texts["methods.between"].join(sentences)


def _sentences(
    facts: RunFacts, summary: Mapping[str, Any], texts: Mapping[str, str]
) -> Iterator[tuple[str, dict[str, Any]]]:
    images, classes = summary["images"], [name for name in summary["classes"] if name != "background"]
    counts = {name: images[name] for name in ("total", "scored", "quarantined")}
    yield "data", {**counts, "patients": summary["patients"]["total"], "classes": _list(classes, texts)}
    yield from _preprocessing(facts.configs["preprocess"].get("preprocess", {}))
    yield from _training(facts)
    predict = facts.configs["predict"].get("predict", {})
    if predict:
        yield "predict", {"threshold": predict["threshold"]}
        if predict.get("mirror"):
            yield "mirror", {}
    miou = summary["metrics"]["miou"]
    if miou["n"]:
        yield "scores", {"miou": f"{miou['mean']:.3f}", "n": miou["n"]}
        if miou["low"] is not None:
            yield "interval", {end: f"{miou[end]:.3f}" for end in ("low", "high")}
    versions = {name.replace("-", "_"): found for name, found in facts.versions.items()}
    yield "software", {name: versions.get(name, "?") for name in ("segpipe", "torch", "monai", "snakemake")}


def _preprocessing(section: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    if section:
        low, high = section["percentiles"]
        yield f"fit_{section['fit']}", {"size": section["size"]}
        yield "intensity", {"low": f"{low:g}", "high": f"{high:g}"}


def _training(facts: RunFacts) -> Iterator[tuple[str, dict[str, Any]]]:
    config, folds = facts.configs["train"], facts.configs["dataset"].get("folds", {})
    if not config or config["model"]["weights"] or not facts.models:
        yield "given", {}
        return
    train = config["train"]
    if folds.get("scheme") == "kfold":
        yield "kfold", {"k": folds["k"], "seed": config["seed"]}
    else:
        yield "holdout", {"seed": config["seed"]}
    epochs = sorted({model.provenance["epochs"] for model in facts.models if "epochs" in model.provenance})
    length = f"{epochs[0]} - {epochs[-1]}" if len(epochs) > 1 else (epochs or [train["epochs"]])[0]
    keys = ("loss", "optimizer", "learning_rate", "batch_size")
    yield "train", {**{key: train[key] for key in keys}, "network": config["model"]["network"], "epochs": length}
    yield "augment_none" if train["augment"] == "none" else "augment", {"augment": _augment(train["augment"])}
    if train.get("repeats", 1) > 1:
        yield "repeats", {"repeats": train["repeats"]}


def _augment(wanted: Any) -> str:
    return wanted if isinstance(wanted, str) else ", ".join(str(step.get("name", "")) for step in wanted)


def _list(names: list[str], texts: Mapping[str, str]) -> str:
    return texts["methods.comma"].join(names)

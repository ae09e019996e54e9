"""Whether the models are those that training wrote."""

from collections.abc import Iterator
from pathlib import Path

from segpipe.errors import InputError
from segpipe.io.digest import hash_file
from segpipe.model.card import WEIGHTS, read_card
from segpipe.verify.finding import Finding
from segpipe.verify.run import Run


def check_models(run: Run) -> Iterator[list[Finding]]:
    """Hash each model's weights and compare with its card; yields the findings of each model in turn."""
    given = bool(run.config.model.weights)
    for folder in sorted({folder for trial in run.scored_trials for folder in run.trials[trial]}):
        yield list(_check(folder, given))


def _check(folder: Path, given: bool) -> Iterator[Finding]:
    path = folder / WEIGHTS
    advice = (
        "Copy the model's folder again as a whole."
        if given
        else f"Delete {path} and run snakemake: training ends at once from its finished checkpoint and writes it again."
    )
    try:
        wanted = read_card(folder).provenance.get("weights_sha256")
    except InputError as error:
        yield Finding("weights", str(folder / "model.json"), " ".join(str(error).split()), advice)
        return
    try:
        found = hash_file(path)
    except OSError as error:
        yield Finding("weights", str(path), f"cannot be read ({error.strerror})", advice)
        return
    if wanted and found != wanted:
        yield Finding("weights", str(path), f"has another hash than model.json says ({_short(found, wanted)})", advice)


def _short(found: str, wanted: str) -> str:
    return f"{found[:12]} instead of {wanted[:12]}"

"""Whether provenance.json tells of the run that is there."""

from collections.abc import Iterator
from pathlib import Path

from segpipe.errors import InputError
from segpipe.provenance.content import content
from segpipe.provenance.record import RECORD, read_provenance
from segpipe.verify.finding import Finding
from segpipe.verify.run import Run


def check_provenance(run: Run) -> Iterator[list[Finding]]:
    """Compare each fact of the section ``same`` with what the tables, weights and outputs say now."""
    path = run.folder / RECORD
    advice = f"Delete {path} and run snakemake: it is written again."
    try:
        recorded, now = read_provenance(run.folder)["same"], content(run.config, run.folder, run.shards)
    except InputError as error:
        yield [Finding("provenance", str(path), " ".join(str(error).split()), advice)]
        return
    for section, wanted in now.items():
        found = recorded.get(section, {})
        names = sorted(name for name in {*wanted, *found} if wanted.get(name) != found.get(name))
        yield [Finding("provenance", str(path), f"{section}: {_which(names)}", advice)] if names else []


def _which(names: list[str]) -> str:
    return f"{', '.join(names[:3])} {'is' if len(names) == 1 else 'are'} not what the run has"


def has_provenance(folder: Path) -> bool:
    """Whether the run wrote one; a comparison has none."""
    return (folder / RECORD).exists()

"""What `segpipe clean --unused` lists and removes."""

from collections.abc import Sequence
from pathlib import Path

from segpipe.clean.disk import freed, readable, remove, size
from segpipe.clean.unused import Results, Unused
from segpipe.config_file import load_config
from segpipe.errors import InputError
from segpipe.log import plain

LOCKS = Path(".snakemake/locks")


def find_unused(config: Path) -> list[Unused]:
    """What no table, model or trial of the last scan names.

    Raises:
        ConfigError, InputError: there is no such run.
    """
    return Results(load_config(config)).unused()


def listing(found: Sequence[Unused]) -> str:
    """A line for each with its size, and what removing all of them frees."""
    if not found:
        return "Nothing is unused."
    lines = [f"{readable(size(each.path)):>10}  {plain(str(each.path))}: {each.reason}" for each in found]
    return "\n".join([*lines, f"{len(found)} unused; removing them frees {readable(freed(e.path for e in found))}."])


def remove_all(found: Sequence[Unused]) -> str:
    """Remove what was listed.

    Raises:
        InputError: Snakemake runs in this folder, so that a job may be writing there.
    """
    if LOCKS.is_dir() and any(LOCKS.iterdir()):
        raise InputError(
            f"Snakemake runs in this folder, or was killed here ({LOCKS} is not empty), so nothing is removed. Wait "
            "until it ends; after a kill, `snakemake --unlock`."
        )
    total = freed(each.path for each in found)
    for each in found:
        remove(each.path)
    return f"{len(found)} removed, {readable(total)} freed."

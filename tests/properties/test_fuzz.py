"""Damaged files: whatever an accident leaves of a file, reading it ends with a picture or with one line of reason."""

import re
from pathlib import Path

import pytest

from segpipe.errors import ImageError
from segpipe.images.read import read_radiograph
from segpipe.masks.reference import read_reference
from segpipe.pool.isolated import isolated_map
from segpipe.pool.worker import ItemFailure, Limits
from tests.properties.mutants import mutant, valid_files
from tests.unit.images.pictures import SECRET

MUTANTS = 150
FOREIGN = re.compile(r"Traceback|File \"|0x[0-9a-f]{6}|/(tmp|usr|home|work)/")


def reader(folder: str):
    files = valid_files()

    def read(seed: int) -> tuple[str, str]:
        """The name of the file, and what became of its mutant as an image and as a mask."""
        name, data = mutant(files, seed)
        path = Path(folder) / "mutant"
        path.write_bytes(data)
        said = []
        for attempt in (
            lambda: read_radiograph(path),
            lambda: read_reference({"": path}, {"lung": None}, (37, 53), root=Path(folder)),
        ):
            try:
                attempt()
            except ImageError as error:
                said.append(str(error))
            else:
                said.append("")
        return name, "\n".join(said)

    return read


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory):
    folder = str(tmp_path_factory.mktemp("mutants"))
    with isolated_map(reader, (folder,), range(MUTANTS), Limits(cpu_seconds=20)) as results:
        return list(results)


def test_no_damage_crashes_or_hangs_a_reader(outcomes):
    assert [(seed, lost) for seed, lost in enumerate(outcomes) if isinstance(lost, ItemFailure)] == []


def test_every_reason_is_one_line_that_tells_nothing_of_the_file(outcomes):
    refused = 0
    for seed, (name, said) in enumerate(outcomes):
        image, mask = said.split("\n")
        refused += bool(image)
        assert SECRET not in said, (seed, name)
        assert not FOREIGN.search(said), (seed, name, said)
        assert image == "" or image[0].islower(), (seed, name, image)
        assert mask == "" or mask.startswith("mask mutant "), (seed, name, mask)
    assert MUTANTS // 4 < refused < MUTANTS, "some damage shows and some does not"


def test_undamaged_files_are_read():
    for name, data in valid_files().items():
        assert read_radiograph(data).shape == (37, 53), name


def test_a_seed_always_makes_the_same_mutant():
    files = valid_files()
    assert mutant(files, 7) == mutant(valid_files(), 7)
    assert mutant(files, 7) != mutant(files, 8)

"""A finished run whose archive moves and whose shards double: the same report, and nothing is decoded again."""

import re
from logging import Handler

import pytest

from segpipe.config.load import parse_config
from segpipe.log import logger
from tests.unit.finished import IMAGES, make_run, run_stages, values_of


@pytest.fixture
def lines(monkeypatch):
    found = []

    class Collector(Handler):
        def emit(self, record):
            found.append(record.getMessage())

    monkeypatch.setattr(logger, "handlers", [Collector()])
    monkeypatch.setattr(logger, "level", 20)
    return found


def read_and_taken(lines):
    """Images that were read and taken over, in all shards; forgets the lines."""
    pairs = [re.search(r"(\d+) taken over unchanged, (\d+) read", line) for line in lines]
    lines.clear()
    return tuple(sum(int(pair[number]) for pair in pairs if pair) for number in (2, 1))


def test_a_moved_archive_in_twice_as_many_shards_gives_the_same_report(tmp_path, lines):
    config = make_run(tmp_path)
    report = (config.folder / "report.csv").read_bytes()
    bad = report.decode().count(",quarantined,")
    assert read_and_taken(lines) == (IMAGES, 0)
    (tmp_path / "data").rename(tmp_path / "moved")
    values = values_of(tmp_path)
    values["data"] |= {"root": str(tmp_path / "moved"), "shards": 4}
    run_stages(parse_config(values))
    assert read_and_taken(lines) == (bad, IMAGES - bad)
    assert (config.folder / "report.csv").read_bytes() == report

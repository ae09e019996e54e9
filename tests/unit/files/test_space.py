import shutil
from types import SimpleNamespace

import pytest

from segpipe.errors import DiskFullError, ExitCode
from segpipe.files.space import SPARE, check_space, existing_part, in_words


@pytest.fixture
def free(monkeypatch):
    """Sets how many bytes are free; returns the folders that were asked for."""
    asked = []

    def set_free(size):
        monkeypatch.setattr(shutil, "disk_usage", lambda path: asked.append(path) or SimpleNamespace(free=size))
        return asked

    return set_free


def test_what_fits_is_told_and_goes_on(tmp_path, free, caplog):
    caplog.set_level("INFO", logger="segpipe")
    asked = free(10 * 10**9)
    check_space(tmp_path / "not/there/yet", 1_500_000_000, "the pictures of shard 0001")
    assert "the pictures of shard 0001: about 1.5 GB, 10.0 GB are free" in caplog.text
    assert asked == [tmp_path]


def test_what_cannot_fit_ends_with_what_is_needed_and_what_is_there(tmp_path, free):
    free(2 * 10**6 + SPARE - 1)
    with pytest.raises(DiskFullError, match=r"the masks need about 2\.0 MB .* and 69\.1 MB are free there") as found:
        check_space(tmp_path, 2 * 10**6, "the masks")
    assert found.value.exit_code == ExitCode.DISK == 6
    free(2 * 10**6 + SPARE)
    check_space(tmp_path, 2 * 10**6, "the masks")


def test_a_link_to_another_disk_is_asked_there(tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "results").symlink_to(tmp_path / "disk")
    assert existing_part(tmp_path / "results/run/x") == tmp_path / "results"
    assert existing_part(tmp_path / "results") == tmp_path / "results"


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 bytes"), (999, "999 bytes"), (1500, "1.5 KB"), (10**12, "1.0 TB"), (5 * 10**15, "5000.0 TB")],
)
def test_sizes_are_told_in_words(size, text):
    assert in_words(size) == text

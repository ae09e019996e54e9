import errno
import os
import time
from pathlib import Path

import pytest

from segpipe.errors import DiskFullError
from segpipe.files.atomic import atomic_path, remove_leftovers, write_bytes, write_text, write_text_if_changed


def test_a_successful_block_leaves_the_file_and_nothing_else(tmp_path: Path) -> None:
    final = tmp_path / "new" / "folder" / "table.csv"
    with atomic_path(final) as temporary:
        assert temporary.parent == final.parent
        assert temporary.name.startswith(".")
        assert str(os.getpid()) in temporary.name
        assert temporary.suffix == ".csv"
        temporary.write_text("a,b\n")
        assert not final.exists()
    assert final.read_text() == "a,b\n"
    assert list(final.parent.iterdir()) == [final]


@pytest.mark.parametrize("interruption", [ValueError, KeyboardInterrupt])
def test_a_failed_block_keeps_what_was_there(tmp_path: Path, interruption: type[BaseException]) -> None:
    final = tmp_path / "table.csv"
    write_text(final, "old")

    def fail_halfway() -> None:
        with atomic_path(final) as temporary:
            temporary.write_text("half")
            raise interruption

    with pytest.raises(interruption):
        fail_halfway()
    assert final.read_text() == "old"
    assert list(tmp_path.iterdir()) == [final]


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)),
        OSError(errno.EDQUOT, os.strerror(errno.EDQUOT)),
        OSError(errno.EFBIG, os.strerror(errno.EFBIG)),
        RuntimeError("Error while serializing: I/O error: No space left on device (os error 28)"),
    ],
)
def test_a_full_disk_says_what_to_do_and_touches_nothing(tmp_path: Path, error: Exception) -> None:
    final = tmp_path / "model.bin"
    write_bytes(final, b"old")
    reason = r"model\.bin.* bytes are free.*untouched.*run the same"
    with pytest.raises(DiskFullError, match=reason) as caught, atomic_path(final):
        raise error
    assert caught.value.exit_code == 6
    assert final.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [final]


def test_a_truly_full_device_is_recognised(tmp_path: Path) -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("there is no /dev/full on this system")
    with pytest.raises(DiskFullError), atomic_path(tmp_path / "file"):
        full.write_bytes(b"x" * 100_000)


def test_other_errors_pass_through(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file"):
        write_text(tmp_path / "file" / "below", "x")


def test_unchanged_text_is_not_written_again(tmp_path: Path) -> None:
    path = tmp_path / "table.tsv"
    assert write_text_if_changed(path, "ä\n")
    os.utime(path, (1, 1))
    assert not write_text_if_changed(path, "ä\n")
    assert path.stat().st_mtime == 1
    assert write_text_if_changed(path, "ö\n")
    assert path.read_bytes() == "ö\n".encode()


def test_leftovers_of_a_kill_go_after_a_day_and_other_hidden_files_stay(tmp_path):
    names = (".last.4711.0a1b2c3d.pt", ".young.4711.0a1b2c3d.png", ".gitlab-ci.yml", ".v1.2.3", ".a.12.notahash.png")
    for name in names:
        (tmp_path / name).write_bytes(b"x")
        if "young" not in name:
            os.utime(tmp_path / name, (0, 0))
    remove_leftovers(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == set(names[1:])


def test_a_file_that_its_writer_moves_meanwhile_is_no_leftover(tmp_path, monkeypatch):
    path = tmp_path / ".0001.4711.0a1b2c3d.tar"
    path.write_bytes(b"x")
    monkeypatch.setattr(time, "time", lambda: path.replace(tmp_path / "0001.tar") and 0.0)
    remove_leftovers(tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["0001.tar"]

import os

import pytest

from segpipe.errors import InputError
from segpipe.files.lock import Lock, private_folder


@pytest.fixture
def two(tmp_path):
    locks = Lock(tmp_path / "lock"), Lock(tmp_path / "lock")
    yield locks
    for lock in locks:
        lock.release()


def test_one_holds_it_alone_until_it_is_released(two):
    first, second = two
    assert first.take()
    assert not second.take()
    assert not second.take(shared=True)
    first.release()
    first.release()
    assert second.take()


def test_several_share_it_and_the_last_may_have_it_alone(two):
    first, second = two
    assert first.take(shared=True)
    assert second.take(shared=True)
    second.release()
    assert not second.take()
    assert first.take(), "shared becomes alone"


def test_a_file_that_its_holder_removed_locks_nobody_out(two):
    first, second = two
    first.take()
    first.path.unlink()
    assert second.take()
    assert second.path.exists()


def test_a_link_in_its_place_is_not_followed(tmp_path):
    (tmp_path / "target").write_text("content")
    (tmp_path / "lock").symlink_to(tmp_path / "target")
    with pytest.raises(OSError, match="symbolic links"):
        Lock(tmp_path / "lock").take()


def test_notes_are_for_those_who_wait(two):
    first, second = two
    assert second.read_note() == ""
    first.take()
    first.note("a long note")
    first.note("short")
    assert second.read_note() == "short"


def test_a_private_folder_is_made_for_its_owner_only(tmp_path):
    folder = private_folder(tmp_path)
    assert folder == private_folder(tmp_path)
    assert folder.stat().st_mode & 0o777 == 0o700


def test_a_folder_of_another_user_is_refused(tmp_path, monkeypatch):
    (tmp_path / f"segpipe-{os.getuid() + 1}").mkdir(mode=0o700)
    monkeypatch.setattr(os, "getuid", lambda real=os.getuid(): real + 1)
    with pytest.raises(InputError, match="belongs to another user"):
        private_folder(tmp_path)


def test_a_place_that_is_not_there_is_an_error_that_names_it(tmp_path):
    with pytest.raises(InputError, match="cannot be made"):
        private_folder(tmp_path / "nowhere")

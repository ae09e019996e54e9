import threading
import time

import pytest

from segpipe.predict.pipeline import read_ahead


def wait_until(true, seconds=20.0):
    deadline = time.monotonic() + seconds
    while not true() and time.monotonic() < deadline:
        time.sleep(0.001)
    assert true()


def test_items_come_in_order_and_then_it_ends():
    with read_ahead(iter(range(20)), room=3) as ahead:
        assert list(ahead) == list(range(20))
        assert list(ahead) == []


@pytest.mark.parametrize("room", [1, 3])
def test_no_more_is_made_than_there_is_room_for(room):
    made = []

    def items():
        for number in range(100):
            made.append(number)
            yield number

    with read_ahead(items(), room) as ahead:
        for taken in range(1, 6):
            next(ahead)
            wait_until(lambda taken=taken: len(made) == taken + room + 1)
            time.sleep(0.01)
            assert len(made) == taken + room + 1, "those taken, those that wait, and the one in hand"


def test_an_error_comes_at_its_place_with_its_own_traceback():
    def items():
        yield 1
        raise ValueError("bad")

    with read_ahead(items(), room=5) as ahead:
        assert next(ahead) == 1
        with pytest.raises(ValueError, match="bad") as found:
            next(ahead)
        assert "items" in [entry.name for entry in found.traceback]
        with pytest.raises(StopIteration):
            next(ahead)


def test_leaving_early_ends_the_thread():
    with read_ahead(iter(range(1000)), room=2) as ahead:
        next(ahead)
    assert not [thread for thread in threading.enumerate() if thread.name == "reads ahead"]


def test_a_thread_that_died_without_a_word_is_noticed(monkeypatch):
    monkeypatch.setattr("segpipe.predict.pipeline.SECONDS_TO_LOOK", 0.01)
    monkeypatch.setattr("segpipe.predict.pipeline._fill", lambda *_: None)
    with read_ahead(iter([1]), room=1) as ahead, pytest.raises(RuntimeError, match="ended without a word"):
        next(ahead)

import threading
import traceback
from contextlib import closing

import pytest

from segpipe.errors import InputError
from segpipe.predict.pipeline import Cores, write_behind


def behind(items, work, kept, threads=2, room=4):
    def keep(item, result):
        kept.append((item, result))

    return write_behind(iter(items), work, keep, lambda item: f"{item}.png", threads, room)


def test_results_are_kept_in_the_order_of_the_items_whichever_is_done_first():
    gates, kept = [threading.Event() for _ in range(4)], []

    def work(number):
        assert gates[number].wait(20)
        if number:
            gates[number - 1].set()  # the later one is done first
        return number * number

    gates[3].set()
    assert list(behind(range(4), work, kept, threads=4)) == [0, 1, 2, 3]
    assert kept == [(0, 0), (1, 1), (2, 4), (3, 9)]


@pytest.mark.parametrize("threads", [1, 3])
def test_there_are_never_more_than_there_is_room_for(threads):
    kept, here, most, lock = [], set(), [0], threading.Lock()

    def items():
        for number in range(50):
            yield number
            most[0] = max(most[0], number + 1 - len(kept))

    def work(number):
        with lock:
            here.add(number)
        return number

    list(behind(items(), work, kept, threads, room=5))
    assert most[0] <= 5
    assert [item for item, _ in kept] == list(range(50)) == sorted(here)


def test_a_full_house_waits_for_the_oldest():
    gate, started, kept, taken = threading.Event(), threading.Semaphore(0), [], []

    def items():
        for number in range(5):
            taken.append(number)
            yield number

    def work(number):
        started.release()
        assert gate.wait(20)
        return number

    running = threading.Thread(target=lambda: list(behind(items(), work, kept, threads=2, room=3)))
    running.start()
    for _ in range(2):
        assert started.acquire(timeout=20)
    running.join(0.05)
    assert running.is_alive()
    assert taken == [0, 1, 2, 3], "the fourth has to wait, and the fifth is not made"
    gate.set()
    running.join(20)
    assert not running.is_alive()
    assert len(kept) == 5


def test_a_writer_that_fails_names_the_image_and_all_others_that_were_handed_in_are_kept():
    kept = []

    def encode_it(number):
        if number == 1:
            raise ZeroDivisionError("broken")
        return number

    with pytest.raises(ZeroDivisionError, match="broken") as found:
        list(behind(range(3), encode_it, kept))
    text = "".join(traceback.format_exception(found.value))
    assert "while the masks of 1.png were made and written" in text
    assert "in encode_it" in text, "the real traceback"
    assert kept == [(0, 0), (2, 2)]


def test_stopped_it_keeps_what_was_handed_in():
    gate, kept = threading.Event(), []

    def items():
        yield from range(9)
        threading.Timer(0.05, gate.set).start()
        raise KeyboardInterrupt

    def work(number):
        assert gate.wait(20)
        return number

    with pytest.raises(KeyboardInterrupt):
        list(behind(items(), work, kept, room=9))
    assert [item for item, _ in kept] == list(range(9))


def test_left_early_it_keeps_what_was_handed_in():
    kept = []
    with closing(behind(range(9), lambda number: number, kept, room=4)) as finished:
        next(finished)
    assert [item for item, _ in kept] == list(range(len(kept)))
    assert len(kept) >= 4


def test_a_disk_that_hangs_is_given_up_with_the_images_name(monkeypatch, caplog):
    monkeypatch.setattr("segpipe.predict.pipeline.SECONDS_TO_WARN", 0.01)
    monkeypatch.setattr("segpipe.predict.pipeline.SECONDS_TO_WRITE", 0.05)
    monkeypatch.setattr("segpipe.predict.pipeline.SECONDS_TO_STOP_WRITING", 0.01)
    gate, kept = threading.Event(), []
    with pytest.raises(InputError, match=r"The masks of 7\.png were not written"):
        list(behind([7, 8, 9], lambda _: gate.wait(20), kept))
    assert "the masks of 7.png are not written after" in caplog.text
    assert kept == []
    hanging = [thread for thread in threading.enumerate() if thread.name == "writes"]
    assert hanging
    assert all(thread.daemon for thread in hanging), "Python would wait for others before it ends"
    gate.set()


def test_no_more_threads_compute_than_there_are_cores():
    cores, most, now, lock = Cores(2), [0], [0], threading.Lock()

    def work(number):
        with cores:
            with lock:
                now[0] += 1
                most[0] = max(most[0], now[0])
            threading.Event().wait(0.01)
            with lock:
                now[0] -= 1
        return number

    list(behind(range(20), work, [], threads=5, room=10))
    assert most[0] == 2

import threading
import traceback

import pytest

from segpipe.errors import InputError
from segpipe.predict.prefetch import WriteBehind


def behind(work, kept, threads=2, room=4):
    return WriteBehind(
        work, lambda item, result: kept.append((item, result)), lambda item: f"{item}.png", threads, room
    )


def test_results_are_kept_in_the_order_of_the_items_whichever_is_done_first():
    gates, kept = [threading.Event() for _ in range(4)], []

    def work(number):
        assert gates[number].wait(20)
        if number:
            gates[number - 1].set()  # the later one is done first
        return number * number

    gates[3].set()
    with behind(work, kept, threads=4) as writers:
        for number in range(4):
            list(writers.put(number))
        assert list(writers.finish()) == [0, 1, 2, 3]
    assert kept == [(0, 0), (1, 1), (2, 4), (3, 9)]


@pytest.mark.parametrize("threads", [1, 3])
def test_there_are_never_more_than_there_is_room_for(threads):
    kept, here, most, lock = [], set(), [0], threading.Lock()

    def work(number):
        with lock:
            here.add(number)
        return number

    with behind(work, kept, threads, room=5) as writers:
        for number in range(50):
            list(writers.put(number))
            most[0] = max(most[0], number + 1 - len(kept))
        assert most[0] <= 5
        list(writers.finish())
    assert [item for item, _ in kept] == list(range(50)) == sorted(here)


def test_a_full_house_waits_for_the_oldest():
    gate, started, kept = threading.Event(), threading.Semaphore(0), []

    def work(number):
        started.release()
        assert gate.wait(20)
        return number

    def put_all(writers):
        for number in range(5):
            list(writers.put(number))

    with behind(work, kept, threads=2, room=3) as writers:
        putting = threading.Thread(target=put_all, args=(writers,))
        putting.start()
        for _ in range(2):
            assert started.acquire(timeout=20)
        putting.join(0.05)
        assert putting.is_alive(), "the fourth has to wait"
        gate.set()
        putting.join(20)
        assert not putting.is_alive()
        list(writers.finish())
    assert len(kept) == 5


def run(work, kept, items, then=lambda: None, **options):
    with behind(work, kept, **options) as writers:
        for item in items:
            list(writers.put(item))
        then()
        list(writers.finish())


def test_a_writer_that_fails_names_the_image_and_all_others_that_were_handed_in_are_kept():
    kept = []

    def encode_it(number):
        if number == 1:
            raise ZeroDivisionError("broken")
        return number

    with pytest.raises(ZeroDivisionError, match="broken") as found:
        run(encode_it, kept, range(3))
    text = "".join(traceback.format_exception(found.value))
    assert "while the masks of 1.png were made and written" in text
    assert "in encode_it" in text, "the real traceback"
    assert kept == [(0, 0), (2, 2)]


def test_stopped_it_keeps_what_was_handed_in():
    gate, kept = threading.Event(), []

    def work(number):
        assert gate.wait(20)
        return number

    def stop():
        threading.Timer(0.05, gate.set).start()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(work, kept, range(9), stop, room=9)
    assert [item for item, _ in kept] == list(range(9))


def test_a_disk_that_hangs_is_given_up_with_the_images_name(monkeypatch, caplog):
    monkeypatch.setattr("segpipe.predict.prefetch.SECONDS_TO_WARN", 0.01)
    monkeypatch.setattr("segpipe.predict.prefetch.SECONDS_TO_WRITE", 0.05)
    monkeypatch.setattr("segpipe.predict.prefetch.SECONDS_TO_STOP", 0.01)
    gate, kept = threading.Event(), []
    with pytest.raises(InputError, match=r"The masks of 7\.png were not written"):
        run(lambda _: gate.wait(20), kept, [7, 8, 9])
    assert "the masks of 7.png are not written after" in caplog.text
    assert kept == []
    hanging = [thread for thread in threading.enumerate() if thread.name == "writes"]
    assert hanging
    assert all(thread.daemon for thread in hanging), "Python would wait for others before it ends"
    gate.set()

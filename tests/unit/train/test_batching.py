import pandas as pd
import pytest

from segpipe.errors import ConfigError
from segpipe.train.data import Batching

ORDER = pd.DataFrame({"image_id": list("abcdefghijk")})


def ids(rows):
    return "".join(rows["image_id"])


def test_whole_steps_only_and_the_rest_is_left_out():
    batching = Batching(11, 4)
    assert batching.steps == 2
    assert [ids(batching.of_step(ORDER, step)) for step in range(2)] == ["abcd", "efgh"]
    assert ids(batching.of_process(ORDER, 0, 0)) == "abcdefgh"
    assert ids(batching.of_process(ORDER, 0, 1)) == "efgh", "gone on with after one step"
    assert len(batching.of_process(ORDER, 0, 2)) == 0


def test_fewer_images_than_a_step_are_one_step():
    batching = Batching(3, 4)
    assert (batching.steps, batching.per_step) == (1, 3)


@pytest.mark.parametrize("first", [0, 1])
def test_processes_share_every_step_and_together_have_all_of_it(first):
    batching = Batching(11, 4, 2)
    parts = [batching.of_process(ORDER, rank, first) for rank in range(2)]
    assert [ids(part) for part in parts] == [["abef", "cdgh"], ["ef", "gh"]][first]


@pytest.mark.parametrize(("images", "size", "text"), [(11, 3, "3 images a step cannot"), (3, 4, "no more training")])
def test_a_step_that_cannot_be_shared_evenly_is_refused(images, size, text):
    with pytest.raises(ConfigError, match=text):
        Batching(images, size, 2)

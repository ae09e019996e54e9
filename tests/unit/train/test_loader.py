from pathlib import Path

import pandas as pd
import pytest
import torch

from segpipe.errors import ConfigError
from segpipe.train.data import TrainLoader
from segpipe.train.distributed import ProcessGroup
from tests.unit.prepared import stage


def loader(images, size, rank=0, processes=1):
    rows = pd.DataFrame({"image_id": list("abcdefghijk")[:images]})
    return TrainLoader(stage("train"), rows, Path(), 0, ProcessGroup(torch.device("cpu"), rank, processes), size)


def ids(made, first_step):
    return made.of_process(1, first_step)["image_id"].tolist()


def test_whole_steps_only_and_the_rest_is_left_out():
    made = loader(11, 4)
    assert made.steps == 2
    steps = [made.names(1, step).split(", ") for step in range(2)]
    assert [len(step) for step in steps] == [4, 4]
    assert ids(made, 0) == steps[0] + steps[1]
    assert ids(made, 1) == steps[1], "gone on with after one step"
    assert ids(made, 2) == []


def test_each_epoch_has_an_order_of_its_own_and_the_same_each_time():
    made = loader(11, 4)
    assert made.names(1, 0) == loader(11, 4).names(1, 0) != made.names(2, 0)


def test_fewer_images_than_a_step_are_one_step():
    made = loader(3, 4)
    assert (made.steps, made.per_step) == (1, 3)


@pytest.mark.parametrize("first", [0, 1])
def test_processes_share_every_step_and_together_have_all_of_it(first):
    a, b, c, d, e, f, g, h = ids(loader(11, 4), 0)
    parts = [ids(loader(11, 4, rank, 2), first) for rank in range(2)]
    assert parts == [[[a, b, e, f], [c, d, g, h]], [[e, f], [g, h]]][first]


@pytest.mark.parametrize(("images", "size", "text"), [(11, 3, "3 images a step cannot"), (3, 4, "no more training")])
def test_a_step_that_cannot_be_shared_evenly_is_refused(images, size, text):
    with pytest.raises(ConfigError, match=text):
        loader(images, size, 0, 2)

"""What prediction tells of a mask without its reference."""

import math

import numpy as np
import pytest
import torch

from segpipe.predict.ensemble import _disagreements
from segpipe.predict.writer import fact_columns, facts_of
from tests.unit.score.masks import mask


def test_facts_are_those_of_each_class_alone():
    masks = np.stack([mask("1..1 ...."), mask(".... ....")]).astype(bool)
    found = facts_of(masks, np.stack([np.full((2, 2), 0.5), np.zeros((2, 2))]))
    assert found == {"components": [2, 0], "predicted_share": [0.25, 0.0], "entropy": pytest.approx([1, 0], abs=1e-9)}


def test_facts_become_columns_and_what_an_older_journal_lacks_is_blank():
    columns = fact_columns({"entropy": [0.1, 0.2], "disagreement": [None, 0.5]}, ["lung", "heart"])
    assert (columns["entropy_lung"], columns["entropy_heart"], columns["disagreement_heart"]) == (0.1, 0.2, 0.5)
    assert math.isnan(columns["disagreement_lung"])
    assert math.isnan(columns["components_lung"])


def test_models_disagree_by_picture_and_class_and_padding_pictures_are_left_out():
    one = torch.zeros(2, 2, 1, 4)
    one[0, 0, 0, :2] = 1
    other = one.clone()
    other[0, 0, 0, 1:] = 0.5
    assert _disagreements([one, other], 1, 0.5) == [[pytest.approx(1 - 2 * 2 / 6), 0]]


def test_the_masks_of_a_single_model_are_not_looked_at(monkeypatch):
    monkeypatch.setattr(torch.Tensor, "cpu", lambda self: pytest.fail("copied"))
    assert np.isnan(_disagreements([torch.zeros(3, 2, 4, 4)], 2, 0.5)).tolist() == [[True, True]] * 2

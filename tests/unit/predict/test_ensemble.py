import numpy as np
import pytest
import torch
from torch import nn

from segpipe.config.load import parse_config
from segpipe.errors import ConfigError
from segpipe.predict.ensemble import by_name, mean_probability, mirror_order

CPU = torch.device("cpu")


class LeftHalf(nn.Module):
    """Sees the right lung where the picture's left half is bright, and the left lung on the other side."""

    def forward(self, x):
        middle = x.shape[3] // 2
        bright = torch.where(x > 0, 5.0, -5.0)
        right, left = bright.clone(), bright.clone()
        right[..., middle:], left[..., :middle] = -5.0, -5.0
        heart = torch.full_like(bright, -5.0)
        heart[..., :2] = 5.0  # wrong: the border of any picture
        return torch.cat([right, left, heart], dim=1)


def picture():
    image = np.zeros((1, 8, 8), np.uint8)
    image[0, 2:4, 1:3] = 255
    return image


def test_a_mirrored_picture_gives_left_for_right_and_is_turned_back():
    classes = ["right_lung", "left_lung", "heart"]
    order = mirror_order(classes)
    assert order == [1, 0, 2]
    plain = mean_probability(picture(), [LeftHalf()], CPU)
    both = mean_probability(picture(), [LeftHalf()], CPU, order)
    assert both.shape == (1, 3, 8, 8)
    np.testing.assert_allclose(both[0, :2], plain[0, :2], atol=1e-6)
    np.testing.assert_allclose(both[0, 2, :, 0], 0.5, atol=1e-6)
    np.testing.assert_allclose(both[0, 2, :, 7], 0.5, atol=1e-6)
    wrong = mean_probability(picture(), [LeftHalf()], CPU, [0, 1, 2])
    assert np.abs(wrong[0, :2] - plain[0, :2]).max() > 0.4, "without the swap, left and right would be mixed"


def test_the_mean_of_networks_counts_each_alike():
    class Says(nn.Module):
        def __init__(self, logit):
            super().__init__()
            self.logit = logit

        def forward(self, x):
            return torch.full_like(x, self.logit)

    found = mean_probability(picture(), [Says(100.0), Says(-100.0), Says(-100.0)], CPU)
    np.testing.assert_allclose(found, 1 / 3, atol=1e-6)


def test_a_side_without_its_counterpart_cannot_be_mirrored():
    with pytest.raises(ConfigError, match="left_lung, but not the other side"):
        mirror_order(["left_lung", "heart"])
    values = {"data": {"images": "{p}.png", "masks": {"left_lung": "{p}.png"}}, "predict": {"mirror": True}}
    with pytest.raises(ConfigError, match="left_lung has a side"):
        parse_config(values)
    values["data"]["masks"]["right_lung"] = "{p}_r.png"
    assert parse_config(values).predict.mirror


@pytest.mark.parametrize(
    ("folders", "names"),
    [
        (["m/fold0", "m/fold1"], ["fold0", "fold1"]),
        (["a/fold0", "b/fold0"], ["a/fold0", "b/fold0"]),
        (["a/m/fold0", "b/m/fold0", "b/m/fold1"], ["a/m/fold0", "b/m/fold0", "b/m/fold1"]),
        (["x/../one"], ["one"]),
    ],
)
def test_models_are_called_by_the_shortest_ends_of_their_paths_that_differ(tmp_path, folders, names):
    assert list(by_name([tmp_path / folder for folder in folders])) == names


def test_a_model_given_twice_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="given twice"):
        by_name([tmp_path / "a", tmp_path / "b" / ".." / "a"])

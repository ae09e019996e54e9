"""Mirroring left and right where classes have a side: a mirrored left lung is a right lung."""

import re
from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from monai.transforms import Compose, Flipd, MapTransform, RandAxisFlipd, RandFlipd, RandomizableTransform, Transposed

from segpipe.errors import ConfigError

OTHER = {"left": "right", "right": "left", "l": "r", "r": "l"}
FLIPS = (RandFlipd, RandAxisFlipd, Flipd, Transposed)
ADVICE = (
    "RandMirrord mirrors left and right and swaps the masks of such classes: "
    "{name: RandMirrord, keys: [image, mask], prob: 0.5}"
)


class RandMirrord(RandomizableTransform, MapTransform):
    """Mirror ``image`` and ``mask`` left-right with probability ``prob``, and swap the masks of paired classes.

    Arrays are channel first, (1, rows, columns) and (classes, rows, columns) in the order of ``classes``; the
    columns are reversed. Pairs are found by the classes' names (:func:`pairs_by_name`) unless ``pairs`` names
    them; an empty list says that there are none.

    Raises:
        ValueError: other keys, pairs of what are no classes, or a class with a side and no counterpart.
    """

    def __init__(
        self,
        keys: Sequence[str] = ("image", "mask"),
        prob: float = 0.1,
        pairs: Sequence[Sequence[str]] | None = None,
        *,
        classes: Sequence[str] = (),
    ) -> None:
        MapTransform.__init__(self, keys)
        RandomizableTransform.__init__(self, prob)
        if set(self.keys) != {"image", "mask"}:
            raise ValueError("keys must be [image, mask]: one mirrored without the other would not fit it")
        lone = [] if pairs is not None else lone_sides(classes)
        if lone:
            raise ValueError(
                f"{', '.join(lone)} {'has a side' if len(lone) == 1 else 'have sides'}, but the other side is no "
                "class, so that a mirrored mask would have the wrong name; pairs: [] mirrors nevertheless"
            )
        self.order = swapped_order(classes, pairs_by_name(classes) if pairs is None else pairs)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        self.randomize(None)
        if not self._do_transform:
            return dict(data)
        # MONAI's transforms leave torch tensors, which cannot be read backwards
        image, mask = np.asarray(data["image"])[..., ::-1], np.asarray(data["mask"])[self.order, :, ::-1]
        return {**data, "image": np.ascontiguousarray(image), "mask": np.ascontiguousarray(mask)}


def counterparts(name: str) -> Iterator[str]:
    """What the class of the other side would be called, by every spelling of a side that the name may hold.

    >>> list(counterparts("left_lung")), list(counterparts("clavicle_r")), list(counterparts("heart"))
    (['right_lung'], ['clavicle_l'], [])
    """
    words = re.sub("left|right", lambda found: OTHER[found[0]], name)
    letters = re.sub("^[lr](?=_)|(?<=_)[lr]$", lambda found: OTHER[found[0]], name)
    yield from (other for other in (words, letters) if other != name)


def pairs_by_name(classes: Sequence[str]) -> list[tuple[str, str]]:
    """Classes whose names differ in the side only: left_x and right_x, x_left and x_right, l_x and r_x, x_l and x_r."""
    places = {name: place for place, name in enumerate(classes)}
    return [(name, other) for name in classes for other in counterparts(name) if places.get(other, -1) > places[name]]


def lone_sides(classes: Sequence[str]) -> list[str]:
    """Classes called left or right whose counterpart is no class; a lone letter l or r may mean anything."""
    return [
        name
        for name in classes
        if {"left", "right"} & set(name.split("_")) and not set(counterparts(name)) & set(classes)
    ]


def swapped_order(classes: Sequence[str], pairs: Sequence[Sequence[str]]) -> list[int]:
    """Which channel comes to each channel's place in a mirrored mask; raises ValueError for impossible pairs."""
    named = [name for pair in pairs for name in pair]
    if any(len(pair) != 2 for pair in pairs) or len(set(named)) != len(named) or not set(named) <= set(classes):
        raise ValueError(
            f"pairs must be lists of two classes each, no class twice, out of {', '.join(classes) or 'none'}; "
            f"found {[list(pair) for pair in pairs]}"
        )
    partner = {a: b for a, b in pairs} | {b: a for a, b in pairs}
    return [list(classes).index(partner.get(name, name)) for name in classes]


def refuse_flips(compose: Compose, classes: Sequence[str]) -> None:
    """MONAI's flips leave the masks' channels alone, so they are refused where classes have a side.

    That holds for a flip of the rows as well, which is the mirror image turned by 180 degrees. Rotations
    mirror nothing and are allowed; RandFlipd of both axes is one, but hardly ever meant so.

    Raises:
        ConfigError: naming the transform and the classes.
    """
    sided = [f"{a} and {b}" for a, b in pairs_by_name(classes)] + lone_sides(classes)
    for transform in _all_transforms(compose):
        if sided and isinstance(transform, FLIPS):
            raise ConfigError(
                f"train.augment: {type(transform).__name__} flips the pictures, but these classes have a side: "
                f"{', '.join(sided)}. In a mirror image left is right, and their masks would keep the wrong names. "
                f"{ADVICE}; RandRotate90d turns pictures without mirroring them."
            )


def _all_transforms(compose: Compose) -> Iterator[Any]:
    """Those within OneOf, SomeOf and the like, too."""
    for transform in compose.transforms:
        yield transform
        if isinstance(transform, Compose):
            yield from _all_transforms(transform)

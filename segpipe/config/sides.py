"""Which classes have a side: in a mirror image a left lung is a right lung."""

import re
from collections.abc import Iterator, Sequence

OTHER = {"left": "right", "right": "left", "l": "r", "r": "l"}


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

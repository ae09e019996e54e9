"""What a mask file holds, whatever its format: labels that can be asked for by their names."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import ClassVar

import numpy as np

from segpipe.config import ClassValues
from segpipe.errors import ImageError

HISTOGRAM_LENGTH = 8
MOST_LABELS = 16  # a picture with more values has soft edges, or is none of labels
LONGEST_NAME = 40


@dataclass(frozen=True)
class Label:
    """One label of a mask file: every name it answers to, and how messages show it."""

    names: frozenset[int | str]
    shown: str


@dataclass(frozen=True)
class Plane:
    """Where something is: ``pixels`` (rows, columns) uint8 of 0 and 1, in the file's own size.

    ``outside`` is the share of what was drawn that lies beside the picture, ``notes`` what else was decided.
    """

    pixels: np.ndarray
    notes: tuple[str, ...] = ()
    outside: float = 0.0


class MaskFile(ABC):
    """A mask file, before its labels are given to classes.

    Planes are made when asked for, because a file may name hundreds of labels.
    """

    names: ClassVar[tuple[type[int] | type[str], ...]]  # by what its labels can be asked for
    kind: ClassVar[str]  # what it is, to end the sentence "is a ..."

    @abstractmethod
    def labels(self) -> list[Label]:
        """The labels there are, without background, in a fixed order."""

    @abstractmethod
    def plane(self, wanted: Sequence[Label]) -> Plane:
        """Where any of the wanted labels is."""

    def plane_of_one_class(self, name: str) -> Plane:
        """Where the class ``name`` is, which the file shows alone; ImageError if it shows several."""
        labels = self.labels()
        if len(labels) > 1:
            raise ImageError(
                f"should show one class, but has {len(labels)} labels ({self.histogram()}); "
                f"name them in the config, as in classes: {{{name}: [{self.example(labels)}]}}"
            )
        return self.plane(labels)

    def plane_of(self, name: str, values: ClassValues, named: set[int | str]) -> Plane:
        """Where the class ``name`` is, given its values in the config and those ``named`` for any class."""
        if values is None:
            return self.plane_of_one_class(name)
        labels = self.labels()
        if any(not isinstance(value, self.names) for value in values):
            found, expected = ("texts", "numbers") if isinstance(values[0], str) else ("numbers", "texts")
            raise ImageError(
                f"is a {self.kind}, whose labels are {expected}, but the config gives {found} for {name}; "
                f"write them as in classes: {{{name}: [{self.example(labels)}]}}"
            )
        strange = [label for label in labels if not label.names & named]
        if strange:
            raise ImageError(f"has values that no class names ({self.histogram()}); {_advice(strange, name, named)}")
        return self.plane([label for label in labels if not label.names.isdisjoint(values)])

    def histogram(self) -> str:
        """The labels with their number of pixels, the first few."""
        labels = self.labels()
        return histogram([(label.shown, self.pixels(label)) for label in labels[:HISTOGRAM_LENGTH]], len(labels))

    def pixels(self, label: Label) -> int:
        """How many pixels a label has."""
        return int(np.count_nonzero(self.plane([label]).pixels))

    def example(self, labels: Sequence[Label]) -> str:
        """A value as one would write it in the config."""
        if not labels:
            return "1" if int in self.names else '"left lung"'
        return next((str(name) for name in labels[0].names if isinstance(name, int)), labels[0].shown)


def _advice(strange: Sequence[Label], name: str, named: set[int | str]) -> str:
    """What to do about labels that no class names; of texts, only those of the config are shown."""
    if len(strange) > MOST_LABELS:
        return (
            "so many are soft edges, or a picture that is no mask; a file of one class with soft edges is read with "
            f"classes: {{{name}: null}}, others have to be exported without smoothing"
        )
    texts = {text.casefold(): text for text in sorted(value for value in named if isinstance(value, str))}
    shown = []
    for label in strange:
        own = [value.casefold() for value in label.names if isinstance(value, str)]
        near = [texts[match] for text in own for match in get_close_matches(text, texts, n=1, cutoff=0.8)]
        shown.append(f"{label.shown} [nearly {quoted(near[0])}]" if near else label.shown)
    return f"give {_list(shown)} to a class in the config's classes, or mend the mask"


def histogram(counts: Sequence[tuple[str, int]], total: int) -> str:
    """The first values with their number of pixels, of ``total`` values that there are."""
    shown = [f"{value}: {count}" for value, count in counts[:HISTOGRAM_LENGTH]]
    return "value: pixels " + ", ".join(shown) + (f" and {total - len(shown)} more" if total > len(shown) else "")


def quoted(text: str) -> str:
    """A label's text as a message may show it: one line, not long."""
    clean = "".join(character if character.isprintable() else "?" for character in text)
    return f'"{clean[:LONGEST_NAME]}{"..." if len(clean) > LONGEST_NAME else ""}"'


def _list(shown: Iterable[str]) -> str:
    items = list(shown)
    more = len(items) - HISTOGRAM_LENGTH
    return ", ".join(items[:HISTOGRAM_LENGTH]) + (f" and {more} more" if more > 0 else "")

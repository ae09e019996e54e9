"""Where predicted masks lie: a PNG each in a folder, one tar of PNGs, or one Parquet of run lengths.

One that is being filled (:class:`MaskStore`) survives kills: what it has is kept if its bytes are those that the
journal records. Later stages read with :class:`MaskReader`, whatever the kind.
"""

from segpipe.io.mask_store.journal import Entry, Journal, recipe
from segpipe.io.mask_store.layout import Entries, Kind, Layout, Probabilities
from segpipe.io.mask_store.place import Place
from segpipe.io.mask_store.reader import MaskReader
from segpipe.io.mask_store.store import MaskStore

__all__ = [
    "Entries",
    "Entry",
    "Journal",
    "Kind",
    "Layout",
    "MaskReader",
    "MaskStore",
    "Place",
    "Probabilities",
    "recipe",
]

"""Seeded synthetic chest radiographs with their masks, for the demo and the tests."""

from segpipe.phantom.files import make_phantoms
from segpipe.phantom.render import phantom_arrays

__all__ = ["make_phantoms", "phantom_arrays"]

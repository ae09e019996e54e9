"""The command ``segpipe``: the verbs of the workflow's rules, and some for people.

Imports that cost time are inside the verbs, so that ``--help`` answers at once.
"""

from segpipe.commands import models, runs, steps  # each adds its verbs
from segpipe.commands.app import app, main

__all__ = ["app", "main", "models", "runs", "steps"]

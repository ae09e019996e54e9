"""The command ``segpipe``: the verbs of the workflow's rules, and some for people.

Imports that cost time are inside the verbs, so that ``--help`` answers at once.
"""

from segpipe.commands import cluster, imports, models, people, runs, steps  # each adds its verbs
from segpipe.commands.app import app, main

__all__ = ["app", "cluster", "imports", "main", "models", "people", "runs", "steps"]

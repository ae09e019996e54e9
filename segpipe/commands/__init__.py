"""The verbs of the command ``segpipe``, a file per panel of its help."""

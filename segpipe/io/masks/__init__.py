"""Reference masks in every form they come in, as docs/masks.md says; reference.py is the first."""

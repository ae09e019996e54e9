"""Masks: references in every form they come in, and predictions as they are written and kept."""

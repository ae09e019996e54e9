"""Variants of a run side by side: scores with intervals, paired differences, sizes and times."""

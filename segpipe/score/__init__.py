"""Predictions against references: counts of pixels first, every figure a function of the counts."""

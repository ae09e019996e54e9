"""Training: one model per fold; stage.py is the first."""

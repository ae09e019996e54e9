"""What the network sees: part of every model's contract, so in one place for training and inference."""

import torch


def to_input(images: torch.Tensor) -> torch.Tensor:
    """Pictures in [0, 1], (n, 1, size, size) float32, centred and scaled; fixed, so nothing is learned from data."""
    return (images - 0.5) / 0.25

"""Training: the loop, its state, losses and augmentation."""

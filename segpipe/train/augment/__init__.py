"""Augmentation: in whole batches on the device (batched.py), or by a list of MONAI transforms (listed.py)."""

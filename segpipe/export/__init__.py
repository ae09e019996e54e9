"""Trained models for other programs: MONAI bundle, ONNX, torch.export, and a card for people (docs/export.md)."""

"""What computes the networks (docs/engines.md); choose.py is the first."""

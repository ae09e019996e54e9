"""Looks at a run and at what it was made from: provenance, verification, status, cleaning."""

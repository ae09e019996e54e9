"""The networks by name; registry.py is the first."""

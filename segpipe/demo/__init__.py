"""Seeded synthetic chest radiographs with their masks, for the demo and the tests."""

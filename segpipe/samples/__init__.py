"""Which images exist: a sample sheet or path patterns become one table per shard.

This package runs whenever Snakemake parses the workflow, so it imports nothing heavy.
"""

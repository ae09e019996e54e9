"""Which images exist: a sample sheet or path patterns become one table per shard."""

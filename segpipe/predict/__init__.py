"""Masks for whole shards: batched inference, restored to the original size, written as it goes."""

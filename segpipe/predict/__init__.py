"""Masks for shards and for folders: batched inference, restored to the original size, written as it goes."""

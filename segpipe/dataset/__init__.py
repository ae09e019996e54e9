"""All shards as one dataset: folds, duplicates, and what stands out."""

"""`segpipe clean --unused`: what a results folder holds of shards, models and settings that are gone."""

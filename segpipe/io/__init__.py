"""Reading radiographs and masks, and writing files atomically."""

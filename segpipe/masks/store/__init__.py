"""Where predicted masks lie, and what they were made from, so that what is still right is kept."""

"""Networks, their weights and their export."""

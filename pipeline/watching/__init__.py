"""``--watch``: rounds over files as they come."""

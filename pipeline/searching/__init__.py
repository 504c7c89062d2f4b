"""``python -m pipeline.search``: what is searched with, and what is found."""

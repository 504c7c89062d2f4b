"""``python -m pipeline.launch``: from what is asked of an engine to a run on it."""

"""What ``python -m pipeline.report`` does: looks at an output, draws it, and writes a page."""

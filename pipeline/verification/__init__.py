"""What ``python -m pipeline.verify`` looks at, one concern per file; ``walk`` calls them all."""

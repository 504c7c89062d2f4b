"""What a run would do, known before it: the parts of ``python -m pipeline.plan``."""

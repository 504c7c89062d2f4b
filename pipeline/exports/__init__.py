"""What ``python -m pipeline.export`` writes, one format per file (``to_*``).

Each of those has two functions: ``write`` writes the rows of a source to a local path that is not
there yet, and ``count`` opens what was written again and counts its rows. ``find_fault``, where
there is one, tells which keys cannot name a row.
"""

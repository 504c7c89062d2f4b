"""``python -m pipeline``."""

from pipeline.run import main

main()

"""What runs: the command line, the graph and what people read at the end."""

__version__ = "0.1.0"

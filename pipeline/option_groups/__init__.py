"""Options of a command line by group; ``pipeline/command_line.py`` puts them together."""

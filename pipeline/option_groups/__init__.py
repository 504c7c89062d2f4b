"""The options of a command line, group by group; ``pipeline/options.py`` puts them together."""

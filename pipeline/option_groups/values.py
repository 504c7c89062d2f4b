"""The values that options take."""

from __future__ import annotations

import argparse
from collections.abc import Callable

_WHOLE_NUMBER = "whole number"  # what argparse calls it when int() refuses the text


def positive(text: str) -> int:
    """Parses a whole number of at least 1."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, not {value}")
    return value


def not_less_than(least: int) -> Callable[[str], int]:
    """Returns what parses a whole number of at least so much."""

    def parse(text: str) -> int:
        value = int(text)
        if value < least:
            raise argparse.ArgumentTypeError(f"must not be less than {least}, not {value}")
        return value

    parse.__name__ = _WHOLE_NUMBER
    return parse


def tokens(text: str) -> int | None:
    """Parses a number of tokens; None for ``auto``."""
    return None if text == "auto" else positive(text)


def seconds(text: str) -> float:
    """Parses a time span that is more than nothing."""
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"must be more than 0, not {text}")
    return value


def more_than_zero(text: str) -> float:
    """Parses a number that is more than nothing."""
    return seconds(text)


positive.__name__ = tokens.__name__ = _WHOLE_NUMBER
seconds.__name__ = "number of seconds"
more_than_zero.__name__ = "number"

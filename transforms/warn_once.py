"""Warnings of what recurs: a folder that is away for a night is away at every look."""

from __future__ import annotations

import logging
from collections import deque

from transforms.text import printable

_REMEMBERED = 1000


class WarnOnce:
    """Warns of each thing once, as long as it is not a thousand others ago.

    Args:
        logger: Where it is said.
    """

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger
        self._told: deque[str] = deque(maxlen=_REMEMBERED)

    def __call__(self, sentence: str) -> None:
        """Warns, unless it was said before."""
        if sentence not in self._told:
            self._told.append(sentence)
            self._logger.warning("%s", printable(sentence))

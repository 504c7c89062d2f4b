"""How fast a run went, moment by moment, and how full its batches were."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from transforms import events
from transforms.times import now

MOST_SPANS = 240
"""Spans of time that are told apart. Where a run lasts longer, each becomes twice as long."""

FILL_STEPS = 10


class Pace:
    """Listens to a run, and keeps no more of a long one than of a short one.

    Args:
        clock: Seconds; replaced by tests.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._start = clock()
        self._began = now("milliseconds")
        self._span = 1.0
        self._records: list[int] = []
        self._residues: list[int] = []
        self._fill = [0] * FILL_STEPS

    def __call__(self, event: events.Event) -> None:
        """Takes note of an event."""
        match event:
            case events.RecordsEmbedded(records=records, residues=residues):
                at = self._find_span()
                self._records[at] += records
                self._residues[at] += residues
            case events.BatchFilled(tokens=tokens, budget=budget):
                self._fill[min(FILL_STEPS * tokens // budget, FILL_STEPS - 1)] += 1

    def _find_span(self) -> int:
        """Returns the number of the span that it is now; all up to it are there."""
        while (at := int((self._clock() - self._start) / self._span)) >= MOST_SPANS:
            self._span *= 2
            self._records = _in_pairs(self._records)
            self._residues = _in_pairs(self._residues)
        missing = at + 1 - len(self._records)
        self._records += [0] * missing
        self._residues += [0] * missing
        return at

    def as_json(self) -> dict[str, Any] | None:
        """Returns what the report of a run keeps; None if nothing was heard.

        ``began``, ISO 8601 in UTC; ``span_seconds``; ``records`` and ``residues`` embedded in each
        span since; ``batch_fill``, how many batches were up to a tenth full, up to two tenths, ….
        """
        if not self._records and not any(self._fill):
            return None
        return {
            "began": self._began,
            "span_seconds": self._span,
            "records": list(self._records),
            "residues": list(self._residues),
            "batch_fill": list(self._fill),
        }


def _in_pairs(counts: list[int]) -> list[int]:
    return [sum(counts[start : start + 2]) for start in range(0, len(counts), 2)]

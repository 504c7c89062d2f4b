"""Long sequences in overlapping windows, every residue counted once."""

from __future__ import annotations

from typing import NamedTuple

OVERLAP = 4
"""Neighbouring windows share a quarter of their residues or more."""


class Window(NamedTuple):
    """Residues ``start`` to ``stop`` of a sequence, of which ``first`` to ``last`` count.

    Attributes:
        start: First residue that the model sees, from 0.
        stop: Where they end.
        first: First residue that is averaged.
        last: Where those end.
    """

    start: int
    stop: int
    first: int
    last: int


def cut_windows(length: int, size: int) -> list[Window]:
    """Cuts a sequence into windows that the model can take.

    All windows of a longer sequence have ``size`` residues; the last one ends with the sequence.
    A residue that lies in two counts in the one in whose middle it lies deeper, so that each has
    context on both sides.

    Args:
        length: Residues of the sequence.
        size: Residues of a window.

    Returns:
        The windows in order; one for a sequence that fits. Their counted residues are those of
        the sequence, each once.
    """
    if length <= size:
        return [Window(0, length, 0, length)]
    starts = [0]
    while starts[-1] + size < length:
        starts.append(min(starts[-1] + size - size // OVERLAP, length - size))
    stops = [min(start + size, length) for start in starts]
    edges = [0, *((a + b) // 2 for a, b in zip(starts[1:], stops, strict=False)), length]
    return [
        Window(start, stop, first, last)
        for start, stop, first, last in zip(starts, stops, edges, edges[1:], strict=False)
    ]

"""How sequences are cut into forward passes: arithmetic on lengths, which needs no model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

PASSES_PER_BATCH = 16
"""Forward passes of one batch: enough to sort by length within it, so that little is padding."""

_USUAL_FILL = 0.985
"""Share of a large pass that is filled: the next sequence, of some hundred tokens, does not fit."""

_SMALL_PASS = 256
"""Tokens below which a pass is not cut for the sake of idle cores."""


def batch_tokens(pass_tokens: int) -> int:
    """Returns the tokens of one batch: as many as go into its passes."""
    return max(1, int(PASSES_PER_BATCH * pass_tokens * _USUAL_FILL))


def most_workers(lengths: Sequence[int], workers: int) -> int:
    """Returns how many of so many passes at a time have enough to do with some sequences."""
    return max(1, min(workers, len(lengths), sum(lengths) // _SMALL_PASS))


def slice_passes(
    lengths: Sequence[int], tokens: int, padded: bool = True, workers: int = 1
) -> Iterator[range]:
    """Cuts sequences into forward passes.

    For several workers passes become smaller towards the end, so that all end at about the same
    time.

    Args:
        lengths: Residues of each sequence, the longest first: so similar lengths go together, and
            what does not fit into memory shows at once, not after hours.
        tokens: The budget of a pass.
        padded: Whether each sequence of a pass costs as much as the longest.
        workers: How many passes run at a time.

    Yields:
        The passes, each a range of positions in ``lengths``. A sequence that alone exceeds the
        budget is a pass of its own.
    """
    remaining = sum(lengths) + 2 * len(lengths)
    start = 0
    while start < len(lengths):
        limit = tokens
        if workers > 1:
            limit = min(limit, max(_SMALL_PASS, remaining // (2 * workers)))
        first = lengths[start] + 2
        cost, stop = 0, start
        while stop < len(lengths):
            cost += first if padded else lengths[stop] + 2
            if stop > start and cost > limit:
                break
            remaining -= lengths[stop] + 2
            stop += 1
        yield range(start, stop)
        start = stop


def count_passes(lengths: Sequence[int], pass_tokens: int, padded: bool = True) -> tuple[int, int]:
    """Returns how many passes a batch is cut into, and the tokens that they compute.

    Args:
        lengths: Residues of each sequence, in any order.
        pass_tokens: Tokens of a pass.
        padded: Whether each sequence of a pass costs as much as the longest.
    """
    ordered = sorted(lengths, reverse=True)
    passes = list(slice_passes(ordered, pass_tokens, padded))
    if not padded:
        return len(passes), sum(ordered) + 2 * len(ordered)
    return len(passes), sum((ordered[each.start] + 2) * len(each) for each in passes)

"""Sorted and padded batches, as a careful user of a plain model makes them."""

from __future__ import annotations

from collections.abc import Sequence


def slice_padded(lengths: Sequence[int], budget: int) -> list[list[int]]:
    """Cuts sequences, longest first, into batches of at most ``budget`` tokens with padding.

    Args:
        lengths: Tokens of each sequence.
        budget: Longest of a batch x number of sequences.

    Returns:
        Positions in ``lengths``, each in exactly one batch. A sequence above the budget is alone.
    """
    batches: list[list[int]] = []
    for index in sorted(range(len(lengths)), key=lambda index: -lengths[index]):
        if batches and lengths[batches[-1][0]] * (len(batches[-1]) + 1) <= budget:
            batches[-1].append(index)
        else:
            batches.append([index])
    return batches

"""Amino-acid composition: what anybody can count, without a model."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from transforms.arrays import Doubles

AMINO_ACIDS = "ACDEFGHIKLMNPQRSTVWY"

_PLACES = np.full(256, -1, np.int64)
_PLACES[list(AMINO_ACIDS.encode())] = np.arange(len(AMINO_ACIDS))


def composition(sequences: Sequence[str], size: int = 1) -> Doubles:
    """Returns how often each word of amino acids occurs, as a share of the words of a sequence.

    Args:
        sequences: N sequences; words with any other letter than the 20, or a lower-case one, are
            not counted.
        size: Letters of a word: 1 for amino acids, 2 for dipeptides.

    Returns:
        float64 array of shape (N, 20 ** size), whose rows add up to 1, or to 0 without any word.
    """
    letters = len(AMINO_ACIDS)
    found = np.zeros((len(sequences), letters**size))
    for row, sequence in zip(found, sequences, strict=True):
        places = _PLACES[np.frombuffer(sequence.encode("ascii", "replace"), np.uint8)]
        if len(places) < size:
            continue
        words = np.lib.stride_tricks.sliding_window_view(places, size)
        words = words[(words >= 0).all(axis=1)]
        numbers = words @ letters ** np.arange(size)[::-1]
        row += np.bincount(numbers, minlength=len(row)) / (len(numbers) or 1)
    return found

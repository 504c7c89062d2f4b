"""From one vector for each token to one for the protein."""

from __future__ import annotations

import torch
from torch import Tensor


def mean_pool(hidden: Tensor, starts: Tensor, stops: Tensor) -> Tensor:
    """Averages over positions ``starts`` to ``stops``, which are residues.

    For a whole sequence of n residues these are 1 and n + 1: without ``<cls>``, ``<eos>`` and
    padding. Sums in float32 on the device, whatever the dtype of the hidden states: a float16 sum
    over a long protein loses three digits. What is not averaged is left out by selection, not by
    multiplication with zero, so that NaN in it does not matter.

    Args:
        hidden: Last hidden states of shape (B, T, D), any float dtype.
        starts: First position of each sequence, integers of shape (B,), at least 1.
        stops: Where the positions of each end, of shape (B,), larger than ``starts``.

    Returns:
        float32 of shape (B, D).
    """
    positions = torch.arange(hidden.shape[1], device=hidden.device)
    is_averaged = (positions >= starts[:, None]) & (positions < stops[:, None])
    residues = hidden.masked_fill(~is_averaged[:, :, None], 0.0)
    return residues.sum(dim=1, dtype=torch.float32) / (stops - starts)[:, None]


def pool_segments(hidden: Tensor, segments: Tensor) -> Tensor:
    """Averages over the middle one of the three segments of each packed sequence.

    Sums in float32, as :func:`mean_pool` does, and one sequence by itself, so that nothing leaks
    from its neighbours.

    Args:
        hidden: Last hidden states of shape (T, D), any float dtype.
        segments: Tokens before, among and behind those that are averaged, integers of shape
            (3 B,), together T.

    Returns:
        float32 of shape (B, D).
    """
    # Unchecked: to check, the lengths would have to be asked of the device.
    sums = torch.segment_reduce(hidden.float(), "sum", lengths=segments, unsafe=True)
    return sums[1::3] / segments[1::3, None]

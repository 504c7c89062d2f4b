"""From one vector for each token to one for the protein."""

from __future__ import annotations

import torch
from torch import Tensor


def mean_pool(hidden: Tensor, lengths: Tensor) -> Tensor:
    """Averages over the residues: positions 1 to n, without ``<cls>``, ``<eos>`` and padding.

    Sums in float32 on the device, whatever the dtype of the hidden states: a float16 sum over a
    long protein loses three digits. Padding is left out by selection, not by multiplication with
    zero, so that NaN in it does not matter.

    Args:
        hidden: Last hidden states of shape (B, T, D), any float dtype.
        lengths: Residues n of each sequence, integers of shape (B,), 1 <= n <= T - 2.

    Returns:
        float32 of shape (B, D).
    """
    positions = torch.arange(hidden.shape[1], device=hidden.device)
    is_residue = (positions >= 1) & (positions <= lengths[:, None])
    residues = hidden.masked_fill(~is_residue[:, :, None], 0.0)
    return residues.sum(dim=1, dtype=torch.float32) / lengths[:, None]

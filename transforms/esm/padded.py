"""One forward pass in which each sequence is padded to the longest: of any model but our own.

So it is with a model that is given as it is, and where there is no kernel for packed sequences.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from transforms.arrays import Vectors
from transforms.esm.encoding import PAD, TokenIds, encode
from transforms.esm.packing import Row


def embed_padded(
    model: nn.Module, rows: Sequence[Row], device: torch.device
) -> tuple[Vectors, int, float]:
    """Runs a model once.

    Args:
        model: Gives ``last_hidden_state`` (B, T, D) for ``input_ids`` and ``attention_mask``
            (B, T).
        rows: B sequences, B >= 1.
        device: Where the model is.

    Returns:
        For each sequence the mean over the residues that count, float32 of shape (B, D); how many
        tokens were computed for that, padding too; and the seconds it took.

    Raises:
        ValueError: A sequence is empty, or holds what is not an amino acid letter.
    """
    arrays = (
        *pad([encode(row.residues) for row in rows]),
        np.array([1 + row.first for row in rows]),
        np.array([1 + row.last for row in rows]),
    )
    started = time.perf_counter()
    ids, mask, starts, stops = (torch.from_numpy(array).to(device) for array in arrays)
    hidden = model(input_ids=ids, attention_mask=mask).last_hidden_state
    # .cpu() waits for the device, so that its errors come up here, in the pass they belong to.
    vectors = mean_pool(hidden, starts, stops).cpu().numpy()
    return vectors, ids.numel(), time.perf_counter() - started


def pad(rows: Sequence[TokenIds]) -> tuple[TokenIds, TokenIds]:
    """Brings encoded sequences to one length.

    Args:
        rows: B arrays as :func:`encode` returns them, B >= 1.

    Returns:
        Token ids and attention mask (1 for a token, 0 for padding), both int64 of shape (B, T),
        T being the length of the longest.
    """
    shape = len(rows), max(len(ids) for ids in rows)
    padded = np.full(shape, PAD, dtype=np.int64)
    attention_mask = np.zeros(shape, dtype=np.int64)
    for row, ids in enumerate(rows):
        padded[row, : len(ids)] = ids
        attention_mask[row, : len(ids)] = 1
    return padded, attention_mask


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

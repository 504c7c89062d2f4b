"""Sequences through the model, one forward pass after the other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn

from transforms.bisection import Failure, run_isolated
from transforms.encoding import TokenIds, encode, pad
from transforms.pooling import mean_pool

Vector = np.ndarray[Any, np.dtype[np.float32]]


def slice_passes(lengths: Sequence[int], toks_per_batch: int) -> list[list[int]]:
    """Cuts sequences into forward passes of at most ``toks_per_batch`` tokens, padding counted.

    Similar lengths go together, so that there is little padding. The longest go first: what does
    not fit into memory shows at once, not after hours.

    Args:
        lengths: Residues of each sequence.
        toks_per_batch: Tokens of one pass: (longest + 2) x number of sequences.

    Returns:
        The passes, each a list of positions in ``lengths``; every position is in exactly one.
        A sequence that alone exceeds the budget is a pass of its own.
    """
    passes: list[list[int]] = []
    for index in sorted(range(len(lengths)), key=lambda index: -lengths[index]):
        # The first of a pass is its longest.
        if passes and (lengths[passes[-1][0]] + 2) * (len(passes[-1]) + 1) <= toks_per_batch:
            passes[-1].append(index)
        else:
            passes.append([index])
    return passes


def embed_passes(
    model: nn.Module, sequences: Sequence[str], toks_per_batch: int
) -> Iterator[dict[str, Vector | Failure]]:
    """Embeds sequences, each of them once.

    Args:
        model: Gives ``last_hidden_state`` (B, T, D) for ``input_ids`` and ``attention_mask``.
        sequences: Residues, upper case.
        toks_per_batch: Tokens of one pass, padding counted.

    Yields:
        After each pass, its sequences with their vectors, float32 of shape (D,), or failures.

    Raises:
        Exception: The device is broken for this process; see :func:`run_isolated`.
    """
    encoded: dict[str, TokenIds] = {}
    for sequence in dict.fromkeys(sequences):
        try:
            encoded[sequence] = encode(sequence)
        except ValueError as error:
            error_type = "invalid_residue" if sequence else "empty_sequence"
            yield {sequence: Failure(error_type, str(error), attempts=1)}
    distinct = list(encoded)
    for chosen in slice_passes([len(sequence) for sequence in distinct], toks_per_batch):
        members = [distinct[index] for index in chosen]
        outcomes = run_isolated(partial(_forward, model), [encoded[member] for member in members])
        yield dict(zip(members, outcomes, strict=True))


@torch.inference_mode()
def _forward(model: nn.Module, encoded: Sequence[TokenIds]) -> list[Vector]:
    """Returns the mean over the residues for each encoded sequence."""
    parameter = next(model.parameters(), None)
    device = torch.device("cpu") if parameter is None else parameter.device
    input_ids, attention_mask = (torch.from_numpy(array).to(device) for array in pad(encoded))
    lengths = attention_mask.sum(dim=1) - 2
    hidden = model(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
    # .cpu() waits for the device, so that its errors come up here, in the pass they belong to.
    return list(mean_pool(hidden, lengths).cpu().numpy())

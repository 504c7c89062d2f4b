"""How programs that have no batches of their own are given theirs: by the sum, or padded."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from benchmarks.mixes import cut, read_fasta
from benchmarks.peer import Vectors


@torch.inference_mode()
def embed_padded(fasta: Path, budget: int, forward: Callable[[list[str]], torch.Tensor]) -> Vectors:
    """Embeds a file in sorted, padded batches, as a careful user of a plain model does.

    Args:
        fasta: The file.
        budget: As :func:`slice_padded` takes it.
        forward: Returns last hidden states of shape (B, T, D) for B sequences, which it pads.

    Returns:
        For each id the mean over the residues, taken in float32 on the device.
    """
    records = read_fasta(fasta)
    names, sequences = list(records), cut(records.values())
    vectors = {}
    for batch in slice_padded([len(sequence) + 2 for sequence in sequences], budget):
        hidden = forward([sequences[index] for index in batch])
        means = torch.stack(
            [
                hidden[row, 1 : len(sequences[index]) + 1].float().mean(dim=0)
                for row, index in enumerate(batch)
            ]
        ).cpu()
        vectors.update((names[index], means[row].numpy()) for row, index in enumerate(batch))
    return vectors


def slice_padded(lengths: Sequence[int], budget: int) -> list[list[int]]:
    """Cuts sequences, longest first, into batches of at most ``budget`` tokens with padding.

    Args:
        lengths: Tokens of each sequence.
        budget: Longest of a batch x number of sequences.

    Returns:
        Positions in ``lengths``, each in exactly one batch. A sequence above the budget is alone.
    """
    batches: list[list[int]] = []
    for index in longest_first(lengths):
        if batches and lengths[batches[-1][0]] * (len(batches[-1]) + 1) <= budget:
            batches[-1].append(index)
        else:
            batches.append([index])
    return batches


def slice_by_sum(order: Sequence[int], lengths: Sequence[int], budget: int) -> list[list[int]]:
    """Cuts sequences, in the order given, into batches of at most ``budget`` tokens in all.

    Returns:
        Positions in ``lengths``, each in exactly one batch. A sequence above the budget is alone.
    """
    batches: list[list[int]] = []
    tokens = 0
    for index in order:
        if batches and tokens + lengths[index] <= budget:
            batches[-1].append(index)
            tokens += lengths[index]
        else:
            batches.append([index])
            tokens = lengths[index]
    return batches


def longest_first(lengths: Sequence[int]) -> list[int]:
    """Returns the positions of lengths, that of the greatest first."""
    return sorted(range(len(lengths)), key=lambda index: -lengths[index])

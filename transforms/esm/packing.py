"""Sequences one after the other, without padding, as the packed encoder takes them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from transforms.esm.encoding import encode_packed


class Row(NamedTuple):
    """What goes through the model as one sequence, and which of its residues are averaged.

    Attributes:
        residues: n residues, upper case.
        first: First residue that is averaged, from 0.
        last: Where those end.
    """

    residues: str
    first: int
    last: int

    @property
    def tokens(self) -> int:
        """Residues, BOS and EOS."""
        return len(self.residues) + 2


@dataclass(frozen=True, slots=True, eq=False)
class Pack:
    """B sequences of together T tokens, on the device of the model.

    Attributes:
        token_ids: int32 of shape (T,).
        positions: Of each token in its sequence, from 0; int32 of shape (T,).
        boundaries: Where each sequence begins, and T; int32 of shape (B + 1,).
        segments: Tokens before, among and behind those that are averaged, for each sequence;
            int32 of shape (3 B,), together T.
        longest: Tokens of the longest sequence, or more; known without asking the device.
    """

    token_ids: Tensor
    positions: Tensor
    boundaries: Tensor
    segments: Tensor
    longest: int

    def __len__(self) -> int:
        """Number of sequences."""
        return len(self.boundaries) - 1


def pack(rows: Sequence[Row], device: torch.device) -> Pack:
    """Packs the sequences of one pass; see :func:`pack_passes`."""
    (packed,) = pack_passes([rows], device)
    return packed


def pack_passes(passes: Sequence[Sequence[Row]], device: torch.device) -> list[Pack]:
    """Packs sequences, pass by pass; everything goes to the device in one copy.

    All in one go: a forward pass leaves nothing of this in the processor's cache, and cutting out
    the next one behind it took ten times as long.

    Args:
        passes: At least one, each of one sequence or more.
        device: Where the model is.

    Raises:
        ValueError: A sequence is empty, or holds what is not an amino acid letter.
    """
    rows = list(chain.from_iterable(passes))
    lengths = np.array([row.tokens for row in rows], dtype=np.int32)
    counts = list(map(len, passes))
    each = np.split(lengths, np.cumsum(counts[:-1]))
    tokens, places = [int(part.sum()) for part in each], [count + 1 for count in counts]
    sizes = [sum(tokens), sum(tokens), sum(places), 3 * len(rows)]
    # From pinned memory the copy does not wait.
    host = torch.empty(sum(sizes), dtype=torch.int32, pin_memory=device.type == "cuda")
    ids, positions, boundaries, segments = np.split(host.numpy(), np.cumsum(sizes[:-1]))
    ids[:] = encode_packed([row.residues for row in rows])
    ends = np.cumsum(lengths, dtype=np.int32)
    np.subtract(
        np.arange(len(ids), dtype=np.int32), np.repeat(ends - lengths, lengths), out=positions
    )
    for edges, part in zip(np.split(boundaries, np.cumsum(places[:-1])), each, strict=True):
        edges[0] = 0
        np.cumsum(part, out=edges[1:])
    before, averaged, behind = segments.reshape(-1, 3).T
    before[:] = [1 + row.first for row in rows]
    averaged[:] = [row.last - row.first for row in rows]
    behind[:] = lengths - before - averaged
    whole = torch.split(host.to(device, non_blocking=True), sizes)
    cuts = tokens, tokens, places, [3 * count for count in counts]
    parts = zip(*map(torch.split, whole, cuts), each, strict=True)
    return [Pack(a, b, c, d, int(part.max())) for a, b, c, d, part in parts]

"""Sequences one after the other, without padding, as the packed encoder takes them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from transforms.esm.encoding import encode_packed

Offsets = npt.NDArray[np.int64]


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
        offsets: The boundaries in the memory of the host, so that nobody has to ask the device.
        longest: Tokens of the longest sequence, or more.
    """

    token_ids: Tensor
    positions: Tensor
    boundaries: Tensor
    segments: Tensor
    offsets: Offsets
    longest: int

    def __len__(self) -> int:
        """Number of sequences."""
        return len(self.offsets) - 1

    def __getitem__(self, sequences: slice) -> Pack:
        """Returns a part; it shares the memory of the whole."""
        start, stop, _ = sequences.indices(len(self))
        offsets = self.offsets[start : stop + 1]
        tokens = slice(int(offsets[0]), int(offsets[-1]))
        return Pack(
            self.token_ids[tokens],
            self.positions[tokens],
            self.boundaries[start : stop + 1] - tokens.start,
            self.segments[3 * start : 3 * stop],
            offsets - tokens.start,
            int((offsets[1:] - offsets[:-1]).max()),
        )


def pack(rows: Sequence[Row], device: torch.device) -> Pack:
    """Packs sequences; everything goes to the device in one copy.

    Args:
        rows: B sequences, B >= 1.
        device: Where the model is.

    Raises:
        ValueError: A sequence is empty, or holds what is not an amino acid letter.
    """
    lengths = np.array([row.tokens for row in rows], dtype=np.int32)
    offsets = np.zeros(len(rows) + 1, dtype=np.int64)
    np.cumsum(lengths, out=offsets[1:])
    tokens = int(offsets[-1])
    sizes = [tokens, tokens, len(offsets), 3 * len(rows)]
    # From pinned memory the copy does not wait.
    host = torch.empty(sum(sizes), dtype=torch.int32, pin_memory=device.type == "cuda")
    ids, positions, boundaries, segments = np.split(host.numpy(), np.cumsum(sizes[:-1]))
    ids[:] = encode_packed([row.residues for row in rows])
    boundaries[:] = offsets
    np.subtract(
        np.arange(tokens, dtype=np.int32), np.repeat(boundaries[:-1], lengths), out=positions
    )
    before, averaged, behind = segments.reshape(-1, 3).T
    before[:] = [1 + row.first for row in rows]
    averaged[:] = [row.last - row.first for row in rows]
    behind[:] = lengths - before - averaged
    token_ids, places, starts, parts = torch.split(host.to(device, non_blocking=True), sizes)
    return Pack(token_ids, places, starts, parts, offsets, int(lengths.max()))

"""Residues to ESM-2 token ids, by table look-up.

Every character is one byte and every byte one token, so a sequence of n residues is n + 2 tokens
by construction. A tokenizer that merges unknown letters, as Hugging Face's EsmTokenizer does,
would shift the positions that are averaged: a wrong vector under a right name.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from transforms.residues import ALLOWED_RESIDUES

TokenIds = npt.NDArray[np.int64]

VOCAB = (
    "<cls>", "<pad>", "<eos>", "<unk>",
    "L", "A", "G", "V", "S", "E", "R", "T", "I", "D", "P", "K", "Q", "N", "F", "Y", "M", "H", "W",
    "C", "X", "B", "U", "Z", "O", ".", "-",
    "<null_1>", "<mask>",
)  # fmt: skip
"""The vocabulary of ESM-2; a token's id is its position."""

CLS, PAD, EOS = 0, 1, 2

_FORBIDDEN = -1
_ID_OF_BYTE = np.full(256, _FORBIDDEN, dtype=np.int64)
for _residue in ALLOWED_RESIDUES:
    _ID_OF_BYTE[ord(_residue)] = VOCAB.index(_residue)


def encode(sequence: str) -> TokenIds:
    """Returns the token ids of one sequence of n residues, int64 of shape (n + 2,).

    Raises:
        ValueError: As :func:`encode_packed` does.
    """
    return encode_packed([sequence])


def encode_packed(sequences: Sequence[str]) -> TokenIds:
    """Returns the token ids of sequences, each with ``<cls>`` before and ``<eos>`` after it.

    Args:
        sequences: B sequences, together n residues, upper case.

    Returns:
        int64 array of shape (n + 2 B,).

    Raises:
        ValueError: A sequence is empty, or holds a character that is not one of the 20 amino
            acids, U, Z, O, B or X; the first one is named.
    """
    lengths = np.array([len(sequence) + 2 for sequence in sequences], dtype=np.int64)
    ends = np.cumsum(lengths)
    starts = ends - lengths
    ids = np.empty(lengths.sum(), dtype=np.int64)
    is_residue = np.ones(len(ids), dtype=bool)
    is_residue[starts] = is_residue[ends - 1] = False
    ids[starts], ids[ends - 1] = CLS, EOS
    # Whatever is not Latin-1 becomes "?", so that it still is one byte, and is refused below.
    text = "".join(sequences).encode("latin-1", "replace")
    ids[is_residue] = _ID_OF_BYTE[np.frombuffer(text, dtype=np.uint8)]
    if _FORBIDDEN in ids or "" in sequences:
        for sequence in sequences:
            _refuse(sequence)
    return ids


def _refuse(sequence: str) -> None:
    if not sequence:
        raise ValueError("a sequence without residues has no embedding")
    for position, residue in enumerate(sequence, 1):
        if residue not in ALLOWED_RESIDUES:
            raise ValueError(f"{residue!r} at position {position} has no token of its own")


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

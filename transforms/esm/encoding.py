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

_FORBIDDEN = 255
_ID_OF_BYTE = bytes(
    VOCAB.index(chr(byte)) if chr(byte) in ALLOWED_RESIDUES else _FORBIDDEN for byte in range(256)
)
_BEGIN, _BETWEEN, _END = bytes([CLS]), bytes([EOS, CLS]), bytes([EOS])


def encode(sequence: str) -> TokenIds:
    """Returns the token ids of one sequence of n residues, int64 of shape (n + 2,).

    Raises:
        ValueError: As :func:`encode_packed` does.
    """
    return encode_packed([sequence]).astype(np.int64)


def encode_packed(sequences: Sequence[str]) -> npt.NDArray[np.uint8]:
    """Returns the token ids of sequences, each with ``<cls>`` before and ``<eos>`` after it.

    Args:
        sequences: B sequences, together n residues, upper case.

    Returns:
        uint8 array of shape (n + 2 B,).

    Raises:
        ValueError: A sequence is empty, or holds a character that is not one of the 20 amino
            acids, U, Z, O, B or X; the first one is named.
    """
    if not sequences:
        return np.zeros(0, dtype=np.uint8)
    # Whatever is not Latin-1 becomes "?", so that it still is one byte, and is refused below.
    texts = [s.encode("latin-1", "replace").translate(_ID_OF_BYTE) for s in sequences]
    ids = _BEGIN + _BETWEEN.join(texts) + _END
    if _FORBIDDEN in ids or b"" in texts:
        for sequence in sequences:
            _refuse(sequence)
    return np.frombuffer(ids, dtype=np.uint8)


def _refuse(sequence: str) -> None:
    if not sequence:
        raise ValueError("a sequence without residues has no embedding")
    for position, residue in enumerate(sequence, 1):
        if residue not in ALLOWED_RESIDUES:
            raise ValueError(f"{residue!r} at position {position} has no token of its own")

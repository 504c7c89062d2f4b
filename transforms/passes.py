"""Sequences through the model, one forward pass after the other."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import repeat
from typing import Any

import numpy as np
import torch
from torch import nn

from transforms import events
from transforms.bisection import Failure, run_isolated
from transforms.encoding import TokenIds, encode, pad
from transforms.pooling import mean_pool
from transforms.under_way import Watch
from transforms.windows import Window, cut_windows

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


@dataclass(frozen=True, slots=True, eq=False)
class _Piece:
    """What goes through the model as one row: a window of a sequence, encoded."""

    sequence: str
    digest: str
    window: Window
    ids: TokenIds


def _cut(sequence: str, max_residues: int) -> list[_Piece]:
    """Returns the pieces of a sequence; raises ValueError where the model cannot take it."""
    windows = cut_windows(len(sequence), max_residues)
    encoded = [encode(sequence[window.start : window.stop]) for window in windows]
    digest = hashlib.sha256(sequence.encode()).hexdigest()
    return list(map(_Piece, repeat(sequence), repeat(digest), windows, encoded))


class _OpenMean:
    """The mean of a sequence, weighted by the residues that count in each of its windows."""

    def __init__(self, windows: Sequence[Window]) -> None:
        self._missing = len(windows)
        self._residues = windows[-1].last
        self._sum: Any = 0.0
        self._failure: Failure | None = None

    def add(self, window: Window, outcome: Vector | Failure) -> bool:
        """Adds the outcome of a window; tells whether it was the last."""
        self._missing -= 1
        if isinstance(outcome, Failure):
            self._failure = self._failure or outcome
        else:
            self._sum = self._sum + outcome.astype(np.float64) * window.weight
        return self._missing == 0

    def close(self) -> Vector | Failure:
        """Returns the mean, or why there is none: a window that fails fails the sequence."""
        if self._failure is not None:
            return self._failure
        mean: Vector = (self._sum / self._residues).astype(np.float32)
        return mean


def embed_passes(
    model: nn.Module,
    sequences: Sequence[str],
    toks_per_batch: int,
    max_residues: int,
    watch: Watch | None = None,
) -> Iterator[dict[str, Vector | Failure]]:
    """Embeds sequences, each of them once.

    Args:
        model: Gives ``last_hidden_state`` (B, T, D) for ``input_ids`` and ``attention_mask``.
        sequences: Residues, upper case.
        toks_per_batch: Tokens of one pass, padding counted.
        max_residues: What the model is given at the most; a longer sequence is taken in windows,
            and its vector is their mean, weighted by the residues that count in each.
        watch: Notes what is under way, and knows which sequences must go alone, or not at all.

    Yields:
        After each pass, the sequences that it completes with their vectors, float32 of shape
        (D,), or failures.

    Raises:
        Exception: The device is broken for this process; see :func:`run_isolated`.
    """
    watch = watch or Watch()
    suspects: list[list[_Piece]] = []
    others: list[_Piece] = []
    means: dict[str, _OpenMean] = {}
    for sequence in dict.fromkeys(sequences):
        try:
            pieces = _cut(sequence, max_residues)
        except ValueError as error:
            error_type = "invalid_residue" if sequence else "empty_sequence"
            yield {sequence: Failure(error_type, str(error), attempts=1)}
            continue
        if failure := watch.condemned(pieces[0].digest):
            yield {sequence: failure}
            continue
        means[sequence] = _OpenMean([piece.window for piece in pieces])
        if watch.is_suspect(pieces[0].digest):
            suspects.append(pieces)
        else:
            others += pieces
    if means and watch.is_untried:
        _try_out(model)
    for pieces in (*suspects, others):
        for chosen in slice_passes([len(piece.ids) - 2 for piece in pieces], toks_per_batch):
            members = [pieces[index] for index in chosen]
            outcomes = run_isolated(partial(_run_pass, model, watch), members)
            completed: dict[str, Vector | Failure] = {}
            for piece, outcome in zip(members, outcomes, strict=True):
                if means[piece.sequence].add(piece.window, outcome):
                    completed[piece.sequence] = means.pop(piece.sequence).close()
                    watch.clear(piece.digest)
            yield completed


def _try_out(model: nn.Module) -> None:
    """Runs what can do no harm: what breaks even so is the fault of no record, and is not noted."""
    run_isolated(partial(_forward, model), _cut("M", 1))


def _run_pass(model: nn.Module, watch: Watch, pieces: Sequence[_Piece]) -> list[Vector]:
    with watch.noted([piece.digest for piece in pieces]):
        return _forward(model, pieces)


@torch.inference_mode()
def _forward(model: nn.Module, pieces: Sequence[_Piece]) -> list[Vector]:
    """Returns the mean over the residues that count for each piece."""
    parameter = next(model.parameters(), None)
    device = torch.device("cpu") if parameter is None else parameter.device
    arrays = (
        *pad([piece.ids for piece in pieces]),
        np.array([1 + piece.window.first - piece.window.start for piece in pieces]),
        np.array([1 + piece.window.last - piece.window.start for piece in pieces]),
    )
    started = time.perf_counter()
    input_ids, mask, starts, stops = (torch.from_numpy(array).to(device) for array in arrays)
    hidden = model(input_ids=input_ids, attention_mask=mask).last_hidden_state
    # .cpu() waits for the device, so that its errors come up here, in the pass they belong to.
    vectors = mean_pool(hidden, starts, stops).cpu().numpy()
    seconds = time.perf_counter() - started
    events.emit(events.PassComputed(len(pieces), int(mask.sum()), mask.numel(), seconds))
    return list(vectors)

"""Sequences through the model, one forward pass after the other."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, nullcontext
from functools import cached_property
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

from transforms.arrays import Vector, Vectors
from transforms.esm.bisection import Failure, run_isolated
from transforms.esm.cores import run_side_by_side
from transforms.esm.device_errors import is_out_of_memory
from transforms.esm.encoding import encode_packed
from transforms.esm.forward import (
    Fetch,
    Rows,
    concurrent_passes,
    embed_rows,
    is_padded,
    launch_rows,
    launches_ahead,
    prepare_passes,
)
from transforms.esm.packing import Row
from transforms.esm.pass_budget import PassBudget
from transforms.esm.slicing import most_workers, slice_passes
from transforms.esm.under_way import Notes, digest_of
from transforms.esm.windows import cut_windows

Outcome = Vector | Failure
Outcomes = dict[str, Outcome]
"""By the residues of each sequence."""


class _Piece(NamedTuple):
    """What goes through the model as one row: a sequence, or one of its windows.

    Attributes:
        sequence: The whole of it.
        digest: Of the whole.
        windows: How many windows it has.
        row: What the model is given.
    """

    sequence: str
    digest: str
    windows: int
    row: Row


class _Prepared(NamedTuple):
    """A pass, and its rows as the model takes them."""

    pieces: Sequence[_Piece]
    rows: Rows

    def rows_of(self, members: Sequence[_Piece]) -> Rows:
        """Returns the rows of some of its pieces."""
        is_whole = len(members) == len(self.pieces)
        return self.rows if is_whole else [piece.row for piece in members]


# Launching blocks once the device has enough to do. A second thread would not be faster: passes
# are computed one after the other.
_LAUNCHER = ThreadPoolExecutor(1, "launcher")


class _Vectors:
    """The vectors of a call of the model, for which the first to ask waits.

    In place of ``functools.cache``, which takes 20 µs a pass where the processor's cache is cold.
    """

    def __init__(self, fetch: Fetch) -> None:
        self._fetch = fetch

    @cached_property
    def rows(self) -> Vectors:
        """float32 of shape (B, D)."""
        return self._fetch()


_Place = tuple[_Vectors, int]
_Launched = list[tuple[_Piece, _Place | Failure]]
"""The pieces of a pass, each with its place among vectors."""


def _cut(sequence: str, max_residues: int) -> list[_Piece]:
    windows = cut_windows(len(sequence), max_residues)
    digest = digest_of(sequence)
    return [
        _Piece(sequence, digest, len(windows), Row(sequence[a:b], first - a, last - a))
        for a, b, first, last in windows
    ]


def _average(windows: Sequence[tuple[int, Outcome]]) -> Outcome:
    """Returns the mean of windows, weighted by how many residues count in each.

    A window that fails fails the sequence.
    """
    total: Any = 0.0
    for residues, outcome in windows:
        if isinstance(outcome, Failure):
            return outcome
        total = total + outcome.astype(np.float64) * residues
    mean: Vector = (total / sum(residues for residues, _ in windows)).astype(np.float32)
    return mean


def embed_passes(
    model: nn.Module,
    sequences: Sequence[str],
    budget: PassBudget,
    max_residues: int,
    notes: Notes | None = None,
) -> Iterator[Outcomes]:
    """Embeds sequences, each of them once.

    Where passes can wait on the device, they are launched while this returns.

    Args:
        model: As :func:`launch_rows` takes it.
        sequences: Residues, upper case.
        budget: Tokens of one pass; it learns of a pass that does not fit into memory.
        max_residues: What the model is given at the most; a longer sequence is taken in windows,
            and its vector is their mean, weighted by the residues that count in each.
        notes: Notes what is under way, and knows which sequences must go alone, or not at all.

    Returns:
        As passes end, the sequences that they complete with their vectors, float32 of shape
        (D,), or failures.

    Raises:
        Exception: The device is broken for this process; see :func:`run_isolated`. This may come
            up in the iterator too.
    """
    notes = notes or Notes()
    distinct = dict.fromkeys(sequences)
    settled: Outcomes = dict(_refuse(list(distinct)))
    suspects: list[list[_Piece]] = []
    others: list[_Piece] = []
    open_windows: dict[str, list[tuple[int, Outcome]]] = defaultdict(list)
    for sequence in distinct:
        if sequence in settled:
            continue
        pieces = _cut(sequence, max_residues)
        if failure := notes.condemned(pieces[0].digest):
            settled[sequence] = failure
            continue
        if notes.is_suspect(pieces[0].digest):
            suspects.append(pieces)
        else:
            others += pieces
    if (suspects or others) and notes.is_untried:
        _try_out(model)

    def complete(launched: Iterable[Sequence[_Launched]]) -> Iterator[Outcomes]:
        for passes in launched:
            completed: Outcomes = {}
            for piece, place in chain.from_iterable(passes):
                outcome = _wait_for(place)
                if piece.windows > 1:
                    windows = open_windows[piece.sequence]
                    windows.append((piece.row.last - piece.row.first, outcome))
                    if len(windows) < piece.windows:
                        continue
                    outcome = _average(open_windows.pop(piece.sequence))
                completed[piece.sequence] = outcome
                notes.clear(piece.digest)
            yield completed

    run = _launch_passes if launches_ahead(model) else _run_passes
    # One after the other: a suspect must be alone.
    alone = [done for pieces in suspects for done in complete(run(model, pieces, budget, notes))]
    # With nothing to note, what is untried stays so.
    rest = complete(run(model, others, budget, notes)) if others else ()
    return chain([settled] if settled else [], alone, rest)


def _launch_passes(
    model: nn.Module, pieces: Sequence[_Piece], budget: PassBudget, notes: Notes
) -> Iterator[list[_Launched]]:
    """Has all passes launched, one after the other, and returns what yields them."""

    @torch.inference_mode()
    def launch_all() -> list[_Launched]:
        passes = _prepare(model, pieces, budget)
        return [_launch(model, prepared, budget, nullcontext) for prepared in passes]

    def wait_for_all() -> Iterator[list[_Launched]]:
        with noted:
            for each in launched.result():
                yield [each]

    with ExitStack() as stack:
        stack.enter_context(notes.noted([piece.digest for piece in pieces]))
        launched = _LAUNCHER.submit(launch_all)
        noted = stack.pop_all()
    return wait_for_all()


def _run_passes(
    model: nn.Module, pieces: Sequence[_Piece], budget: PassBudget, notes: Notes
) -> Iterator[list[_Launched]]:
    """Yields passes that have been computed, each noted while it was."""
    workers = most_workers([len(p.row.residues) for p in pieces], concurrent_passes(model))

    def run(prepared: _Prepared) -> _Launched:
        return _launch(model, prepared, budget, notes.noted)

    return run_side_by_side(run, _prepare(model, pieces, budget, workers), workers)


def _launch(
    model: nn.Module,
    prepared: _Prepared,
    budget: PassBudget,
    noted: Callable[[Sequence[str]], AbstractContextManager[object]],
) -> _Launched:
    """Launches a pass; where that fails, its halves, and the budget learns what did not fit."""

    def launch_some(members: Sequence[_Piece]) -> Sequence[_Place]:
        try:
            with noted([piece.digest for piece in members]):
                vectors = _Vectors(launch_rows(model, prepared.rows_of(members), budget.tokens))
        except Exception as error:
            if is_out_of_memory(error):
                budget.ran_out(sum(piece.row.tokens for piece in members))
            raise
        return [(vectors, row) for row in range(len(members))]

    places = run_isolated(launch_some, prepared.pieces)
    return list(zip(prepared.pieces, places, strict=True))


def _wait_for(place: _Place | Failure) -> Outcome:
    if isinstance(place, Failure):
        return place
    vectors, row = place
    vector: Vector = vectors.rows[row]
    return vector


def _prepare(
    model: nn.Module, pieces: Sequence[_Piece], budget: PassBudget, workers: int = 1
) -> Iterator[_Prepared]:
    """Yields passes, the longest sequences first; after memory ran out, smaller ones."""
    remaining = sorted(pieces, key=lambda piece: -len(piece.row.residues))
    while remaining:
        tokens = budget.tokens
        lengths = [len(piece.row.residues) for piece in remaining]
        cut = slice_passes(lengths, tokens, is_padded(model), workers)
        passes = [remaining[each.start : each.stop] for each in cut]
        rows = prepare_passes(model, [[piece.row for piece in members] for members in passes])
        for members, prepared in zip(passes, rows, strict=True):
            if budget.tokens < tokens:
                break
            yield _Prepared(members, prepared)
            remaining = remaining[len(members) :]


def _refuse(sequences: Sequence[str]) -> dict[str, Failure]:
    """Returns what the model has no tokens for; nothing, once the residue policy has seen them."""
    try:
        encode_packed(sequences)
    except ValueError as error:
        if len(sequences) > 1:
            return {s: failure for each in sequences for s, failure in _refuse([each]).items()}
        error_type = "invalid_residue" if sequences[0] else "empty_sequence"
        return {sequences[0]: Failure(error_type, str(error), attempts=1)}
    return {}


def _try_out(model: nn.Module) -> None:
    """Runs what can do no harm: what breaks even so is the fault of no record, and is not noted."""
    run_isolated(lambda rows: list(embed_rows(model, rows)), [Row("M", 0, 1)])

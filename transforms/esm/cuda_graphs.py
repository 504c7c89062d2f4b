"""CUDA graphs: the 400 kernels of a pass, launched as one.

A graph has fixed shapes: a number of tokens on a ladder, and places for sequences. Tokens that are
left over are one mock sequence more, and places that are left are empty ones. What follows from
them is dropped; it cannot reach the others, between which nothing is attended to either.

Recording takes some tenths of a second, so it is done for what comes a second time.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from transforms.esm.device_errors import is_fatal, is_of_recording, is_out_of_memory
from transforms.esm.encoder import PackedEncoder
from transforms.esm.packing import Pack

logger = logging.getLogger(__name__)

_RUNGS = 8  # of the ladder from nothing to a full pass
_SEQUENCES = (64, 256, 1024, 4096, 16384)
_STEP_OF_LONGEST = 384  # three blocks of queries of the flash kernel
_MOST_GRAPHS = 64

Key = tuple[int, int, int]  # tokens, sequences, tokens of the longest


@dataclass(frozen=True)
class _Graph:
    """A graph with the places of what goes in and comes out.

    Attributes:
        places: What is computed, under the same names as in a pack.
        graph: The kernels.
        pooled: What comes out: float32 of shape (places for sequences, D).
        held: What the kernels read beside that; it must not be freed.
    """

    places: Pack
    graph: torch.cuda.CUDAGraph
    pooled: Tensor
    held: Tensor

    def replay(self, packed: Pack) -> Tensor:
        """Computes a pack that fits; returns its rows, which the next replay overwrites."""
        fill_places(self.places, packed)
        self.graph.replay()
        return self.pooled[: len(packed)]


class Graphs:
    """The graphs of one encoder, made when first needed.

    For one thread at a time. What they are given is computed in the order of calls.
    """

    def __init__(self) -> None:
        self._full = 0
        self._seen: set[Key] = set()
        self._graphs: dict[Key, _Graph] = {}
        self._pool = torch.cuda.graph_pool_handle()
        self._is_usable = True

    def run(self, encoder: PackedEncoder, packed: Pack, full: int) -> Tensor:
        """Computes a pack, through a graph if it is not the first of its size.

        Args:
            encoder: The encoder, always the same.
            packed: What to compute.
            full: Tokens of a full pass.

        Returns:
            float32 of shape (B, D); the next call may overwrite it.
        """
        if self._is_usable and len(packed.token_ids) <= full:
            if full != self._full:  # memory ran out, or somebody has other wishes
                self._forget()
                self._full = full
            if graph := self._find(encoder, packed):
                return graph.replay(packed)
        return encoder.embed(packed)

    def _find(self, encoder: PackedEncoder, packed: Pack) -> _Graph | None:
        key = choose_places(packed, self._full)
        if key in self._graphs or key not in self._seen or len(self._graphs) == _MOST_GRAPHS:
            self._seen.add(key)
            return self._graphs.get(key)
        places = make_places(*key, packed.token_ids.device)
        fill_places(places, packed)
        # Once before: what is compiled or looked up at a first call cannot be recorded.
        if not self._has_room(lambda: encoder.embed(places)):
            logger.info("No CUDA graphs: there is no memory for them.")
            self._is_usable = False
            self._forget()
            return None
        try:
            self._graphs[key] = self._capture(encoder, places)
        except Exception as error:  # whatever cannot be recorded
            if is_fatal(error) and not is_of_recording(error):
                raise
            logger.warning("No CUDA graphs (%s): %s", type(error).__name__, error)
            self._is_usable = False
            self._forget()
        return self._graphs.get(key)

    def _forget(self) -> None:
        if self._graphs:
            torch.cuda.synchronize()  # the device may be at work on one
        self._seen.clear()
        self._graphs.clear()

    def _has_room(self, run: Callable[[], Tensor]) -> bool:
        """Runs once, and tells whether there is memory for that twice more."""
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        try:
            run()
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            return False
        needed = torch.cuda.max_memory_allocated() - before
        unused = torch.cuda.memory_reserved() - torch.cuda.memory_allocated()
        return torch.cuda.mem_get_info()[0] + unused > 2 * needed

    def _capture(self, encoder: PackedEncoder, places: Pack) -> _Graph:
        held = encoder.tabulate_angles(places.longest)
        graph, stream = torch.cuda.CUDAGraph(), torch.cuda.current_stream()
        try:
            with torch.cuda.graph(graph, pool=self._pool, capture_error_mode="thread_local"):
                pooled = encoder.embed(places)
        finally:
            torch.cuda.set_stream(stream)  # torch does not go back where recording fails
        return _Graph(places, graph, pooled, held)


def choose_places(packed: Pack, full: int) -> Key:
    """Returns tokens, sequences and tokens of the longest that there are places for.

    Args:
        packed: What must fit, with a mock sequence.
        full: Tokens of a full pass, at least those of the pack.
    """
    step = max(1, full // _RUNGS)
    tokens = min(full, -(-len(packed.token_ids) // step) * step)
    # More sequences than the largest number have at least tokens of their own.
    sequences = next((size for size in _SEQUENCES if size > len(packed)), tokens + 1)
    return tokens, sequences, -(-packed.longest // _STEP_OF_LONGEST) * _STEP_OF_LONGEST


def make_places(tokens: int, sequences: int, longest: int, device: torch.device) -> Pack:
    """Returns an empty pack of the size that :func:`choose_places` has chosen."""

    def zeros(size: int) -> Tensor:
        return torch.zeros(size, dtype=torch.int32, device=device)

    boundaries, segments = zeros(sequences + 1), zeros(3 * sequences)
    return Pack(zeros(tokens), zeros(tokens), boundaries, segments, longest)


def fill_places(places: Pack, packed: Pack) -> None:
    """Puts a pack into places for more, and a mock sequence into the tokens that are left.

    Tokens and positions of that one are what was there before.

    Args:
        places: For at least as many tokens, and at least one sequence more.
        packed: What goes there.
    """
    tokens, sequences, room = len(packed.token_ids), len(packed), len(places.token_ids)
    places.token_ids[:tokens].copy_(packed.token_ids)
    places.positions[:tokens].copy_(packed.positions)
    places.boundaries[: sequences + 1].copy_(packed.boundaries)
    places.boundaries[sequences + 1 :].fill_(room)
    places.segments[: 3 * sequences].copy_(packed.segments)
    places.segments[3 * sequences :].zero_()
    places.segments[3 * sequences].fill_(room - tokens)

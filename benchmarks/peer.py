"""What every program that is measured looks like from outside, and how its passes are counted."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

PAD = 1

Vectors = Mapping[str, np.ndarray]


class UnavailableError(Exception):
    """A program cannot be measured here; the message says why."""


@dataclass
class Passes:
    """The forward passes of a program.

    Attributes:
        seconds: Time in the model.
        slots: Tokens that were computed, with padding.
        tokens: The same without padding.
    """

    seconds: float = 0.0
    slots: int = 0
    tokens: int = 0
    _unread: list[tuple[Any, Any, Any]] = field(default_factory=list)

    def add(self, seconds: float, slots: int, tokens: int) -> None:
        """Counts a pass."""
        self.seconds += seconds
        self.slots += slots
        self.tokens += tokens

    def watch(self, first: Any, last: Any | None = None) -> None:
        """Counts the calls of a torch module.

        On CUDA nothing waits for the device: its own events are read at the end.

        Args:
            first: The module that is given the token ids.
            last: The module whose end is the end of the pass; None for the same.
        """
        begun: list[tuple[float | Any, int, Any]] = []

        def start(_: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            ids = args[0] if args else kwargs["input_ids"]
            tokens = (ids != PAD).sum()
            begun.append((_now(ids.is_cuda), ids.numel(), tokens))

        def stop(*_: Any) -> None:
            started, slots, tokens = begun.pop()
            self.slots += slots
            self._unread.append((started, _now(tokens.is_cuda), tokens))

        first.register_forward_pre_hook(start, with_kwargs=True)
        (first if last is None else last).register_forward_hook(stop)

    @contextmanager
    def timed(self, ids: np.ndarray) -> Iterator[None]:
        """Counts what is done in a ``with`` block as one pass over token ids."""
        started = time.perf_counter()
        yield
        self.add(time.perf_counter() - started, ids.size, int((ids != PAD).sum()))

    def take(self) -> Passes:
        """Returns what was counted so far and begins anew; the device must have finished."""
        for started, stopped, tokens in self._unread:
            is_event = not isinstance(started, float)
            seconds = started.elapsed_time(stopped) / 1000 if is_event else stopped - started
            self.add(seconds, 0, int(tokens))
        taken = Passes(self.seconds, self.slots, self.tokens)
        self.__init__()  # type: ignore[misc]
        return taken


def _now(is_cuda: bool) -> Any:
    if not is_cuda:
        return time.perf_counter()
    import torch

    event = torch.cuda.Event(enable_timing=True)
    event.record()
    return event


@dataclass(frozen=True)
class Setting:
    """How a program is to be run.

    Attributes:
        checkpoint: Directory of the weights.
        work: An empty folder for what it writes.
        device: ``cpu`` or ``cuda``.
        dtype: ``float32``, ``float16`` or ``bfloat16``.
        threads: Threads of the CPU.
        budget: Tokens of one forward pass; None for the program's own default.
        fastplms: A checkout of FastPLMs, if there is one.
        passes: Where its forward passes are counted.
    """

    checkpoint: Path
    work: Path
    device: str
    dtype: str
    threads: int
    budget: int | None = None
    fastplms: Path | None = None
    passes: Passes = field(default_factory=Passes)


@dataclass(frozen=True)
class Peer:
    """A program with its weights loaded.

    Attributes:
        embed: Embeds a FASTA file; this is what is timed. It returns when all vectors are in the
            memory of the CPU or on disk.
        collect: Turns what ``embed`` returned into vectors by id; not timed.
    """

    embed: Callable[[Path], Any]
    collect: Callable[[Any], Vectors] = dict

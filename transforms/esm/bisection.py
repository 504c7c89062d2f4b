"""Runs a batch so that one bad record costs no other record anything."""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch

from transforms import events
from transforms.esm.device_errors import is_fatal, is_out_of_memory
from transforms.text import one_line

T = TypeVar("T")
R = TypeVar("R")

_MAX_MESSAGE = 500


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a record has no result.

    Attributes:
        error_type: ``oom`` for a record that does not fit into memory even alone, else the name
            of the exception's class.
        message: What the exception said, on one line.
        attempts: In how many calls of ``run`` the record was.
    """

    error_type: str
    message: str
    attempts: int


def run_isolated(
    run: Callable[[Sequence[T]], Sequence[R]], items: Sequence[T], attempts: int = 1
) -> list[R | Failure]:
    """Runs a batch; where it fails, its halves, down to the record.

    A result is taken from a call that succeeded as a whole, so no record has two. A call that
    runs out of memory, or fails otherwise, is repeated in halves; a record that fails alone is
    a :class:`Failure`.

    Args:
        run: Returns one result for each item, in order.
        items: What to run.
        attempts: How many calls they have been in, with this one.

    Returns:
        One result or failure for each item, in order.

    Raises:
        Exception: What ``run`` raised, where :func:`is_fatal` says that no later call can work.
    """
    if not items:
        return []
    try:
        results = run(items)
    except Exception as error:
        if is_fatal(error):
            raise
        failure = _describe(error, attempts)
    else:
        if len(results) != len(items):
            raise AssertionError(f"{len(results)} results for {len(items)} records")
        return list(results)
    # Only here is the traceback gone, and with it the frames that hold the tensors.
    if failure.error_type == "oom":
        events.emit(events.OutOfMemory(len(items)))
        _free_memory()
    if len(items) == 1:
        return [failure]
    middle = len(items) // 2
    first = run_isolated(run, items[:middle], attempts + 1)
    return first + run_isolated(run, items[middle:], attempts + 1)


def _describe(error: Exception, attempts: int) -> Failure:
    error_type = "oom" if is_out_of_memory(error) else type(error).__name__
    message = one_line(error) or type(error).__name__
    return Failure(error_type, message[:_MAX_MESSAGE], attempts)


def _free_memory() -> None:
    """Gives back what torch's allocators hold but do not use."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    if torch.backends.mps.is_available():
        torch.mps.empty_cache()

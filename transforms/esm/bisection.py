"""Runs a batch so that one bad record costs no other record anything."""

from __future__ import annotations

import gc
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch

from transforms import events

T = TypeVar("T")
R = TypeVar("R")

_MAX_MESSAGE = 500

_OUT_OF_MEMORY = re.compile(
    r"out of memory|can(no|')t allocate memory|not enough memory|STATUS_ALLOC_FAILED",
    re.IGNORECASE,
)
_BROKEN_DEVICE = re.compile(
    r"CUDA error|CUBLAS_STATUS_|CUDNN_STATUS_|device-side assert|illegal memory access",
    re.IGNORECASE,
)


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


def is_out_of_memory(error: BaseException) -> bool:
    """Tells whether less work at a time may help: CUDA, MPS or the CPU ran out of memory."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    return isinstance(error, RuntimeError) and bool(_OUT_OF_MEMORY.search(str(error)))


def is_fatal(error: BaseException) -> bool:
    """Tells whether the device is broken for this process: every later call would fail too."""
    if is_out_of_memory(error):
        return False
    return isinstance(error, torch.AcceleratorError) or (
        isinstance(error, RuntimeError) and bool(_BROKEN_DEVICE.search(str(error)))
    )


def free_memory() -> None:
    """Gives back what torch's allocators hold but do not use."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    if torch.backends.mps.is_available():
        torch.mps.empty_cache()


def run_isolated(
    run: Callable[[Sequence[T]], Sequence[R]],
    items: Sequence[T],
    free: Callable[[], None] = free_memory,
) -> list[R | Failure]:
    """Runs a batch; where it fails, its halves, down to the record.

    A result is taken from a call that succeeded as a whole, so no record has two. A call that
    runs out of memory, or fails otherwise, is repeated in halves; a record that fails alone is
    a :class:`Failure`.

    Args:
        run: Returns one result for each item, in order.
        items: What to run.
        free: Called after each out-of-memory error, when nothing holds its tensors any more.

    Returns:
        One result or failure for each item, in order.

    Raises:
        Exception: What ``run`` raised, where :func:`is_fatal` says that no later call can work.
    """
    return _run(run, items, free, attempts=1) if items else []


def _run(
    run: Callable[[Sequence[T]], Sequence[R]],
    items: Sequence[T],
    free: Callable[[], None],
    attempts: int,
) -> list[R | Failure]:
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
        free()
    if len(items) == 1:
        return [failure]
    middle = len(items) // 2
    first = _run(run, items[:middle], free, attempts + 1)
    return first + _run(run, items[middle:], free, attempts + 1)


def _describe(error: Exception, attempts: int) -> Failure:
    error_type = "oom" if is_out_of_memory(error) else type(error).__name__
    message = " ".join(str(error).split()) or type(error).__name__
    return Failure(error_type, message[:_MAX_MESSAGE], attempts)

"""A process that dies at a change to its disk, without a process: the change raises instead."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pkgutil import resolve_name
from typing import Any

import pytest

CHANGES = ("transforms.storage.publish", "transforms.storage.delete")


class KilledError(BaseException):
    """No code of ours catches it, as none runs after a SIGKILL."""


class Changes:
    """What was changed so far.

    Attributes:
        calls: The arguments of each call.
        is_dead: Whether the last one has raised.
    """

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.is_dead = False


@contextmanager
def dying(
    at: int,
    *names: str,
    made: bool = False,
    error: BaseException | None = None,
    look: Callable[[], object] = lambda: None,
) -> Iterator[Changes]:
    """Ends what stands in the ``with`` block at a call of one of some functions.

    Args:
        at: The call that raises, from 0, counted over all of them; each later one does too.
        names: The functions, :data:`CHANGES` if there are none.
        made: Whether this call does its work before it raises.
        error: What is raised.
        look: Called before each call.
    """
    changes, raised = Changes(), error or KilledError()

    def counted(change: Callable[..., Any]) -> Callable[..., Any]:
        def counting(*args: Any) -> Any:
            look()
            number = len(changes.calls)
            changes.calls.append(args)
            changes.is_dead = number >= at
            result = change(*args) if number < at or (number == at and made) else None
            if changes.is_dead:
                raise raised
            return result

        return counting

    with pytest.MonkeyPatch.context() as patched:
        for name in names or CHANGES:
            patched.setattr(name, counted(resolve_name(name)))
        try:
            yield changes
        except type(raised) as caught:
            if caught is not raised:
                raise

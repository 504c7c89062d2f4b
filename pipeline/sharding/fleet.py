"""Processes of shards that are started, watched, started again and stopped together."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import FrameType
from typing import Protocol

from pipeline.draining import handling_signals
from pipeline.terminal import (
    EXIT_DEAD_LETTERS,
    EXIT_FAILED,
    EXIT_OK,
    EXIT_USAGE,
    complain,
    say_aside,
)
from transforms.output.shards import Shard

RESTARTS = 3
"""How often each process is started again."""

_TICK = 0.1  # seconds after which the end of a process is seen at the latest


class Process(Protocol):
    """What is watched; ``subprocess.Popen`` is one."""

    def poll(self) -> int | None:
        """Returns the exit code, negative for a signal; None while it runs."""

    def send_signal(self, number: int, /) -> None:
        """Sends a signal, if it runs."""


Start = Callable[[Shard, str], Process]
"""Starts the process of a shard, on the GPU of that name."""


@dataclass
class Member:
    """A shard and what has become of its process.

    Attributes:
        shard: The shard.
        device: Name of its GPU.
        process: Its process now.
        code: How that ended, once nothing more is to come of it.
        restarts: How often it was started again.
        signals: How many of the signals that came were sent to its process.
    """

    shard: Shard
    device: str
    process: Process | None = None
    code: int | None = None
    restarts: int = 0
    signals: int = 0


class Fleet:
    """Processes that are started, watched, started again and stopped together.

    Args:
        members: The shards.
        start: Starts the process of one.
        restarts_failed: Whether also one that ended with exit code 1.
    """

    def __init__(
        self,
        members: Sequence[Member],
        start: Start,
        restarts_failed: bool = True,
    ) -> None:
        self._members = members
        self._start = start
        self._restarts_failed = restarts_failed
        self._received: list[int] = []

    def run(self, show: Callable[[], object] | None = None) -> int:
        """Runs them to their end and returns the exit code of the whole.

        Args:
            show: Called now and then, to show how far they are.
        """
        with handling_signals(self._receive):
            try:
                for member in self._members:
                    self._begin(member)
                while self._running():
                    for member in self._running():
                        self._look_at(member)
                    if show:
                        show()
                    time.sleep(_TICK)
            finally:
                self._end()
        return self._code()

    def _running(self) -> list[Member]:
        return [member for member in self._members if member.code is None]

    def _look_at(self, member: Member) -> None:
        code = member.process.poll() if member.process else None
        if code is None:
            return
        has_died = code < 0 or (code == EXIT_FAILED and self._restarts_failed)
        if not has_died or self._received:
            member.code = code
            return
        how = f"was killed by signal {-code}" if code < 0 else f"failed (exit code {code})"
        if member.restarts >= RESTARTS:
            complain(f"{member.shard} on GPU {member.device} {how}, and is not started again")
            member.code = code
            return
        member.restarts += 1
        say_aside(
            f"{str(member.shard).capitalize()} on GPU {member.device} {how}; it is started again "
            f"({member.restarts} of {RESTARTS})."
        )
        self._begin(member)

    def _begin(self, member: Member) -> None:
        process = self._start(member.shard, member.device)
        member.process, member.signals = process, 0
        self._pass_on(member)  # what came before it was there

    def _code(self) -> int:
        codes = [member.code for member in self._members if member.code is not None]
        left = [code for code in codes if code not in (EXIT_OK, EXIT_DEAD_LETTERS)]
        if not left:
            return max(codes)
        if self._received:
            return 128 + self._received[0]
        if all(code == EXIT_USAGE for code in codes):
            return EXIT_USAGE
        stopped = [code for code in left if code > 128]
        return stopped[0] if len(stopped) == len(left) else EXIT_FAILED

    def _receive(self, number: int, frame: FrameType | None) -> None:
        self._received.append(number)
        for member in self._running():
            self._pass_on(member)

    def _pass_on(self, member: Member) -> None:
        """Sends a process what it was not sent yet; a signal may come in between."""
        while member.process and member.signals < len(self._received):
            member.signals += 1
            member.process.send_signal(self._received[member.signals - 1])

    def _end(self) -> None:
        """Leaves no process behind, should an exception have ended the watch."""
        for member in self._running():
            if member.process:
                member.process.send_signal(signal.SIGTERM)

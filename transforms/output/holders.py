"""Who is at work in an output: what a lock file says, and what can be told from it.

``.locks/<lock>.json`` is written by the run that holds the lock of that name, and written
again at every heartbeat. To read it disturbs nobody.
"""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any, Literal

from transforms import storage
from transforms.output.shards import Shard
from transforms.text import printable
from transforms.times import seconds_since

LOCKS = ".locks"

RUN, COMPACT, FINISH, PARTS = "all", "compact", "finish", "parts"
"""The names of locks: of a run that is no shard, of a compaction, of whoever completes an output,
and of whoever takes parts away, as a run does at its start and end, and a compaction."""

INTERVAL, LONGEST_INTERVAL = 10.0, 60.0
"""Seconds between two heartbeats, and the most that a lock file may ask others to reckon with."""

MISSED = 3
"""Heartbeats in a row without which a holder counts as dead."""

State = Literal["alive", "silent", "dead", "ended"]


@dataclass(frozen=True, slots=True)
class Holder:
    """What a lock file says.

    Attributes:
        lock: Name of the lock; ``all`` for a run that is no shard.
        run: Name of the run; empty if the file could not be read.
        host: The machine's name.
        machine: What else tells machines apart, new with every boot; empty if it cannot be had.
        pid: The process.
        started: When it took the lock, ISO 8601 in UTC.
        heartbeat: When it was last heard of.
        interval: Seconds between two heartbeats.
        released: Whether it has let go of the lock.
        progress: Numbers by name, e.g. ``residues``; None before there are any.
    """

    lock: str
    run: str = ""
    host: str = ""
    machine: str = ""
    pid: int = 0
    started: str = ""
    heartbeat: str = ""
    interval: float = INTERVAL
    released: bool = False
    progress: Mapping[str, float] | None = None

    def __str__(self) -> str:
        """Returns the holder in words, for a person."""
        if not self.run:
            return f"a run whose lock file {LOCKS}/{self.lock}.json cannot be read"
        return printable(
            f"run {self.run}, process {self.pid} on {self.host}, since {self.started}, "
            f"last heartbeat at {self.heartbeat}"
        )


def lock_name(shard: Shard | None) -> str:
    """Returns the name of the lock that a run holds."""
    return shard.name if shard else RUN


def read_holder(root: str, lock: str) -> Holder | None:
    """Returns what the file of a lock says; None if there is no such file.

    Raises:
        OSError: It is there and cannot be read.
    """
    url = _url(root, lock)
    try:
        # Of a file that is not there an object store tells in words of its own.
        data = storage.read_bytes(url) if storage.exists(url) else None
    except FileNotFoundError:
        return None
    return None if data is None else _parse(lock, data)


def read_holders(root: str) -> list[Holder]:
    """Returns what the lock files of an output say, in order of their names."""
    names = storage.list_names(storage.join(root, LOCKS))
    locks = [name.removesuffix(".json") for name in names if name.endswith(".json")]
    return [holder for lock in locks if (holder := read_holder(root, lock))]


def write_holder(root: str, holder: Holder) -> None:
    """Writes a lock file, if its folder is there.

    Raises:
        OSError: It cannot be written, or its folder is gone.
    """
    fields = asdict(holder)
    del fields["lock"]
    storage.overwrite(_url(root, holder.lock), json.dumps(fields, indent=1).encode())


def delete_left(root: str, lock: str) -> None:
    """Deletes what kills in the middle of a heartbeat have left beside the file of a lock.

    Only for who holds the lock, and does not beat yet: nobody else writes that file then.
    """
    folder = storage.join(root, LOCKS)
    for name in storage.list_names(folder):
        if name.startswith(f"{lock}.json."):
            storage.delete(storage.join(folder, name))


def _url(root: str, lock: str) -> str:
    return storage.join(root, LOCKS, f"{lock}.json")


def _parse(lock: str, data: bytes) -> Holder:
    try:
        fields: dict[str, Any] = json.loads(data)
        interval, progress = float(fields["interval"]), fields["progress"]
        numbers = {n: v if isinstance(v, int) else float(v) for n, v in (progress or {}).items()}
        return Holder(
            lock=lock,
            **{name: str(fields[name]) for name in ("run", "host", "machine")},
            pid=int(fields["pid"]),
            **{name: str(fields[name]) for name in ("started", "heartbeat")},
            interval=interval if 0 < interval <= LONGEST_INTERVAL else INTERVAL,
            released=fields["released"] is True,
            progress=None if progress is None else numbers,
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        return Holder(lock)  # of whom nothing is known, so that nobody takes it for dead


@lru_cache(maxsize=1)
def this_machine() -> tuple[str, str]:
    """Returns this machine's name, and what tells it from others of that name where it can be had.

    Containers of one kernel have the same second value and names of their own.
    """
    try:
        boot = storage.read_bytes("/proc/sys/kernel/random/boot_id").decode().strip()
    except OSError:
        boot = ""
    return platform.node(), boot


def shares_kernel(holder: Holder) -> bool:
    """Tells whether a holder ran under the kernel that runs now, whose locks are exact."""
    host, machine = this_machine()
    if holder.machine and machine:
        return holder.machine == machine
    return holder.host == host


def is_gone(holder: Holder) -> bool:
    """Tells whether the process of a holder is known to have ended."""
    # In another container, which has another name, the number is that of another process.
    if not shares_kernel(holder) or holder.host != this_machine()[0] or holder.pid < 1:
        return False
    try:
        os.kill(holder.pid, 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False  # it is there, and somebody else's
    return False


def state_of(holder: Holder, now: float | None = None) -> State:
    """Tells whether a holder is at work, without touching its lock.

    To try the kernel's lock, even for a moment, could make a run that starts in that moment
    refuse. So this goes by the process where it can be seen, and by the age of the heartbeat.
    From another machine the age is as true as the two clocks agree.

    Args:
        holder: What a lock file says.
        now: Seconds since the epoch; by default the time.

    Returns:
        ``ended`` if it has let go of the lock; ``dead`` if its process or its heartbeat is gone;
        ``silent`` if there is a process of that number without a heartbeat: it is suspended,
        or dead and its number in use again; else ``alive``.
    """
    if holder.released:
        return "ended"
    if is_gone(holder):
        return "dead"
    if seconds_since(holder.heartbeat, now) < MISSED * holder.interval:
        return "alive"
    return "silent" if shares_kernel(holder) and holder.host == this_machine()[0] else "dead"

"""One run at a time on an output, or a part of its work: locks that a crash does not leave shut.

Among the processes of one machine a lock is the kernel's, on ``.locks/<name>.lock``: exact, and
free as soon as its holder is dead. ``.locks/<name>.json`` says for people and for other machines,
whose kernels may not know of it, who holds the lock, with a heartbeat. Clocks of two machines are
never compared: whoever finds a holder on another machine watches whether its heartbeat goes on.

On an object store there is no kernel's lock and the JSON file alone is gone by: two runs that
start in the same second may both begin, and one of them stops at its first heartbeat.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import replace

from transforms import storage
from transforms.errors import LostError
from transforms.output.holders import (
    INTERVAL,
    LOCKS,
    MISSED,
    PARTS,
    RUN,
    Holder,
    delete_left,
    is_gone,
    read_holder,
    shares_kernel,
    this_machine,
    write_holder,
)
from transforms.times import now

FIRST_SECONDS = 1.0
"""When a new holder looks for the first time whether another one came at the same moment."""

_LOOKS_PER_INTERVAL = 4
_SECONDS_BETWEEN_TRIES = 0.1
_SECONDS_TO_END = 5.0
_UNSUPPORTED = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)

logger = logging.getLogger(__name__)


class HeldError(Exception):
    """Another run holds the lock; the message says in words which."""


class Lock:
    """A lock that is held: it beats until it is let go or lost.

    It is lost if another machine takes it over while this one is suspended.
    """

    def __init__(self, root: str, holder: Holder) -> None:
        self._root = root
        self._holder = holder
        self._progress: Callable[[], Mapping[str, float] | None] = lambda: None
        self._on_lost: Callable[[], object] = lambda: None
        self._lost = False
        self._warned = False
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)

    @contextmanager
    def watched(
        self, progress: Callable[[], Mapping[str, float]], on_lost: Callable[[], object]
    ) -> Iterator[None]:
        """Has the heartbeat tell how far a run is, for the time of a ``with`` block.

        What it told last stays in the lock file.

        Args:
            progress: Returns numbers by name; called by another thread.
            on_lost: Called by another thread, or at once, if the lock is lost.
        """
        self._progress, self._on_lost = progress, on_lost
        if self._lost:
            on_lost()
        try:
            yield
        finally:
            self._on_lost = lambda: None

    def start(self) -> None:
        """Begins to beat."""
        self._thread.start()

    def end(self) -> None:
        """Stops beating and says in the lock file that it is free, as far as that can be done."""
        self._ended.set()
        self._thread.join(_SECONDS_TO_END)
        if not self._lost:
            self._try_to_renew(released=True)

    def is_lost(self) -> bool:
        """Tells whether another run has the lock by now.

        Raises:
            OSError: The lock file cannot be read.
        """
        self._lost = self._lost or _other_holder(self._root, self._holder) is not None
        return self._lost

    def _beat(self) -> None:
        wait = min(FIRST_SECONDS, self._holder.interval)
        while not self._ended.wait(wait):
            self._try_to_renew()
            if self._lost:
                self._on_lost()
                return
            wait = self._holder.interval

    def _try_to_renew(self, released: bool = False) -> None:
        try:
            self._renew(released)
        # Whatever the client of an object store raises: a heartbeat never takes its run with it.
        except Exception as error:
            if not self._warned:
                logger.warning("The heartbeat of %s cannot be written: %s", self._root, error)
            self._warned = True

    def _renew(self, released: bool) -> None:
        if self.is_lost():
            return
        beat = replace(
            self._holder,
            heartbeat=now("milliseconds"),
            released=released,
            progress=self._progress(),
        )
        write_holder(self._root, beat)


@contextmanager
def hold(
    root: str,
    run: str,
    name: str = RUN,
    interval: float = INTERVAL,
    sleep: Callable[[float], object] = time.sleep,
) -> Iterator[Lock]:
    """Holds one lock of an output, until the ``with`` block or the process ends.

    Args:
        root: The output root.
        run: Name of the run that holds it.
        name: Name of the lock; those of different names do not hinder each other.
        interval: Seconds between two heartbeats.
        sleep: Waits for some seconds; replaced by tests.

    Yields:
        The lock.

    Raises:
        HeldError: Another run holds it.
        OSError: The lock cannot be written.
    """
    host, machine = this_machine()
    begun = now("milliseconds")
    mine = Holder(name, run, host, machine, os.getpid(), begun, begun, interval)
    with _kernel_lock(root, name) as is_exact:
        before = read_holder(root, name)
        in_doubt = before is not None and not _is_free(before, is_exact)
        if before is not None and in_doubt:
            _watch(root, before, sleep)
        write_holder(root, mine)
        if in_doubt or not is_exact:
            sleep(min(FIRST_SECONDS, interval))
            if (other := _other_holder(root, mine)) is not None:
                raise HeldError(str(other))
        if is_exact and not in_doubt:  # else one that was taken for dead may write at this moment
            delete_left(root, name)
        lock = Lock(root, mine)
        lock.start()
        try:
            yield lock
        finally:
            lock.end()


@contextmanager
def hold_when_free(
    root: str, run: str, name: str, sleep: Callable[[float], object] = time.sleep
) -> Iterator[Lock]:
    """As :func:`hold`, but waits until the lock can be had.

    Raises:
        OSError: The lock cannot be written.
    """
    with ExitStack() as held:
        waits = False
        while True:
            try:
                lock = held.enter_context(hold(root, run, name, sleep=sleep))
                break
            except HeldError as error:
                if not waits:
                    logger.info("Waiting for the %s of %s, held by %s.", name, root, error)
                waits = True
                sleep(_SECONDS_BETWEEN_TRIES)
        yield lock


def hold_parts(
    root: str, run: str, sleep: Callable[[float], object] = time.sleep
) -> AbstractContextManager[Lock]:
    """Keeps others from taking parts away or writing them anew; see :func:`hold_when_free`."""
    return hold_when_free(root, run, PARTS, sleep)


def check_held(root: str, run: str, name: str = RUN) -> None:
    """Makes sure that no other run has taken a lock over, before something is done that counts.

    Raises:
        LostError: Another one has.
        OSError: The lock file cannot be read.
    """
    if (other := _other_holder(root, Holder(name, run))) is not None:
        raise LostError(f"Another run has taken {root} over ({other}).")


def _other_holder(root: str, mine: Holder) -> Holder | None:
    found = read_holder(root, mine.lock)
    return None if found is None or found.run in ("", mine.run) else found


@contextmanager
def _kernel_lock(root: str, name: str) -> Iterator[bool]:
    """Holds the kernel's lock, and tells whether there is one.

    Raises:
        HeldError: Another process holds it.
    """
    if not storage.is_local(root):
        yield False
        return
    with suppress(FileExistsError):
        os.mkdir(storage.join(root, LOCKS))  # an output that is gone is not made anew
    # Never removed: who opens it must find the file that others have locked. Not the JSON file,
    # which is another one after every heartbeat.
    path = storage.join(root, LOCKS, f"{name}.lock")
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        yield _try_to_lock(descriptor, root, name)
    finally:
        os.close(descriptor)


def _try_to_lock(descriptor: int, root: str, name: str) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        holder = read_holder(root, name)
        if holder is None or holder.released or is_gone(holder):
            raise HeldError("a run that has just begun") from error
        raise HeldError(str(holder)) from error
    except OSError as error:
        if error.errno not in _UNSUPPORTED:
            raise
        return False  # some network file systems have none
    return True


def _is_free(holder: Holder, is_exact: bool) -> bool:
    """Tells whether a holder surely has no hold any more."""
    return holder.released or is_gone(holder) or (is_exact and shares_kernel(holder))


def _watch(root: str, holder: Holder, sleep: Callable[[float], object]) -> None:
    """Waits until a holder of another machine is known to be dead.

    Raises:
        HeldError: It is alive, or another run was quicker.
    """
    told = "%s was last held by %s, and not let go. Watching for %g seconds whether it is alive."
    logger.info(told, root, holder, MISSED * holder.interval)
    for _ in range(MISSED * _LOOKS_PER_INTERVAL):
        sleep(holder.interval / _LOOKS_PER_INTERVAL)
        found = read_holder(root, holder.lock)
        if found is None or found.released:
            return
        if found != holder:
            raise HeldError(str(found))

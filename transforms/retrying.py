"""Failures that are worth another try, and how often and when it is made.

A failure is transient where the same call may work in a moment: a network that is away, a server
that is busy. It is permanent where it will be the same then: a file that is not there, a disk
that is full. Only the first kind is tried again.
"""

from __future__ import annotations

import errno
import random
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from apache_beam.io.filesystem import BeamIOError

from transforms.text import one_line

Result = TypeVar("Result")

WAITS = (1.0, 2.0, 4.0)
"""Seconds between one attempt and the next; there is one attempt more than there are waits."""

_JITTER = 0.25  # so that many workers do not come back at one moment
_TRANSIENT_NUMBERS = frozenset(
    getattr(errno, name)
    for name in (
        "EAGAIN", "EBUSY", "ECONNABORTED", "ECONNREFUSED", "ECONNRESET", "EHOSTDOWN",
        "EHOSTUNREACH", "EIO", "ENETDOWN", "ENETRESET", "ENETUNREACH", "EREMOTEIO", "ESTALE",
        "ETIMEDOUT",
    )
    if hasattr(errno, name)  # not every system has all of them
)  # fmt: skip
_TRANSIENT_STATUSES = frozenset({408, 425, 429})
# What has no number and is still no matter of luck: a path that makes no sense, a file system
# that is not installed, a mistake in the code.
_PERMANENT_KINDS = (
    ValueError, TypeError, LookupError, AttributeError, NameError, ImportError,
    NotImplementedError, AssertionError, MemoryError, FileNotFoundError, FileExistsError,
    PermissionError, IsADirectoryError, NotADirectoryError, ssl.SSLCertVerificationError,
)  # fmt: skip
_TRANSIENT_KINDS = (TimeoutError, ConnectionError, socket.gaierror, ssl.SSLError)


class RetriedError(OSError):
    """Reading or writing that was tried more than once and failed each time.

    Attributes:
        attempts: How often it was tried.
    """

    def __init__(self, error: Exception, attempts: int) -> None:
        super().__init__(f"{one_line(error)} (tried {attempts} times)")
        self.errno = getattr(error, "errno", None)
        self.attempts = attempts


@contextmanager
def as_os_error() -> Iterator[None]:
    """Turns what remote file systems raise into what Python raises for a local one."""
    try:
        yield
    except Exception as error:
        if isinstance(error, OSError) and not isinstance(error, BeamIOError):
            raise
        raise OSError(one_line(error)) from error


def is_transient(error: BaseException) -> bool:
    """Tells whether what failed may work when it is tried again.

    An error of the operating system is judged by its number, one of a remote file system by its
    HTTP status, and one that reports on several files, as Beam's do, by its worst part. What
    says nothing of itself is transient: it comes from a client library, and those give networks
    as reasons.
    """
    details = getattr(error, "exception_details", None)
    if isinstance(details, dict) and details:
        return all(_is_transient_detail(detail) for detail in details.values())
    if not isinstance(error, Exception) or isinstance(error, _PERMANENT_KINDS):
        return False
    if isinstance(error, _TRANSIENT_KINDS):
        return True
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno in _TRANSIENT_NUMBERS
    answer = getattr(error, "response", None)
    for holder, name in ((error, "code"), (error, "status_code"), (answer, "status_code")):
        status = getattr(holder, name, None)
        if isinstance(status, int):
            return _is_transient_status(status)
    return True


def _is_transient_detail(detail: object) -> bool:
    """Judges what Beam gives for one file: an error, or a bare HTTP status."""
    if isinstance(detail, int):
        return _is_transient_status(detail)
    return not isinstance(detail, BaseException) or is_transient(detail)


def _is_transient_status(status: int) -> bool:
    return status in _TRANSIENT_STATUSES or not 400 <= status < 500


class Attempts:
    """Counts the attempts at one thing, and waits between them."""

    def __init__(self) -> None:
        self._failed = 0

    def failed(self, error: Exception) -> None:
        """Takes note of a failed attempt, and returns when the next one is due.

        Raises:
            RetriedError: There is no next one, and there was more than one.
            Exception: The error itself, where the first attempt must be the last.
        """
        self._failed += 1
        if is_transient(error) and self._failed <= len(WAITS):
            wait = WAITS[self._failed - 1]
            time.sleep(wait * random.uniform(1 - _JITTER, 1 + _JITTER))
        elif self._failed > 1:
            raise RetriedError(error, self._failed) from error
        else:
            raise error

    def advanced(self) -> None:
        """Forgets what failed, because a part of the work is done: each part has its attempts."""
        self._failed = 0


def retry(action: Callable[[], Result]) -> Result:
    """Returns what an action returns, which is repeated while its failures are transient.

    Args:
        action: What is done; it must be safe to repeat.

    Raises:
        RetriedError: It failed more than once; the cause is the last failure.
        Exception: It failed at once, and permanently.
    """
    attempts = Attempts()
    while True:
        try:
            return action()
        except Exception as error:
            attempts.failed(error)

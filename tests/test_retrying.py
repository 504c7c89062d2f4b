"""Tests of what is tried again, how often, and after which waits."""

from __future__ import annotations

import errno
import os
import socket
import ssl
from http import HTTPStatus
from types import SimpleNamespace
from typing import Any

import pytest
from apache_beam.io.filesystem import BeamIOError

from transforms import retrying
from transforms.retrying import RetriedError, is_transient, retry


class ClientError(Exception):
    """An error of a client library, with an HTTP status as Google, Amazon and Azure give it."""

    def __init__(self, message: str = "the server says no", **fields: Any) -> None:
        super().__init__(message)
        vars(self).update(fields)


def os_error(name: str) -> OSError:
    number = getattr(errno, name)
    return OSError(number, os.strerror(number), "a.faa")


@pytest.mark.parametrize(
    "name",
    [
        "EIO", "ESTALE", "ETIMEDOUT", "EAGAIN", "EBUSY", "ENETDOWN", "ENETUNREACH", "EHOSTDOWN",
        "EHOSTUNREACH", "EREMOTEIO", "ECONNRESET", "ECONNREFUSED", "ECONNABORTED",
    ],
)  # fmt: skip
def test_what_the_system_says_of_networks_and_devices_is_transient(name: str) -> None:
    assert is_transient(os_error(name))


@pytest.mark.parametrize(
    "name",
    [
        "ENOENT", "EACCES", "EPERM", "EISDIR", "ENOTDIR", "ELOOP", "ENAMETOOLONG", "ENOSPC",
        "EROFS", "EDQUOT", "EFBIG", "EEXIST",
    ],
)  # fmt: skip
def test_what_will_be_the_same_in_a_moment_is_permanent(name: str) -> None:
    assert not is_transient(os_error(name))


URL = "gs://b/a"
LISTING_FAILED = BeamIOError("List operation failed", {URL: ClientError(code=503)})


@pytest.mark.parametrize(
    "error",
    [
        TimeoutError(),
        ConnectionResetError(),
        socket.gaierror(socket.EAI_NONAME, "Name or service not known"),
        ssl.SSLEOFError(8, "EOF occurred in violation of protocol"),
        ClientError("no status at all"),
        ClientError(code=HTTPStatus.SERVICE_UNAVAILABLE),
        ClientError(code=429),
        ClientError(status_code=500),
        ClientError(response=SimpleNamespace(status_code=502)),
        BeamIOError("It did not work"),
        BeamIOError("It did not work", {}),
        BeamIOError("Delete operation failed", {URL: 503}),
        BeamIOError("Delete operation failed", {URL: "the server is busy"}),
        LISTING_FAILED,
        BeamIOError("Match operation failed", {URL: LISTING_FAILED}),
    ],
)
def test_what_a_network_may_do_is_transient(error: Exception) -> None:
    assert is_transient(error)


NOT_FOUND = BeamIOError("List operation failed", {URL: ClientError(code=404)})


@pytest.mark.parametrize(
    "error",
    [
        ValueError("Unable to get filesystem from specified path"),
        ImportError("no client library"),
        FileNotFoundError("gs://b/a"),
        ssl.SSLCertVerificationError(1, "certificate verify failed"),
        ClientError(code=HTTPStatus.NOT_FOUND),
        ClientError(code=403),
        ClientError(status_code=401),
        ClientError(response=SimpleNamespace(status_code=404)),
        BeamIOError("Delete operation failed", {URL: 403}),
        NOT_FOUND,
        BeamIOError("Match operation failed", {URL: NOT_FOUND}),
        BeamIOError("Delete operation failed", {URL: ClientError(code=503), "gs://b/b": 403}),
        BeamIOError("Open failed", {URL: OSError(errno.ENOENT, "Not found")}),
        KeyboardInterrupt(),
    ],
)
def test_what_is_not_there_or_not_allowed_is_permanent(error: BaseException) -> None:
    assert not is_transient(error)


class Scripted:
    """Does at each call what comes next in a script, and raises what is an error."""

    def __init__(self, *script: object) -> None:
        self.script = list(script)
        self.calls = 0

    def __call__(self, *_: object, **__: object) -> Any:
        self.calls += 1
        outcome = self.script.pop(0)
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome


BUSY = os_error("EBUSY")


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The waits of the attempts, which nobody waits for."""
    waits: list[float] = []
    monkeypatch.setattr(retrying.time, "sleep", waits.append)
    return waits


@pytest.mark.parametrize("failures", [0, 1, 2, 3])
def test_it_is_tried_until_it_works(slept: list[float], failures: int) -> None:
    action = Scripted(*[BUSY] * failures, "done")
    assert retry(action) == "done"
    assert (action.calls, len(slept)) == (failures + 1, failures)


def test_the_waits_double_and_are_not_the_same_for_all(slept: list[float]) -> None:
    runs = []
    for _ in range(50):
        retry(Scripted(BUSY, BUSY, BUSY, None))
        runs.append(slept[-3:])
    for wait, drawn in zip((1.0, 2.0, 4.0), zip(*runs, strict=True), strict=True):
        assert 0.75 * wait <= min(drawn) < max(drawn) <= 1.25 * wait


def test_four_attempts_are_the_end_and_are_told(slept: list[float]) -> None:
    action = Scripted(*[BUSY] * 9)
    with pytest.raises(RetriedError, match=r"busy: 'a\.faa' \(tried 4 times\)$") as caught:
        retry(action)
    assert (action.calls, len(slept)) == (4, 3)
    assert (caught.value.attempts, caught.value.errno) == (4, errno.EBUSY)
    assert caught.value.__cause__ is BUSY


def test_a_permanent_failure_is_not_tried_again_and_stays_what_it_is(slept: list[float]) -> None:
    missing = os_error("ENOENT")
    action = Scripted(missing, "done")
    with pytest.raises(FileNotFoundError) as caught:
        retry(action)
    assert caught.value is missing
    assert (action.calls, slept) == (1, [])


def test_a_permanent_failure_after_transient_ones_ends_it_with_their_number(
    slept: list[float],
) -> None:
    action = Scripted(BUSY, os_error("ENOSPC"), "done")
    with pytest.raises(RetriedError) as caught:
        retry(action)
    assert (action.calls, len(slept), caught.value.attempts) == (2, 1, 2)
    assert caught.value.errno == errno.ENOSPC

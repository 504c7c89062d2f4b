"""Tests of what stands between us and Google's publisher; they need its errors, and no network."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import pytest

from pipeline.messages import topic as topics
from pipeline.messages.topic import Topic, UnpublishedError, open_topic
from transforms.errors import ConfigurationError
from transforms.results import Outgoing

NAME = "projects/proj/topics/top"


class Client:
    """Answers one call after the other, with an error or with nothing."""

    def __init__(self, *answers: object) -> None:
        self.answers = list(answers)
        self.requests: list[dict[str, Any]] = []
        self.slept = 0

    def answer(self, request: dict[str, Any], **_: object) -> None:
        self.requests.append(request)
        answer = self.answers.pop(0) if self.answers else None
        if isinstance(answer, Exception):
            raise answer

    def sleep(self, seconds: float) -> None:
        self.slept += 1

    def topic(self) -> Topic:
        return Topic(NAME, SimpleNamespace(get_topic=self.answer), self.answer, self.sleep)

    def sent(self) -> list[list[bytes]]:
        return [[message["data"] for message in r["messages"]] for r in self.requests]


@pytest.fixture
def errors() -> Any:
    return pytest.importorskip("google.api_core.exceptions", reason="needs google-cloud-pubsub")


def messages(*data: bytes) -> list[Outgoing]:
    return [Outgoing(each, {"a": "b"}) for each in data]


def test_messages_go_together_as_far_as_a_request_takes(
    errors: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = Client()
    monkeypatch.setattr(topics, "_MESSAGES_AT_ONCE", 2)
    monkeypatch.setattr(topics, "_BYTES_AT_ONCE", 20)  # of which attributes take two
    client.topic().publish(messages(b"1", b"2", b"3", b"4" * 16, b"5" * 30, b"6"), lambda: False)
    assert client.sent() == [[b"1", b"2"], [b"3"], [b"4" * 16], [b"5" * 30], [b"6"]]
    first = {"data": b"1", "attributes": {"a": "b"}}
    assert client.requests[0] == {"topic": NAME, "messages": [first, {**first, "data": b"2"}]}
    client.requests.clear()
    client.topic().publish([], lambda: False)
    assert client.requests == []


def test_what_does_not_get_through_is_tried_again_until_it_does(
    errors: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(topics, "_MESSAGES_AT_ONCE", 1)
    away = errors.ServiceUnavailable("away")
    client = Client(None, away, errors.DeadlineExceeded("late"), errors.TooManyRequests("quota"))
    client.topic().publish(messages(b"1", b"2", b"3"), lambda: False)
    assert client.sent() == [[b"1"], [b"2"], [b"2"], [b"2"], [b"2"], [b"3"]]
    assert client.slept == 3
    assert len(caplog.records) == 1


def test_told_to_end_it_tries_once_and_no_more(errors: Any) -> None:
    client = Client()
    client.topic().publish(messages(b"1"), lambda: True)
    assert client.sent() == [[b"1"]]
    client = Client(errors.ServiceUnavailable("away"))
    with pytest.raises(UnpublishedError, match="cannot be published to"):
        client.topic().publish(messages(b"1"), lambda: True)
    assert len(client.requests) == 1


@pytest.mark.parametrize(
    "name", ["NotFound", "PermissionDenied", "Unauthenticated", "InvalidArgument"]
)
def test_what_waiting_does_not_mend_ends_it(name: str, errors: Any) -> None:
    client = Client(getattr(errors, name)("no"))
    with pytest.raises(ConfigurationError, match=r"cannot be published to: .* leave its option"):
        client.topic().publish(messages(b"1"), lambda: False)


def test_a_topic_is_looked_for_at_the_start(errors: Any) -> None:
    Client().topic().check()
    Client(errors.PermissionDenied("may only publish")).topic().check()
    for error, says in (
        (
            errors.NotFound("none"),
            r"no topic .*\(gcloud pubsub topics create top --project",
        ),
        (errors.ServiceUnavailable("away"), "cannot be reached"),
    ):
        with pytest.raises(ConfigurationError, match=says):
            Client(error).topic().check()


def test_without_the_client_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "google.cloud.pubsub_v1", None)
    with pytest.raises(ConfigurationError, match="--output_topic needs google-cloud-pubsub"):
        open_topic(NAME, "output_topic")

"""Tests of what stands between us and Google's client; they need its errors, and no network."""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from types import SimpleNamespace
from typing import Any

import pytest

from pipeline.messages.subscription import Subscription, open_subscription
from transforms.errors import ConfigurationError

NAME = "projects/proj/subscriptions/sub"


class Client:
    """Answers every call with one thing, an error or a response."""

    def __init__(self, answer: object = None) -> None:
        self.answer = answer
        self.requests: list[dict[str, Any]] = []

    def _call(self, request: dict[str, Any], **_: object) -> object:
        self.requests.append(request)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    get_subscription = pull = acknowledge = modify_ack_deadline = _call


def subscription(answer: object = None) -> tuple[Subscription, Client]:
    client = Client(answer)
    return Subscription(NAME, client, sleep=lambda _: None), client


@pytest.fixture
def errors() -> Any:
    return pytest.importorskip("google.api_core.exceptions", reason="needs google-cloud-pubsub")


def test_without_the_client_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "google.cloud.pubsub_v1", None)
    with pytest.raises(ConfigurationError, match="-m pip install google-cloud-pubsub"):
        open_subscription(NAME)


def test_what_is_pulled_is_told_in_our_words(errors: Any) -> None:
    published = datetime(2026, 1, 31, 13, 0, 0, 5, tzinfo=timezone(timedelta(hours=1)))
    message = SimpleNamespace(
        message_id="7", publish_time=published, attributes={"a": "b"}, data=b">a\nMKT\n"
    )
    received = SimpleNamespace(ack_id="x", message=message)
    source, client = subscription(SimpleNamespace(received_messages=[received]))
    (delivery,) = source.pull(10, 1.0)
    assert delivery.ack_id == "x"
    assert delivery.message.id == "7"
    assert delivery.message.publish_time == "2026-01-31T12:00:00.000005Z"
    assert datetime.fromisoformat(delivery.message.publish_time) == published.astimezone(UTC)
    assert (delivery.message.attributes, delivery.message.data) == ({"a": "b"}, b">a\nMKT\n")
    assert client.requests == [{"subscription": NAME, "max_messages": 10}]


def test_many_are_acknowledged_in_portions(errors: Any) -> None:
    source, client = subscription()
    ids = [str(n) for n in range(2500)]
    source.acknowledge(ids)
    source.extend(ids, 60)
    assert [len(request["ack_ids"]) for request in client.requests] == [1000, 1000, 500] * 2
    assert sum((request["ack_ids"] for request in client.requests[:3]), []) == ids
    assert client.requests[-1]["ack_deadline_seconds"] == 60


def test_nothing_comes_in_time(errors: Any, caplog: pytest.LogCaptureFixture) -> None:
    source, _ = subscription(errors.DeadlineExceeded("late"))
    assert source.pull(1, 1.0) == []
    assert not caplog.records


@pytest.mark.parametrize(
    "call",
    [
        lambda source: source.pull(1, 1.0),
        lambda source: source.acknowledge(["x"]),
        lambda source: source.extend(["x"], 60),
    ],
)
def test_a_network_that_is_away_is_told_of_once(
    call: Callable[[Subscription], object], errors: Any, caplog: pytest.LogCaptureFixture
) -> None:
    source, client = subscription(errors.ServiceUnavailable("away"))
    for _ in range(3):
        call(source)
    assert len(caplog.records) == 1
    client.answer = SimpleNamespace(received_messages=[])
    source.pull(1, 1.0)
    assert source.is_answering
    client.answer = errors.ServiceUnavailable("away again")
    call(source)
    assert len(caplog.records) == 2


def test_a_pull_that_does_not_get_through_is_not_the_same_as_none_to_pull(errors: Any) -> None:
    source, client = subscription(errors.ServiceUnavailable("away"))
    assert (source.pull(1, 1.0), source.is_answering) == ([], False)
    client.answer = errors.DeadlineExceeded("nothing came")
    assert (source.pull(1, 1.0), source.is_answering) == ([], True)


def test_whether_somebody_answers(errors: Any) -> None:
    source, client = subscription(SimpleNamespace(topic="t"))
    assert source.answers()
    client.answer = errors.PermissionDenied("not for you")  # is an answer
    assert source.answers()
    client.answer = errors.DeadlineExceeded("nobody")
    assert not source.answers()


@pytest.mark.parametrize("name", ["NotFound", "PermissionDenied", "Unauthenticated"])
def test_what_waiting_does_not_mend_ends_it(name: str, errors: Any) -> None:
    source, _ = subscription(getattr(errors, name)("no"))
    with pytest.raises(ConfigurationError, match="cannot be pulled from"):
        source.pull(1, 1.0)


def test_a_subscription_is_looked_for_at_the_start(errors: Any) -> None:
    source, _ = subscription(SimpleNamespace(topic="projects/proj/topics/inbox"))
    source.check()
    assert source.topic == "projects/proj/topics/inbox"
    subscription(errors.PermissionDenied("may only pull"))[0].check()
    for error, says in (
        (errors.NotFound("none"), "There is no subscription"),
        (errors.ServiceUnavailable("away"), "cannot be reached"),
    ):
        with pytest.raises(ConfigurationError, match=says):
            subscription(error)[0].check()

"""Tests of ``--output_topic`` and ``--dead_letter_topic``, in this process and in memory."""

from __future__ import annotations

import base64
from pathlib import Path

import numpy as np
import pytest

from pipeline.messages import publishing, receiving
from pipeline.runners import GraphError
from tests.fake_subscription import FakeSubscription, FakeTopic, make_message, receive, subscribe
from tests.helpers import files_below
from tests.outputs import dead_letters, rows
from tests.waiting import stop
from transforms.errors import ConfigurationError
from transforms.output.commits import read_commits

ANSWERS, LETTERS = "projects/proj/topics/answers", "projects/proj/topics/letters"
MESSAGES = [
    make_message(1, ">a one\nMKTAYIAKQR\n>b\nGG1\n", run="7"),
    make_message(2, '{"id": "j", "sequence": "mkvl"}'),
    make_message(3, "garbage"),
]
OUTCOMES = {"1": "mixed", "2": "embedded", "3": "dead_lettered"}


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "out"


@pytest.fixture
def source(monkeypatch: pytest.MonkeyPatch) -> FakeSubscription:
    return subscribe(monkeypatch, *MESSAGES)


@pytest.fixture
def topics(monkeypatch: pytest.MonkeyPatch) -> dict[str, FakeTopic]:
    fakes = {ANSWERS: FakeTopic(), LETTERS: FakeTopic()}
    monkeypatch.setattr(publishing, "open_topic", lambda name, option: fakes[name])
    return fakes


def exit_code(output: Path, *more: object) -> int:
    return receive(output, *(more or ("--output_topic", ANSWERS, "--dead_letter_topic", LETTERS)))


def outcomes(topic: FakeTopic) -> dict[str, str]:
    return {each.attributes["message_id"]: each.attributes["outcome"] for each in topic.published}


def check(output: Path, topics: dict[str, FakeTopic]) -> None:
    """Makes sure that each message has its answers, each dead letter is told, no row is doubled."""
    assert outcomes(topics[ANSWERS]) == OUTCOMES
    letters = dead_letters(output)
    told = topics[LETTERS].contents()  # some perhaps more than once
    assert all(each in letters for each in told)
    assert all(each in told for each in letters)
    assert len(letters) == 2
    assert sorted(row["id"] for row in rows(output)) == ["a", "j"]


def test_an_answer_says_what_the_output_holds_before_its_message_is_acknowledged(
    output: Path, source: FakeSubscription, topics: dict[str, FakeTopic]
) -> None:
    def is_committed() -> None:
        committed = read_commits(str(output))
        assert len(committed.files) == 1
        assert not source.acknowledged

    def is_published(ids: list[str]) -> None:
        assert set(ids) <= outcomes(topics[ANSWERS]).keys()

    for topic in topics.values():
        topic.before_publishing = is_committed
    source.before_acknowledging = is_published
    assert exit_code(output) == 3
    check(output, topics)
    assert len(source.acknowledged) == len(topics[ANSWERS].published) == 3
    by_id = {row["id"]: row for row in rows(output)}
    found = [record for each in topics[ANSWERS].contents() for record in each["records"]]
    assert [(r["id"], r["status"], r.get("error_type")) for r in found] == [
        ("a", "embedded", None),
        ("b", "dead_lettered", "invalid_residue"),
        ("j", "embedded", None),
        ("", "dead_lettered", "not_fasta"),
    ]
    for record in found[::2]:
        row = by_id[record["id"]]
        vector = np.frombuffer(base64.b64decode(record["embedding"]), "<f4")
        np.testing.assert_array_equal(vector, np.array(row["embedding"], np.float32))
        assert record["residue_changes"] == row["residue_changes"]
    assert topics[ANSWERS].contents()[0]["source"] == by_id["a"]["source"]
    assert topics[LETTERS].published[0].attributes["run"] == "7"
    # Delivered once more it is known, and needs no second answer.
    source.waiting = MESSAGES[:1]
    assert exit_code(output) == 3
    assert len(topics[ANSWERS].published) == 3


@pytest.mark.parametrize(
    ("where", "name"),
    [
        (FakeTopic, "publish"),
        (receiving.Done, "add"),
        (FakeSubscription, "acknowledge"),
    ],
)
def test_wherever_it_breaks_each_message_gets_an_answer_and_each_record_one_row(
    where: object,
    name: str,
    output: Path,
    source: FakeSubscription,
    topics: dict[str, FakeTopic],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: object) -> None:
        raise OSError("it breaks here")

    with monkeypatch.context() as patched:
        patched.setattr(where, name, fail)
        assert exit_code(output) == 1
    assert not source.acknowledged
    source.expire()
    assert exit_code(output) == 3
    check(output, topics)
    assert set(source.acknowledged) == {"1", "2", "3"}
    assert files_below(output / ".spool/pubsub") == []


def test_stopped_while_nothing_gets_through_the_next_start_publishes(
    output: Path,
    source: FakeSubscription,
    topics: dict[str, FakeTopic],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    topics[ANSWERS].is_away = True
    topics[ANSWERS].before_publishing = stop
    assert exit_code(output) == 143
    assert not source.acknowledged
    assert [message.id for message in source.waiting] == ["1", "2", "3"]  # given back
    topics[ANSWERS].before_publishing = lambda: None
    topics[ANSWERS].is_away = False

    def fail(*_: object) -> None:
        raise GraphError("it is embedded again")

    monkeypatch.setattr(receiving.Receiving, "_embed", fail)
    assert exit_code(output) == 3
    check(output, topics)
    assert set(source.acknowledged) == {"1", "2", "3"}


def test_a_topic_that_is_gone_later_ends_it(
    output: Path, source: FakeSubscription, topics: dict[str, FakeTopic]
) -> None:
    def fail() -> None:
        raise ConfigurationError("it cannot be published to")

    topics[LETTERS].before_publishing = fail
    assert exit_code(output) == 1
    assert not source.acknowledged
    assert not topics[ANSWERS].published
    # Without the option it goes on.
    assert exit_code(output, "--output_topic", ANSWERS) == 3
    assert outcomes(topics[ANSWERS]) == OUTCOMES
    assert set(source.acknowledged) == {"1", "2", "3"}


def test_the_topic_that_is_read_is_refused(
    output: Path,
    source: FakeSubscription,
    topics: dict[str, FakeTopic],
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert exit_code(output, "--dead_letter_topic", FakeSubscription.topic) == 2
    assert "would come back without an end. Give another topic" in capsys.readouterr().err
    assert not output.exists()

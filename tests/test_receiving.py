"""Tests of ``--input_subscription``, in this process, with a subscription in memory."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from pipeline import continuing, run
from pipeline.compact import main as compact
from pipeline.messages import receiving
from pipeline.messages.spool import Spool
from pipeline.messages.subscription import Delivery
from pipeline.runners import GraphError
from pipeline.verify import main as verify
from tests import outputs
from tests.command import exit_code_of
from tests.fake_subscription import FakeSubscription, make_message, receive, subscribe
from tests.helpers import files_below
from tests.outputs import dead_letters, report
from tests.waiting import stop
from transforms import storage
from transforms.errors import ConfigurationError, LostError
from transforms.messages import Message
from transforms.output.commits import read_commits

GOOD = ">a one\nMKTAYIAKQR\n>b\nGGGSSS\n"
MESSAGES = [
    make_message(1, GOOD, run="7"),
    make_message(2, '{"id": "j", "sequence": "mkvl"}'),
    make_message(3, "garbage"),
    make_message(4, ">x\nMK1\n"),
]


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "out"


@pytest.fixture
def source(monkeypatch: pytest.MonkeyPatch) -> FakeSubscription:
    return subscribe(monkeypatch, *MESSAGES)


def rows(output: Path) -> list[dict[str, Any]]:
    return sorted(outputs.rows(output), key=lambda row: (int(row["message_id"]), row["ordinal"]))


def ids(output: Path) -> list[tuple[str, str]]:
    return [(row["message_id"], row["id"]) for row in rows(output)]


def agrees(output: Path) -> bool:
    return exit_code_of(verify, output) == 0


def test_a_network_that_is_away_is_no_silence_that_ends_the_run(
    output: Path, source: FakeSubscription, monkeypatch: pytest.MonkeyPatch
) -> None:
    pull, away = source.pull, iter(range(4))

    def pull_later(most: int, seconds: float) -> list[Delivery]:
        source.is_answering = next(away, None) is None
        if source.is_answering:
            return pull(most, seconds)
        time.sleep(0.15)  # several of them are longer than --stop_after
        return []

    monkeypatch.setattr(source, "pull", pull_later)
    assert receive(output) == 3
    assert sorted(source.acknowledged) == ["1", "2", "3", "4"]


def test_silence_ends_the_run_only_where_somebody_answers(
    output: Path, source: FakeSubscription, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A network that swallows everything looks as if nothing came."""
    pull, told = source.pull, iter([False])
    is_cut = True

    def pull_when_it_is_back(most: int, seconds: float) -> list[Delivery]:
        time.sleep(0.05)
        return [] if is_cut else pull(most, seconds)

    def answers() -> bool:
        nonlocal is_cut
        is_cut = False
        return next(told, True)

    monkeypatch.setattr(source, "pull", pull_when_it_is_back)
    monkeypatch.setattr(source, "answers", answers)
    assert receive(output) == 3
    assert sorted(source.acknowledged) == ["1", "2", "3", "4"]


def test_each_record_gets_its_outcome_and_each_message_is_acknowledged(
    output: Path, source: FakeSubscription
) -> None:
    assert receive(output) == 3
    assert ids(output) == [("1", "a"), ("1", "b"), ("2", "j")]
    first, *_, last = rows(output)
    assert (first["description"], first["attributes"]) == ("one", '{"run": "7"}')
    assert first["publish_time"].isoformat() == "2026-01-31T12:00:01.000001+00:00"
    assert first["source"].startswith("pubsub/sub/20")
    assert (last["attributes"], last["residue_changes"]) == (None, "upper-cased")
    assert [(d["message_id"], d["error_type"], d["sequence"]) for d in dead_letters(output)] == [
        ("3", "not_fasta", "garbage"),
        ("4", "invalid_residue", "MK1"),
    ]
    assert sorted(source.acknowledged) == ["1", "2", "3", "4"]
    assert not source.held
    assert not source.waiting
    totals = report(output)["totals"]
    assert (totals["read"], totals["dead_lettered"]) == (5, 2)
    assert not (output / "pt").exists()
    assert not list((output / ".spool/pubsub").rglob("*-*"))
    assert agrees(output)


def test_nothing_is_acknowledged_before_it_is_committed(
    output: Path, source: FakeSubscription
) -> None:
    def check(acknowledged: list[str]) -> None:
        there = {each["message_id"] for each in [*rows(output), *dead_letters(output)]}
        assert set(acknowledged) <= there
        committed = read_commits(str(output))
        assert all(s in committed.files for part in committed.parts.values() for s in part.sources)
        checked.extend(acknowledged)

    checked: list[str] = []
    source.before_acknowledging = check
    assert receive(output) == 3
    assert len(checked) == 4


def test_what_comes_again_is_acknowledged_and_not_embedded_again(
    output: Path, source: FakeSubscription
) -> None:
    source.waiting += MESSAGES[:2]  # twice in one pull
    assert receive(output) == 3
    assert sorted(source.acknowledged) == ["1", "1", "2", "2", "3", "4"]
    before = ids(output)
    source.waiting += [*MESSAGES, make_message(5, ">new\nMK\n")]
    assert receive(output) == 3
    assert ids(output) == [*before, ("5", "new")]
    assert len(source.acknowledged) == 11
    assert not source.held


def test_its_parts_can_be_merged(output: Path, source: FakeSubscription) -> None:
    for number in range(3):
        source.waiting = [make_message(number, f">r{number}\nMK\n", n=str(number))]
        assert receive(output) == 0
    before = rows(output)
    assert exit_code_of(compact, output) == 0
    assert len(read_commits(str(output)).parts) == 1
    assert rows(output) == before
    assert agrees(output)
    source.waiting = [make_message(1, ">r1\nMK\n", n="1"), make_message(7, ">new\nMK\n")]
    assert receive(output) == 0
    assert len(rows(output)) == 4


def test_another_message_of_the_same_content_or_name_is_another_one(
    output: Path, source: FakeSubscription
) -> None:
    source.waiting = [make_message(1, ">a\nMK\n")]
    assert receive(output) == 0
    source.waiting = [make_message(2, ">a\nMK\n"), make_message(1, ">b\nMK\n")]
    assert receive(output) == 0
    assert ids(output) == [("1", "a"), ("1", "b"), ("2", "a")]


def fail_once(monkeypatch: pytest.MonkeyPatch, module: object, name: str) -> None:
    """Makes the first call of a function fail, before it does anything."""
    call = getattr(module, name)

    def failing(*args: object, **options: object) -> object:
        monkeypatch.setattr(module, name, call)
        raise OSError("it breaks here")

    monkeypatch.setattr(module, name, failing)


@pytest.mark.parametrize(
    ("where", "name"),
    [
        (Spool, "add"),
        (continuing, "embed"),
        (receiving.Done, "add"),
        (FakeSubscription, "acknowledge"),
        (Spool, "remove"),
    ],
)
def test_wherever_it_breaks_the_next_start_ends_as_if_it_had_not(
    where: object,
    name: str,
    output: Path,
    source: FakeSubscription,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fail_once(monkeypatch, where, name)
    assert receive(output) == 1
    source.expire()
    assert receive(output) == 3
    assert ids(output) == [("1", "a"), ("1", "b"), ("2", "j")]
    assert len(dead_letters(output)) == 2
    assert set(source.acknowledged) == {"1", "2", "3", "4"}
    assert not source.held
    assert not source.waiting
    assert agrees(output)


def test_a_graph_that_fails_gives_the_messages_back(
    output: Path, source: FakeSubscription, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise GraphError("the graph has failed")

    monkeypatch.setattr(continuing, "embed", fail)
    assert receive(output) == 1
    assert [message.id for message in source.waiting] == ["1", "2", "3", "4"]


def test_a_signal_ends_it_when_what_was_pulled_is_done(
    output: Path, source: FakeSubscription, monkeypatch: pytest.MonkeyPatch
) -> None:
    embed = continuing.embed

    def interrupted(*args: Any) -> object:
        stop()
        source.waiting.append(make_message(9, GOOD))
        return embed(*args)

    monkeypatch.setattr(continuing, "embed", interrupted)
    assert receive(output) == 143
    assert sorted(source.acknowledged) == ["1", "2", "3", "4"]
    assert [message.id for message in source.waiting] == ["9"]
    assert not source.held
    assert agrees(output)


def break_before_the_end(output: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All parts of a pull get there, and the record that it is finished does not."""
    write = storage.publish

    def failing(root: str, name: str, *args: Any) -> str:
        if name.startswith("commits/files-"):
            raise OSError("killed")
        return write(root, name, *args)

    with monkeypatch.context() as patched:
        patched.setattr(storage, "publish", failing)
        assert receive(output) == 1


def test_a_killed_pull_keeps_its_name_and_its_committed_rows(
    output: Path, source: FakeSubscription, monkeypatch: pytest.MonkeyPatch
) -> None:
    break_before_the_end(output, monkeypatch)
    before = read_commits(str(output)).parts
    assert before
    source.expire()
    assert receive(output) == 3
    assert read_commits(str(output)).parts == before
    assert ids(output) == [("1", "a"), ("1", "b"), ("2", "j")]


def test_files_and_messages_do_not_mix(
    output: Path, source: FakeSubscription, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.fa").write_text(GOOD)
    files = ["--input", str(tmp_path / "a.fa"), "--model", "demo", "--quiet", "--output"]
    assert receive(output) == 3
    assert exit_code_of(run.main, *files, output) == 2
    assert "holds rows of messages. Go on with --input_subscription" in capsys.readouterr().err
    assert exit_code_of(run.main, *files, tmp_path / "other") == 0
    source.waiting = list(MESSAGES)
    assert receive(tmp_path / "other") == 2
    assert "holds rows of files. Go on with --input," in capsys.readouterr().err
    assert source.waiting == MESSAGES


def test_an_output_that_is_begun_anew_knows_of_no_message(
    output: Path, source: FakeSubscription
) -> None:
    assert receive(output) == 3
    for name in ("embeddings", "commits", "dead_letters"):
        storage.delete(str(output / name))
    source.waiting = list[Message](MESSAGES)
    assert receive(output) == 3
    assert len(rows(output)) == 3


def test_a_pull_that_is_damaged_is_named_and_can_be_deleted(
    output: Path,
    source: FakeSubscription,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    break_before_the_end(output, monkeypatch)
    assert len(rows(output)) == 3
    (path,) = (output / ".spool/pubsub").rglob("*-*")
    path.write_text("{")
    assert receive(output) == 1
    assert "is damaged. Delete it" in capsys.readouterr().err
    path.unlink()
    source.expire()
    assert receive(output) == 3
    assert ids(output) == [("1", "a"), ("1", "b"), ("2", "j")]
    assert len(dead_letters(output)) == 2
    assert agrees(output)


def test_a_lock_that_is_lost_ends_it_and_nothing_is_acknowledged(
    output: Path, source: FakeSubscription, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lost(root: str, run: str) -> None:
        raise LostError("another run has it")

    monkeypatch.setattr(receiving, "check_held", lost)
    assert receive(output) == 1
    assert source.acknowledged == []
    assert [message.id for message in source.waiting] == ["1", "2", "3", "4"]
    assert files_below(output / ".spool") == []


def test_a_subscription_that_is_gone_ends_it(
    output: Path, source: FakeSubscription, monkeypatch: pytest.MonkeyPatch
) -> None:
    def pull(*_: object) -> None:
        raise ConfigurationError("it cannot be pulled from")

    monkeypatch.setattr(source, "pull", pull)
    assert receive(output) == 1
    assert files_below(output / ".spool") == []

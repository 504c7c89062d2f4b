from __future__ import annotations

import os
from pathlib import Path

import pytest

from pipeline.messages.spool import Done, Spool
from tests.fake_subscription import make_message
from tests.helpers import files_below
from transforms.errors import ConfigurationError
from transforms.inputs.finding import FastaFile
from transforms.messages import decode_messages

MESSAGES = [make_message(1, ">a\nMKT\n"), make_message(2, "x")]


def pull(number: int) -> FastaFile:
    return FastaFile("", f"pubsub/sub/{number:03}", 0, 0.0)


def test_a_pull_is_there_until_it_is_removed(tmp_path: Path) -> None:
    spool = Spool(str(tmp_path))
    assert spool.pulls() == ()
    first, second = spool.add("sub", MESSAGES), spool.add("sub", MESSAGES[:1])
    assert first.source.startswith("pubsub/sub/20")
    assert decode_messages(Path(first.url).read_bytes()) == MESSAGES
    assert first.size == os.path.getsize(first.url)
    assert Spool(str(tmp_path)).pulls() == (first, second)
    spool.remove(first)
    assert spool.pulls() == (second,)


def test_what_is_done_is_known_in_the_next_life(tmp_path: Path) -> None:
    done = Done(str(tmp_path))
    assert b"0" * 16 not in done
    done.add(pull(1), [b"0" * 16, b"1" * 16])
    for each in (done, Done(str(tmp_path))):
        assert b"0" * 16 in each
        assert b"1" * 16 in each
        assert b"2" * 16 not in each


@pytest.mark.parametrize("limits", [{"messages": 4}, {"pulls": 2}])
def test_the_oldest_are_forgotten(tmp_path: Path, limits: dict[str, int]) -> None:
    done = Done(str(tmp_path), **limits)
    keys = [bytes([n]) * 16 for n in range(10)]
    for n in range(5):
        done.add(pull(n), keys[2 * n : 2 * n + 2])
    for each in (done, Done(str(tmp_path), **limits)):
        assert [key in each for key in keys] == [False] * 6 + [True] * 4
    assert files_below(tmp_path / ".spool") == ["done/003", "done/004"]


def test_a_pull_that_is_noted_twice_counts_once(tmp_path: Path) -> None:
    done = Done(str(tmp_path), pulls=2)
    for number in (1, 2, 1, 2):
        done.add(pull(number), [bytes([number]) * 16])
    assert files_below(tmp_path / ".spool") == ["done/001", "done/002"]


def test_a_pull_of_more_messages_than_the_horizon_is_kept(tmp_path: Path) -> None:
    done = Done(str(tmp_path), messages=1)
    done.add(pull(1), [b"0" * 16, b"1" * 16])
    assert b"0" * 16 in done


def test_a_damaged_note_is_named(tmp_path: Path) -> None:
    Done(str(tmp_path)).add(pull(1), [b"0" * 16])
    (tmp_path / ".spool/done/001").write_text("no digest\n")
    with pytest.raises(ConfigurationError, match="done/001 is damaged"):
        Done(str(tmp_path))

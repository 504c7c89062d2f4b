"""Tests of what is noted while a pass is under way, and of what a death makes of it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

from tests.dying import dying
from tests.helpers import files_below, sha256
from transforms.esm.bisection import Failure
from transforms.esm.under_way import (
    PROCESS_DIED,
    UNDER_WAY,
    Notes,
    clear_notes,
    count_deaths,
    forget_condemned,
    open_notes,
)

A, B, C = (sha256(letter) for letter in "ABC")
BROKEN = RuntimeError("CUDA error: device-side assert triggered")


@pytest.fixture
def root(tmp_path: Path) -> str:
    folder = tmp_path / "out"
    folder.mkdir()
    return str(folder)


def die(root: str, *digests: str, notes: Notes | None = None) -> None:
    """Leaves on disk what there is when the process is killed with sequences under way."""
    with (notes or Notes(root, "run")).noted(digests):
        shutil.copytree(f"{root}/{UNDER_WAY}", f"{root}/then")
    shutil.rmtree(f"{root}/{UNDER_WAY}")
    shutil.move(f"{root}/then", f"{root}/{UNDER_WAY}")


def restart(root: str) -> Notes:
    count_deaths(root)
    return Notes(root, "next")


def verdicts(notes: Notes) -> dict[str, str]:
    """What becomes of each sequence that does not go the usual way."""
    return {
        name: "condemned" if notes.condemned(digest) else "alone"
        for name, digest in {"A": A, "B": B, "C": C}.items()
        if notes.is_suspect(digest)
    }


def test_whatever_was_under_way_in_a_death_goes_alone(root: str) -> None:
    die(root, A, B)
    assert verdicts(restart(root)) == {"A": "alone", "B": "alone"}


def test_the_one_alone_at_a_second_death_is_condemned_and_no_other(root: str) -> None:
    die(root, A, B)
    die(root, A, notes=restart(root))
    notes = restart(root)
    assert verdicts(notes) == {"A": "condemned", "B": "alone"}
    assert notes.condemned(B) is None
    assert notes.condemned(A) == Failure(
        PROCESS_DIED,
        "the process or its device died twice with this record under way, in the end with it "
        "alone; --retry_failed tries it again",
        attempts=2,
    )


def test_one_death_condemns_nothing_even_alone(root: str) -> None:
    die(root, A)
    assert verdicts(restart(root)) == {"A": "alone"}
    die(root, A)
    assert verdicts(restart(root)) == {"A": "condemned"}


def test_many_deaths_with_others_condemn_nothing(root: str) -> None:
    """A runner that replaces dead workers has many before anything can be taken alone."""
    for _ in range(4):
        die(root, A, B)
    notes = restart(root)
    assert verdicts(notes) == {"A": "alone", "B": "alone"}
    die(root, B, notes=notes)
    notes = restart(root)
    assert verdicts(notes) == {"A": "alone", "B": "condemned"}
    failure = notes.condemned(B)
    assert failure.attempts == 5
    assert "died 5 times" in failure.message


def test_who_goes_through_alone_is_cleared_now_and_for_later_runs(root: str) -> None:
    die(root, A, B)
    notes = restart(root)
    with notes.noted([A]):
        pass
    notes.clear(A)
    assert verdicts(notes) == {"B": "alone"}
    die(root, A, C, notes=notes)
    notes = restart(root)
    assert verdicts(notes) == {"A": "alone", "B": "alone", "C": "alone"}
    notes.clear(A)
    # Were one of its old deaths still counted, this one would condemn it.
    die(root, A, notes=notes)
    assert verdicts(restart(root)) == {"A": "alone", "B": "alone", "C": "alone"}


def test_two_processes_may_clear_the_same_sequence(root: str) -> None:
    die(root, A)
    several = [restart(root), restart(root)]
    for notes in several:
        notes.clear(A)
        assert verdicts(notes) == {}
    assert verdicts(restart(root)) == {}


@pytest.mark.parametrize("last", range(5))
def test_a_kill_while_deaths_are_counted_counts_none_twice(root: str, last: int) -> None:
    die(root, A)  # one death, alone: counted twice, it would condemn
    die(root, B, C)
    with dying(last, made=True) as changes:
        count_deaths(root)
    assert changes.is_dead
    assert verdicts(restart(root)) == {"A": "alone", "B": "alone", "C": "alone"}


@pytest.mark.parametrize(
    "error",
    [
        None,
        ValueError("no W, please"),
        torch.OutOfMemoryError("CUDA out of memory."),
        KeyboardInterrupt(),
    ],
    ids=repr,
)
def test_after_a_pass_the_note_is_empty_however_it_ended(
    root: str, error: BaseException | None
) -> None:
    notes = Notes(root, "run")
    if error is None:
        with notes.noted([A]):
            pass
    else:
        with pytest.raises(type(error)), notes.noted([A]):
            raise error
    assert verdicts(restart(root)) == {}


def test_a_broken_device_leaves_the_note_and_later_passes_do_not_change_it(root: str) -> None:
    notes = Notes(root, "run")
    with notes.noted([C]):
        pass
    with pytest.raises(RuntimeError), notes.noted([A, B]):
        raise BROKEN
    # A runner may try again in the same process, and every pass then fails.
    with pytest.raises(RuntimeError), notes.noted([C]):
        raise BROKEN
    assert verdicts(restart(root)) == {"A": "alone", "B": "alone"}


def test_of_a_longer_note_nothing_counts_when_a_shorter_one_has_taken_its_place(root: str) -> None:
    notes = Notes(root, "run")
    with notes.noted([A, B, C]):
        pass
    die(root, A, notes=notes)
    assert verdicts(restart(root)) == {"A": "alone"}


def test_what_several_threads_have_in_hand_is_noted_together(root: str) -> None:
    notes = Notes(root, "run")
    with notes.noted([A, B]):
        with notes.noted([C]):
            died = root + "-copy"
            shutil.copytree(root, died)
        die(root, C, notes=notes)  # and what ended is not noted any more
    assert verdicts(restart(died)) == {"A": "alone", "B": "alone", "C": "alone"}
    assert set(verdicts(restart(root))) == {"A", "B", "C"}


def test_pieces_of_one_sequence_are_one_sequence(root: str) -> None:
    die(root, A, B)
    die(root, A, A, A, notes=restart(root))
    assert verdicts(restart(root)) == {"A": "condemned", "B": "alone"}


@pytest.mark.parametrize("content", [b"", b"\n", b"\xff\xfe", b"../../x\n\n", b"a" * 63 + b"\n\n"])
def test_a_note_that_was_never_finished_names_nobody(root: str, content: bytes) -> None:
    folder = Path(root, UNDER_WAY)
    folder.mkdir()
    (folder / "note-run-1").write_bytes(content)
    count_deaths(root)
    assert [path for path in files_below(root) if "suspect" in path or "note" in path] == []


def test_forgetting_takes_the_condemned_and_leaves_the_suspects(root: str) -> None:
    die(root, A, B)
    die(root, A, notes=restart(root))
    count_deaths(root)
    forget_condemned(root)
    assert verdicts(restart(root)) == {"B": "alone"}


def test_the_same_command_with_a_new_start_each_time_comes_to_an_end(root: str) -> None:
    """Condemned is who has had its deaths counted, not who is about to."""
    die(root, A, B)
    for expected in ("alone", "condemned"):
        forget_condemned(root)
        notes = restart(root)
        assert verdicts(notes)["A"] == expected
        if expected == "alone":
            die(root, A, notes=notes)


def test_cleared_notes_are_no_deaths_and_leave_no_folder(root: str) -> None:
    die(root, A)
    clear_notes(root)
    assert os.listdir(root) == []
    assert verdicts(restart(root)) == {}


def test_clearing_notes_leaves_what_is_known_of_earlier_deaths(root: str) -> None:
    die(root, A)
    die(root, B, notes=restart(root))
    clear_notes(root)
    assert verdicts(restart(root)) == {"A": "alone"}


def test_without_an_output_nothing_is_noted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for root in (None, "gs://bucket/out"):
        notes = open_notes(root, "run")
        with notes.noted([A]):
            assert files_below(tmp_path) == []
        assert not notes.is_untried
        assert verdicts(notes) == {}
    for act in (count_deaths, forget_condemned, clear_notes):
        act("gs://bucket/out")
    assert files_below(tmp_path) == []


def test_an_output_where_nothing_ever_died_is_left_as_it_is(root: str) -> None:
    for act in (count_deaths, forget_condemned, clear_notes):
        act(root)
    assert os.listdir(root) == []


def test_a_note_that_cannot_be_written_costs_no_pass_anything(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    root = tmp_path / "vanished"
    notes = Notes(str(root), "run")
    ran: list[Sequence[str]] = []
    for digests in ([A], [B, C]):
        with notes.noted(digests):
            ran.append(digests)
    assert ran == [[A], [B, C]]
    assert not root.exists()
    assert [record.getMessage() for record in caplog.records] == [
        "What is under way cannot be noted (No such file or directory)"
    ]


def test_a_process_has_one_watch_for_a_run(root: str) -> None:
    assert open_notes(root, "run1") is open_notes(root, "run1")
    assert open_notes(root, "run1") is not open_notes(root, "run2")


def test_a_user_is_told_what_died_and_what_is_done_about_it(
    root: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    die(root, A, B)
    die(root, A, notes=restart(root))
    assert caplog.messages == [
        "A run died with 2 sequences under way.",
        "Embedded alone first, to find out whether one ends the process: 2 sequences.",
    ]
    caplog.clear()
    restart(root)
    assert caplog.messages == [
        "A run died with 1 sequence under way.",
        "Embedded alone first, to find out whether one ends the process: 1 sequence.",
    ]

"""Tests of what of a listing is complete and due, and of whose turn it is."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pipeline.watching.arrivals import ROUND_BYTES, Arrivals
from transforms.inputs.arriving import Version
from transforms.inputs.finding import FastaFile


def file(source: str, size: int = 10, mtime: float = 1.0) -> FastaFile:
    return FastaFile(f"/in/{source}", source, size, mtime)


def new(*files: FastaFile) -> Arrivals:
    """Files that have been seen twice, by a watch without a past."""
    arrivals = Arrivals({}, ())
    if files:
        look_twice(arrivals, *files)
    return arrivals


def take(arrivals: Arrivals) -> list[str]:
    taken = arrivals.take()
    return [] if taken is None else [file.source for file in taken.files]


def look_twice(arrivals: Arrivals, *files: FastaFile) -> None:
    arrivals.look(files)
    arrivals.look(files)


def test_a_file_is_complete_at_the_second_look() -> None:
    arrivals = new()
    arrivals.look([file("a.fa")])
    assert (take(arrivals), arrivals.is_quiet, arrivals.is_awaited) == ([], False, False)
    arrivals.look([file("a.fa")])
    assert arrivals.is_awaited
    assert take(arrivals) == ["a.fa"]
    assert take(arrivals) == []


@pytest.mark.parametrize("change", [{"size": 11}, {"mtime": 2.0}])
def test_a_file_that_grows_waits_until_it_does_no_more(change: dict[str, float]) -> None:
    arrivals = new()
    grown = file("a.fa", **change)
    arrivals.look([file("a.fa")])
    arrivals.look([grown])
    assert take(arrivals) == []
    arrivals.look([grown])
    assert take(arrivals) == ["a.fa"]


def test_a_file_that_grows_or_goes_while_it_waits_is_not_taken() -> None:
    arrivals = new(file("a.fa"), file("b.fa"), file("c.fa"))
    arrivals.look([file("a.fa", size=11), file("b.fa")])
    assert take(arrivals) == ["b.fa"]


def test_what_is_done_is_not_due_until_it_changes() -> None:
    arrivals = new(file("a.fa"), file("b.fa"))
    taken = arrivals.take()
    arrivals.finish(taken.files[0])
    arrivals.finish(taken.files[1], has_failed=True)
    look_twice(arrivals, file("a.fa"), file("b.fa"))
    assert (take(arrivals), arrivals.is_quiet) == ([], True)
    look_twice(arrivals, file("a.fa", mtime=2.0), file("b.fa", size=11))
    assert take(arrivals) == ["a.fa", "b.fa"]


def test_what_was_done_in_an_earlier_life_is_not_due() -> None:
    known = {"a.fa": Version(10, 1.0), "b.fa": Version(9, 1.0), "c.fa": None}
    arrivals = Arrivals(known, known)
    look_twice(arrivals, file("a.fa"), file("b.fa"), file("c.fa"), file("d.fa"))
    assert take(arrivals) == ["b.fa", "c.fa", "d.fa"]
    assert [arrivals.is_known(f"{name}.fa") for name in "abcd"] == [True, True, True, False]


@pytest.mark.parametrize(
    ("mtime", "complete"),
    [
        (150.0, 150.0),  # written between the two looks
        (7.0, 100.0),  # an old file, moved in some time between them
        (999.0, 200.0),  # a clock that is ahead
    ],
)
def test_a_file_that_comes_is_complete_at_its_time_or_between_the_looks(
    mtime: float, complete: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("transforms.inputs.arriving.time.time", lambda: 100.0)
    arrivals = new()
    arrivals.look([])
    for found in (200.0, 300.0):
        arrivals.look([replace(file("a.fa", mtime=mtime), complete=found)])
    taken = arrivals.take()
    assert [each.complete for each in taken.files] == [complete]
    arrivals.carry(taken.files[0], is_slow=True)
    arrivals.look([replace(file("a.fa", mtime=mtime), complete=400.0)])
    again = arrivals.take()
    assert [each.complete for each in again.files] == [complete]


def test_a_file_that_is_there_at_the_start_is_complete_when_it_is_found() -> None:
    arrivals = new()
    for found in (200.0, 300.0):
        arrivals.look([replace(file("a.fa", mtime=7.0), complete=found)])
    taken = arrivals.take()
    assert [each.complete for each in taken.files] == [200.0]


def test_it_is_quiet_when_nothing_grows_or_is_at_work() -> None:
    arrivals = new()
    assert arrivals.is_quiet
    look_twice(arrivals, file("a.fa"))
    taken = arrivals.take()
    arrivals.look([file("a.fa")])
    assert not arrivals.is_quiet
    arrivals.finish(*taken.files)
    assert arrivals.is_quiet


def test_a_file_that_changes_while_it_is_at_work_is_due_again() -> None:
    arrivals = new(file("a.fa"), file("b.fa"))
    taken = arrivals.take()
    look_twice(arrivals, file("a.fa", size=11), file("b.fa", size=11))
    assert arrivals.is_awaited
    arrivals.finish(taken.files[0])
    arrivals.carry(taken.files[1], is_slow=True)
    second = arrivals.take()
    assert [(file.source, file.size) for file in second.files] == [("a.fa", 11), ("b.fa", 11)]
    assert not second.are_carried


def test_small_files_go_first() -> None:
    arrivals = new(file("a.fa", 30), file("b.fa", 10), file("c.fa", 20))
    assert take(arrivals) == ["b.fa", "c.fa", "a.fa"]


def test_new_files_and_what_is_unfinished_take_turns() -> None:
    arrivals = new()
    files = [file("huge.fa", 999)]
    order = []
    for n in range(3):
        files.append(file(f"new{n}.fa"))
        look_twice(arrivals, *files)
        for _ in range(2):
            taken = arrivals.take()
            order.append((taken.are_carried, [file.source for file in taken.files]))
            for each in taken.files:
                if each.source == "huge.fa":
                    arrivals.carry(each, is_slow=True)
                else:
                    arrivals.finish(each)
    carried = (True, ["huge.fa"])
    assert order == [
        (False, ["new0.fa", "huge.fa"]), carried,
        (False, ["new1.fa"]), carried,
        (False, ["new2.fa"]), carried,
    ]  # fmt: skip


def test_what_is_unfinished_keeps_nobody_from_being_new() -> None:
    arrivals = new(file("huge.fa"))
    taken = arrivals.take()
    arrivals.carry(*taken.files, is_slow=True)
    assert not arrivals.is_awaited
    assert not arrivals.is_quiet
    arrivals.look([file("huge.fa"), file("a.fa")])
    assert not arrivals.is_awaited
    arrivals.look([file("huge.fa"), file("a.fa")])
    assert arrivals.is_awaited


def test_what_is_unfinished_and_goes_away_is_not_taken() -> None:
    arrivals = new(file("huge.fa"))
    taken = arrivals.take()
    arrivals.carry(*taken.files, is_slow=True)
    arrivals.look([])
    assert (take(arrivals), arrivals.is_quiet) == ([], True)


def test_the_first_of_a_name_takes_it_and_the_second_is_refused_once() -> None:
    arrivals = new()
    both = [file("a.fa", 20), file("a.faa.gz", 10), file("b.fa", 30)]
    look_twice(arrivals, *both)
    taken = arrivals.take()
    assert [file.source for file in taken.files] == ["a.fa", "b.fa"]
    assert [(file.source, holder) for file, holder in taken.refused] == [("a.faa.gz", "a.fa")]
    look_twice(arrivals, *both, file("a.faa.gz", 11))
    assert take(arrivals) == []


def test_a_name_may_be_taken_in_an_earlier_life() -> None:
    known = {"a.fa": Version(10, 1.0), "b.fa": None, "a.faa": None}
    arrivals = Arrivals(known, ["a.fa", "b.fa"])
    look_twice(arrivals, file("a.fa.gz"), file("a.faa"), file("b.fa.gz"))
    taken = arrivals.take()
    assert taken.files == ()
    # a.faa was refused in that life already.
    assert [f.source for f, _ in taken.refused] == ["a.fa.gz", "b.fa.gz"]


def test_a_file_that_failed_leaves_its_name_to_others() -> None:
    arrivals = new(file("a.fa.gz"))
    taken = arrivals.take()
    arrivals.finish(*taken.files, has_failed=True)
    look_twice(arrivals, file("a.fa.gz"), file("a.fa"))
    assert take(arrivals) == ["a.fa"]
    look_twice(arrivals, file("a.fa.gz", mtime=2.0))
    taken = arrivals.take()
    assert [(file.source, holder) for file, holder in taken.refused] == [("a.fa.gz", "a.fa")]


def test_what_is_refused_is_not_looked_at_again() -> None:
    arrivals = new(file("a.fa"))
    assert take(arrivals) == ["a.fa"]
    arrivals.refuse("a.fa")
    look_twice(arrivals, file("a.fa", mtime=2.0))
    assert (take(arrivals), arrivals.is_quiet) == ([], True)


def test_a_large_file_is_left_to_a_round_of_its_own() -> None:
    arrivals = new()
    large = [file("large.fa", ROUND_BYTES), file("larger.fa", ROUND_BYTES + 1)]
    rounds = []
    for n in range(4):
        look_twice(arrivals, *large, file("small.fa"), *[file("late.fa")] * (n > 0))
        taken = arrivals.take()
        rounds.append((taken.are_carried, [file.source for file in taken.files]))
        for each in taken.files:
            arrivals.finish(each)
    assert rounds == [
        (False, ["small.fa"]),
        (False, ["late.fa"]),
        (True, ["large.fa"]),
        (True, ["larger.fa"]),
    ]


def test_what_was_at_work_before_is_told_until_it_changes() -> None:
    arrivals = new(file("a.fa"))
    for begun, changed in ((set(), file("a.fa")), ({"a.fa"}, file("a.fa", 11)), (set(), None)):
        taken = arrivals.take()
        assert taken.begun == begun
        arrivals.carry(*taken.files, is_slow=True)
        look_twice(arrivals, changed or file("a.fa", 11))


def test_one_that_held_up_its_round_goes_alone_and_after_the_others() -> None:
    arrivals = new(file("slow.fa", 1), file("slower.fa", 3), file("a.fa", 7), file("b.fa", 8))
    order = []
    for slow in ("slow.fa", "slower.fa", "", "", ""):
        taken = arrivals.take()
        order.append([file.source for file in taken.files])
        for each in taken.files:
            if slow:
                arrivals.carry(each, is_slow=each.source == slow)
            else:
                arrivals.finish(each)
        if arrivals.is_quiet:
            break
    assert order == [
        ["slow.fa", "slower.fa", "a.fa", "b.fa"],
        ["slower.fa", "a.fa", "b.fa"],
        ["a.fa", "b.fa"],
        ["slow.fa"],
        ["slower.fa"],
    ]


def test_a_smaller_file_is_made_room_for_and_a_larger_one_is_not() -> None:
    arrivals = new()
    files = [file("a.fa", 5), file("b.fa", 7), file("c.fa", 9)]
    look_twice(arrivals, *files)
    taken = arrivals.take()
    for each in taken.files:
        arrivals.carry(each, is_slow=True)
    for source, is_awaited in (("a.fa", False), ("b.fa", False), ("c.fa", False)):
        assert take(arrivals) == [source]
        assert arrivals.is_awaited == is_awaited
        arrivals.finish(next(each for each in files if each.source == source))
    look_twice(arrivals, file("c.fa", 10), file("d.fa", 20))
    assert take(arrivals) == ["c.fa", "d.fa"]
    arrivals.finish(file("c.fa", 10))
    look_twice(arrivals, file("c.fa", 10), file("d.fa", 20), file("e.fa", 30))
    assert arrivals.is_awaited

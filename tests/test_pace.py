"""Tests of what a run remembers of its speed."""

from __future__ import annotations

from pipeline.listening.pace import MOST_SPANS, Pace
from pipeline.reporting.past import find_pace
from transforms.events import BatchFilled, FileBegun, RecordsEmbedded


def test_residues_count_in_the_span_in_which_they_are_embedded() -> None:
    seconds = iter([10.0, 10.2, 10.9, 13.5])
    pace = Pace(lambda: next(seconds))
    for _ in range(3):
        pace(RecordsEmbedded(2, 100))
    told = pace.as_json()
    assert (told["span_seconds"], told["records"], told["residues"]) == (
        1.0, [4, 0, 0, 2], [200, 0, 0, 100],
    )  # fmt: skip


def test_a_long_run_is_told_in_no_more_spans_and_nothing_is_lost() -> None:
    now = 0.0
    pace = Pace(lambda: now)
    for second in range(3 * MOST_SPANS + 1):
        now = second
        pace(RecordsEmbedded(1, second))
    told = pace.as_json()
    assert told["span_seconds"] == 4
    assert len(told["residues"]) == (3 * MOST_SPANS) // 4 + 1
    assert told["residues"][:2] == [0 + 1 + 2 + 3, 4 + 5 + 6 + 7]
    assert sum(told["records"]) == 3 * MOST_SPANS + 1


def test_an_hour_without_work_takes_no_room() -> None:
    now = 0.0
    pace = Pace(lambda: now)
    pace(RecordsEmbedded(1, 7))
    now = 3600.0
    pace(RecordsEmbedded(1, 8))
    told = pace.as_json()
    assert told["span_seconds"] == 16
    assert [count for count in told["residues"] if count] == [7, 8]
    assert told["residues"].index(8) == 3600 // 16


def test_batches_count_by_the_tenth_to_which_they_are_full() -> None:
    pace = Pace()
    for tokens in (0, 99, 100, 950, 1000, 1700):
        pace(BatchFilled(tokens, 1000))
    told = pace.as_json()
    assert told["batch_fill"] == [2, 1, 0, 0, 0, 0, 0, 0, 0, 3]
    assert find_pace({"pace": told}) is not None


def test_what_has_heard_nothing_says_nothing() -> None:
    pace = Pace()
    pace(FileBegun("a.fa"))
    assert pace.as_json() is None

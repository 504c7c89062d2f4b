"""Tests of the number of dead letters that stops a run."""

from __future__ import annotations

from argparse import ArgumentTypeError
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from pipeline.listening.limits import DeadLetterGuard
from pipeline.option_groups.values import MIN_RECORDS, DeadLetterLimit, parse_limit
from pipeline.options import parse_options
from pipeline.run import main
from tests.command import exit_code_of
from tests.outputs import report
from transforms import events
from transforms.inputs import stopping
from transforms.output.commits import read_commits


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        ("0", DeadLetterLimit(0)),
        ("100", DeadLetterLimit(100)),
        (" 7 ", DeadLetterLimit(7)),
        ("5%", DeadLetterLimit(5, is_share=True)),
        ("2.5%", DeadLetterLimit(2.5, is_share=True)),
        ("100%", DeadLetterLimit(100, is_share=True)),
    ],
)
def test_a_number_or_a_share_is_understood(text: str, limit: DeadLetterLimit) -> None:
    assert parse_limit(text) == limit
    assert str(limit) == text.strip()


@pytest.mark.parametrize("text", ["", "-1", "1.5", "many", "101%", "-1%", "nan%", "%", "1e3", "٣"])
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ArgumentTypeError, match="a whole number or a percentage up to 100%, not"):
        parse_limit(text)


def failed(ordinal: int | None = 0, stage: str = "residues") -> events.RecordFailed:
    return events.RecordFailed("a\x1b.faa", ordinal, "p\n1", 5, stage, "bad", "no | \x00 good")


class Stop:
    def __init__(self) -> None:
        self.calls = 0

    def __call__(self) -> None:
        self.calls += 1


def heard(limit: DeadLetterLimit | None, *told: events.Event) -> tuple[DeadLetterGuard, Stop]:
    stop = Stop()
    guard = DeadLetterGuard(limit, stop)
    for event in told:
        guard(event)
    return guard, stop


def test_one_more_than_the_number_stops_the_run_once() -> None:
    guard, stop = heard(DeadLetterLimit(2), failed(0), failed(1))
    assert (guard.sentence, stop.calls) == (None, 0)
    for ordinal in range(2, 5):
        guard(failed(ordinal))
        assert stop.calls == 1
        assert guard.sentence == (
            r"Stopped: 3 dead letters are more than --max_dead_letters 2 allows; "
            r"the first: a\x1b.faa, p\n1: bad: no | \x00 good"
        )


def test_a_whole_file_counts_and_has_no_id() -> None:
    guard, stop = heard(DeadLetterLimit(0), failed(None, "read"))
    assert stop.calls == 1
    assert guard.sentence == (
        r"Stopped: 1 dead letter is more than --max_dead_letters 0 allows; "
        r"the first: a\x1b.faa: bad: no | \x00 good"
    )


def test_without_a_limit_nothing_stops() -> None:
    guard, stop = heard(None, *[failed()] * 2000)
    assert (guard.sentence, stop.calls) == (None, 0)


exit_code = partial(exit_code_of, main)
FIVE = DeadLetterLimit(5, is_share=True)


def opened(records: int) -> events.FileOpened:
    return events.FileOpened("a.faa", 9 * records, records, 10 * records)


def test_a_share_of_few_records_is_reckoned_as_one_of_many() -> None:
    guard, stop = heard(FIVE, opened(60), *[failed()] * (MIN_RECORDS // 20))
    assert (guard.sentence, stop.calls) == (None, 0)
    guard(failed())
    assert stop.calls == 1
    assert (
        "51 dead letters are more than --max_dead_letters 5% of 60 records, counted as 1,000,"
        in (guard.sentence)
    )


def test_a_share_is_of_the_records_in_the_files_opened_so_far() -> None:
    # What fails is heard of when it is read, what is embedded only when its batch is full.
    guard, stop = heard(FIVE, opened(1500), opened(500), *[failed()] * 100)
    assert stop.calls == 0  # 100 of 2,000
    guard(failed())
    assert stop.calls == 1


def test_a_file_that_cannot_be_read_is_one_of_the_records() -> None:
    half = DeadLetterLimit(50, is_share=True)
    _, stop = heard(half, opened(MIN_RECORDS), *[failed(None, "read")] * MIN_RECORDS)
    assert stop.calls == 0
    _, stop = heard(half, opened(MIN_RECORDS), *[failed(None, "read")] * (MIN_RECORDS + 1))
    assert stop.calls == 1


def test_the_option_reaches_the_run() -> None:
    required = ["--input", "a.faa", "--output", "out"]
    assert parse_options(required).max_dead_letters is None
    assert parse_options([*required, "--max_dead_letters", "5%"]).max_dead_letters == FIVE


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """Many files, one after the other, the third of which holds bad records."""
    folder = tmp_path / "in"
    folder.mkdir()
    for number in range(40):
        residues = "MK1" if number == 2 else "MKTAYIAKQR"
        records = "".join(f">p{number}-{record}\n{residues}\n" for record in range(100))
        (folder / f"{number:02}.faa").write_text(records)
    yield folder
    assert not stopping.stop_requested()


def test_a_run_that_goes_wrong_stops_early_says_why_and_can_go_on(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    args = ("--input", folder, "--output", out, "--model", "demo", "--quiet")
    assert exit_code(*args, "--max_dead_letters", "9") == 1
    said = capsys.readouterr()
    first = "02.faa, p2-0: invalid_residue: "
    sentence = f"10 dead letters are more than --max_dead_letters 9 allows; the first: {first}"
    assert f"error: Stopped: {sentence}" in said.err
    assert "Mend the input or raise --max_dead_letters" in said.err
    assert "Traceback" not in said.err
    assert report(out)["exit_code"] == 1
    assert sentence in report(out)["failure"]
    assert len(read_commits(str(out)).files) < 40

    assert exit_code(*args, "--max_dead_letters", "9") == 1  # it meets the same ones again
    assert exit_code(*args, "--max_dead_letters", "100") == 3
    totals = report(out)["totals"]
    assert (totals["read"], totals["embedded"], totals["dead_lettered"]) == (4000, 3900, 100)


def test_a_share_that_is_not_exceeded_stops_nothing(tmp_path: Path) -> None:
    # A tenth is bad, and all of it comes before the first batch is full.
    residues = ["MK1"] * 200 + ["MKTAYIAKQR"] * 1800
    text = "".join(f">p{n}\n{each}\n" for n, each in enumerate(residues))
    (tmp_path / "in.faa").write_text(text)
    args = ("--input", tmp_path / "in.faa", "--output", tmp_path / "out", "--model", "demo")
    assert exit_code(*args, "--quiet", "--max_dead_letters", "11%") == 3


def test_what_was_read_by_then_is_finished_and_told_to_be(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.faa").write_text(">a\nMK\n>b\nM1\n>c\nM2\n>d\nMKV\n")
    args = ("--input", tmp_path / "a.faa", "--output", tmp_path / "out", "--model", "demo")
    assert exit_code(*args, "--quiet", "--max_dead_letters", "1") == 1
    said = capsys.readouterr().err
    assert "more than --max_dead_letters 1 allows" in said
    assert "so all is finished; 2 vectors are safe" in said
    assert "before the end" not in said
    assert list(read_commits(str(tmp_path / "out")).files) == ["a.faa"]

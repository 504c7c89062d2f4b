from __future__ import annotations

from dataclasses import replace

import pytest

from pipeline.run_report import FileOutcome, Report, check_accounting, log_line
from tests.helpers import make_dead_letter

GOOD = FileOutcome("a.faa", "/a.faa", "finished", 5, 99, 3, 2, 3, "pt/a_ESM.pt")


def make_report(*files: FileOutcome, missing: tuple[str, ...] = ()) -> Report:
    return Report(files, (), missing, 1.0, None, {})


def test_files_that_add_up_are_not_told() -> None:
    failed = FileOutcome("b.faa", "/b.faa", "failed", None, None, 0, 0, 0, None)
    assert check_accounting(make_report(GOOD, failed)) == []


def test_a_file_that_does_not_add_up_is_named_with_the_difference() -> None:
    for wrong in (replace(GOOD, embedded=2), replace(GOOD, dead_lettered=3)):
        (told,) = check_accounting(make_report(GOOD, wrong))
        assert told == (
            f"a.faa: read 5, embedded {wrong.embedded}, dead-lettered {wrong.dead_lettered}"
        )


def test_a_file_without_an_outcome_is_named() -> None:
    assert check_accounting(make_report(GOOD, missing=("c.faa",))) == ["c.faa: not finished"]


def test_a_log_line_has_the_format_of_the_script_whatever_an_id_holds() -> None:
    letter = make_dead_letter(id="x\n2026 | forged", message="one\r\ntwo", error_type="oom")
    assert log_line(letter) == r"2026-01-31T12:00:00Z | a.fa | x 2026 \| forged | oom | one two"


@pytest.mark.parametrize(
    ("field", "shown"),
    [
        ("sp|P12345|X", "sp|P12345|X"),
        ("a | b", r"a \| b"),
        ("a\u3000|\u2028b", r"a \| b"),
        ("a |b| c", r"a \|b\| c"),
        ("|a||", r"\|a|\|"),
        ("|", r"\|"),
        ("| |", r"\| \|"),
        ("", ""),
        ("a\x1b[2J\u202e\x00", r"a\x1b[2J\u202e\x00"),
    ],
)
@pytest.mark.parametrize("name", ["source", "id", "message"])
def test_a_log_line_has_five_fields_whatever_one_of_them_holds(
    name: str, field: str, shown: str
) -> None:
    others = {"source": "a.fa", "id": "p1", "message": "no"}
    line = log_line(make_dead_letter(**others | {"error_type": "oom", name: field}))
    want = others | {name: shown}
    assert line.split(" | ") == [
        "2026-01-31T12:00:00Z", want["source"], want["id"], "oom", want["message"]
    ]  # fmt: skip
    assert line.isprintable()


def test_sentences_about_files_show_names_that_a_terminal_would_obey() -> None:
    wrong = replace(GOOD, source="a\x1b[2J\n.faa", embedded=2)
    told = check_accounting(make_report(wrong, missing=("b\r.faa",)))
    assert [sentence.split(":")[0] for sentence in told] == [r"a\x1b[2J\n.faa", r"b\r.faa"]


def test_totals_are_sums_over_the_files() -> None:
    report = make_report(GOOD, replace(GOOD, read=None, embedded=7))
    assert report.total("read") == 5
    assert report.total("embedded") == 10

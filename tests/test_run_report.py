from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from pipeline import run_report
from pipeline.file_states import FAILED, FINISHED, FileState
from pipeline.run_report import Report, check_accounting, log_line
from tests.helpers import commit, make_block, make_dead_letter, make_output, make_protein
from transforms.inputs.finding import FastaFile, Listing

GOOD = FileState("a.faa", FINISHED, rows=3, dead_letters=2, records=5, residues=99)


def make_report(*files: FileState, missing: tuple[str, ...] = ()) -> Report:
    return Report(files=files, missing=missing)


def test_files_that_add_up_are_not_told() -> None:
    failed = FileState("b.faa", FAILED)
    assert check_accounting(make_report(GOOD, failed)) == []


def test_a_file_that_does_not_add_up_is_named_with_the_difference() -> None:
    for wrong in (replace(GOOD, rows=2), replace(GOOD, dead_letters=3)):
        (told,) = check_accounting(make_report(GOOD, wrong))
        assert told == (f"a.faa: read 5, embedded {wrong.rows}, dead-lettered {wrong.dead_letters}")


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
    wrong = replace(GOOD, source="a\x1b[2J\n.faa", rows=2)
    told = check_accounting(make_report(wrong, missing=("b\r.faa",)))
    assert [sentence.split(":")[0] for sentence in told] == [r"a\x1b[2J\n.faa", r"b\r.faa"]


@pytest.mark.parametrize("is_last", [True, False])
def test_only_at_the_end_are_ids_counted_and_files_without_an_outcome_missing(
    is_last: bool, tmp_path: Path
) -> None:
    output = make_output(tmp_path)
    commit(output, make_block(*(make_protein(n, id="same") for n in range(3))))
    listing = Listing("/in", (FastaFile("/in/a.fa", "a.fa", 9, 0.0),), 0)
    report = run_report.make_report(output, listing, 1.0, {}, {}, is_last=is_last)
    assert [(file.source, file.rows_of(output.run)) for file in report.files] == [("a.fa", 3)]
    assert (report.missing, report.sharing_an_id) == ((("a.fa",), 3) if is_last else ((), None))

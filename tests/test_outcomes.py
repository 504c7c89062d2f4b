"""Tests of what is known of files while an output is written."""

from __future__ import annotations

import pytest

from tests.helpers import (
    commit,
    make_block,
    make_dead_letter,
    make_file_record,
    make_protein,
)
from transforms.inputs.arriving import Version
from transforms.output import outcomes
from transforms.output.commits import FileRecord, Output, delete_part_record, write_file_records
from transforms.output.outcomes import Outcomes


def finish(output: Output, source: str, size: int = 9) -> None:
    write_file_records(output.root, source, [make_file_record(source, size=size, time="2026")])


def test_what_was_there_and_what_has_come_since_is_known(output: Output) -> None:
    finish(output, "a.fa")
    found = Outcomes(output.root)
    finish(output, "b.fa")
    commit(output, make_dead_letter(None, "c.fa"), sequence=0)
    commit(output, make_block(make_protein(source="d.fa")), sequence=1)
    assert not found.is_known("b.fa")
    found.refresh()
    assert [found.finished(f"{name}.fa") for name in "abcd"] == [
        Version(9, 1.5), Version(9, 1.5), None, None,
    ]  # fmt: skip
    assert [found.has_failed(f"{name}.fa") for name in "abcd"] == [False, False, True, False]
    assert all(found.is_known(f"{name}.fa") for name in "abcd")


def test_only_what_holds_anything_holds_its_name(output: Output) -> None:
    commit(output, make_dead_letter(None, "bad.fa"), sequence=0)
    commit(output, make_block(make_protein(source="half.fa")), sequence=1)
    finish(output, "done.fa")
    found = Outcomes(output.root)
    held = [found.holder(f"{name}.fa.gz") for name in ("bad", "half", "done")]
    assert held == ["bad.fa.gz", "half.fa", "done.fa"]
    found.forget(["half.fa", "done.fa"])
    assert found.holder("half.fa.gz") == "half.fa.gz"
    assert found.finished("done.fa") is None


def test_a_later_success_outweighs_a_failure(output: Output) -> None:
    found = Outcomes(output.root)
    commit(output, make_dead_letter(None, "a.fa"), sequence=0)
    found.refresh()
    finish(output, "a.fa")
    found.refresh()
    assert not found.has_failed("a.fa")
    commit(output, make_dead_letter(None, "a.fa"), sequence=1)  # the rest of a replaced part
    found.refresh()
    assert not found.has_failed("a.fa")


def test_each_record_is_read_once(output: Output, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []

    def note(root: str, name: str) -> list[FileRecord]:
        read.append(name)
        return []

    found = Outcomes(output.root)
    monkeypatch.setattr(outcomes, "read_file_records", note)
    finish(output, "a.fa")
    found.refresh()
    found.refresh()
    assert read == ["files-a.fa.json"]


def test_a_part_that_is_taken_back_meanwhile_is_passed_over(
    output: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = Outcomes(output.root)
    commit(output, make_dead_letter(None, "a.fa"))
    read = outcomes.read_part_record

    def take_back(root: str, name: str) -> object:
        delete_part_record(root, name)
        return read(root, name)

    monkeypatch.setattr(outcomes, "read_part_record", take_back)
    found.refresh()
    assert not found.has_failed("a.fa")

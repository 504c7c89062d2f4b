"""Tests of resume: what is committed is not computed again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.helpers import (
    commit,
    make_block,
    make_dead_letter,
    make_end,
    make_output,
    make_protein,
    sha256,
)
from transforms import events, skipping
from transforms.items import Batch, Item, Settled
from transforms.output.commits import Output, PartRecord, read_commits
from transforms.output.committed import Keys
from transforms.output.locks import hold_parts
from transforms.output.merging import merge_parts
from transforms.output.removal import EVERYTHING, remove_records
from transforms.skipping import CommittedRecords, _SkipCommittedDoFn

OLD = "run1"
ROW, OTHER_ROW = make_protein(0), make_protein(1, "b.fa")
LATER_ROW = make_protein(2)
DEAD = make_dead_letter(1, sequence="MK1")
WHOLE = make_dead_letter(None, "broken.fa")
FIRST, SECOND = f"part-{OLD}-0-0", f"part-{OLD}-0-1"


@pytest.fixture
def old(tmp_path: Path) -> Output:
    """An output with two parts of an earlier run."""
    output = make_output(tmp_path, run=OLD)
    commit(output, make_block(ROW, OTHER_ROW), WHOLE, sequence=0)
    commit(output, DEAD, make_block(LATER_ROW), sequence=1)
    return output


@pytest.fixture
def records(old: Output) -> CommittedRecords:
    return CommittedRecords(old.root, read_commits(old.root), "run2")


def settled(
    source: str, part: str, rows: int, dead_letters: int, sha: str | None = None
) -> Settled:
    return Settled(source, sha256(source) if sha is None else sha, part, rows, dead_letters)


def test_a_committed_row_is_found_in_its_part(records: CommittedRecords) -> None:
    assert records.find(ROW) == settled("a.fa", FIRST, 1, 0)
    assert records.find(LATER_ROW) == settled("a.fa", SECOND, 1, 0)
    assert records.find(OTHER_ROW) == settled("b.fa", FIRST, 1, 0)


def test_in_a_long_run_what_is_left_of_a_replaced_part_is_found(
    records: CommittedRecords, old: Output
) -> None:
    remove_records(old.root, "run2", {"b.fa": EVERYTHING}, is_at_rest=False)
    (rest,) = (name for name in read_commits(old.root).parts if "rest" in name)
    assert records.find(OTHER_ROW) is None
    assert records.find(ROW) == settled("a.fa", rest, 1, 0)
    assert records.find(LATER_ROW) == settled("a.fa", SECOND, 1, 0)


def test_a_committed_dead_letter_is_found(records: CommittedRecords) -> None:
    assert records.find(DEAD) == settled("a.fa", SECOND, 0, 1)


def test_a_record_that_failed_in_the_model_is_found_by_its_protein(
    records: CommittedRecords,
) -> None:
    # It comes as a protein again, with the sequence that the model could not take.
    assert records.find(make_protein(1, sequence="MK1")) == settled("a.fa", SECOND, 0, 1)


def test_the_dead_letter_of_a_file_settles_no_record(records: CommittedRecords) -> None:
    assert records.find(WHOLE) == settled("broken.fa", FIRST, 0, 0, sha="")


def test_parts_that_were_merged_since_are_looked_for_again(
    old: Output, records: CommittedRecords
) -> None:
    parts = list(read_commits(old.root).parts.values())
    with hold_parts(old.root, "m1"):
        merge_parts(old.root, "m1", "part-merged-m1-0", "merged-m1", parts)
    assert records.find(OTHER_ROW) == settled("b.fa", "part-merged-m1-0", 1, 0)
    assert records.find(WHOLE) == settled("broken.fa", "part-merged-m1-0", 0, 0, sha="")


@pytest.mark.parametrize(
    "record",
    [
        make_protein(3),
        make_protein(0, "new.fa"),
        make_protein(1, "a.fa"),
        replace(ROW, sequence_sha256=sha256("MKTAYV")),
        replace(DEAD, sequence_sha256=sha256("MK2")),
        replace(ROW, file_sha256=sha256("another version")),
        replace(DEAD, file_sha256=sha256("another version")),
        make_dead_letter(None, "a.fa", file_sha256=sha256("a.fa")),
    ],
    ids=[
        "new ordinal", "new file", "ordinal of a dead letter", "changed sequence",
        "changed dead letter", "other version", "dead letter of another version", "whole file",
    ],
)  # fmt: skip
def test_anything_else_is_new(records: CommittedRecords, record: Item) -> None:
    assert records.find(record) is None


def test_another_version_is_new_also_while_the_first_is_open(records: CommittedRecords) -> None:
    assert records.find(ROW)  # in a range of the file, whose end is seen elsewhere
    assert records.find(replace(ROW, file_sha256=sha256("later"))) is None
    assert records.find(ROW)


def test_the_parts_of_the_own_run_do_not_count(old: Output) -> None:
    own = CommittedRecords(old.root, read_commits(old.root), OLD)
    assert own.find(ROW) is None
    assert own.find(DEAD) is None


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """The part and file of each read of keys."""
    calls: list[tuple[str, str]] = []
    read_keys = skipping.read_keys

    def reading(root: str, part: PartRecord, source: str) -> Keys:
        calls.append((part.part, source))
        return read_keys(root, part, source)

    monkeypatch.setattr(skipping, "read_keys", reading)
    return calls


def test_the_keys_of_a_file_are_read_once_and_let_go_at_its_end(
    records: CommittedRecords, read: list[tuple[str, str]]
) -> None:
    for record in (ROW, DEAD, LATER_ROW, OTHER_ROW):
        records.find(record)
    of_a = [(FIRST, "a.fa"), (SECOND, "a.fa")]
    assert read == [*of_a, (FIRST, "b.fa")]
    records.close("a.fa")
    records.find(OTHER_ROW)
    assert read == [*of_a, (FIRST, "b.fa")]
    assert records.find(ROW) == settled("a.fa", FIRST, 1, 0)
    assert read == [*of_a, (FIRST, "b.fa"), *of_a]
    records.close("never opened")


def test_the_keys_of_a_few_files_are_held_whose_ends_never_come(
    records: CommittedRecords, read: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(skipping, "MOST_OPEN", 1)
    for record in (ROW, OTHER_ROW, OTHER_ROW, ROW):
        assert records.find(record) is not None
    assert [source for _, source in read] == ["a.fa", "a.fa", "b.fa", "a.fa", "a.fa"]


def test_the_step_lets_go_of_a_file_at_its_end(old: Output, read: list[tuple[str, str]]) -> None:
    dofn = _SkipCommittedDoFn(replace(old, run="run2"))
    dofn.setup()
    for item in (OTHER_ROW, OTHER_ROW, make_end(1, "b.fa"), OTHER_ROW):
        list(dofn.process(item))
    assert read == [(FIRST, "b.fa")] * 2


def test_the_step_lets_go_of_a_file_that_fails(old: Output, read: list[tuple[str, str]]) -> None:
    dofn = _SkipCommittedDoFn(replace(old, run="run2"))
    dofn.setup()
    for item in (OTHER_ROW, make_dead_letter(None, "b.fa"), OTHER_ROW):
        list(dofn.process(item))
    assert read == [(FIRST, "b.fa")] * 2


def test_the_step_replaces_what_is_committed(old: Output) -> None:
    dofn = _SkipCommittedDoFn(replace(old, run="run2"))
    dofn.setup()
    new, end, block = make_protein(9), make_end(3), make_block(ROW)
    heard: list[events.Event] = []
    with events.listening(heard.append):
        passed = [out for item in (ROW, DEAD, new, end, block) for out in dofn.process(item)]
    assert passed[:2] == [settled("a.fa", FIRST, 1, 0), settled("a.fa", SECOND, 0, 1)]
    assert passed[2] is new
    assert passed[3] is end
    assert passed[4] is block
    # A dead letter is announced by the step that makes it, in this run too.
    assert heard == [events.RecordsSkipped(1, 6)]


def test_each_run_reads_what_is_committed_anew(old: Output) -> None:
    row = make_protein(0, "c.fa")
    second, third = replace(old, run="run2"), replace(old, run="run3")
    dofn = _SkipCommittedDoFn(second)
    dofn.setup()
    assert list(dofn.process(row)) == [row]
    commit(second, make_block(row))
    dofn = _SkipCommittedDoFn(third)
    dofn.setup()
    assert list(dofn.process(row)) == [settled("c.fa", "part-run2-0-0", 1, 0)]


def test_records_of_one_part_are_settled_together(old: Output) -> None:
    commit(old, make_block(make_protein(3), make_protein(4)), make_dead_letter(5), sequence=2)
    dofn = _SkipCommittedDoFn(replace(old, run="run2"))
    dofn.setup()
    new, end = make_protein(9), make_end(6)
    held = (ROW, make_protein(3), make_protein(4), new, make_dead_letter(5), end)
    (passed,) = dofn.process(Batch(held))
    assert isinstance(passed, Batch)
    third = f"part-{OLD}-0-2"
    assert passed.items == (
        settled("a.fa", FIRST, 1, 0), settled("a.fa", third, 2, 1), new, end,
    )  # fmt: skip

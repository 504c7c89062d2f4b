"""Tests of taking records back out of an output, also under a kill."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.dying import dying
from tests.helpers import (
    assert_same_bits,
    commit,
    files_below,
    make_block,
    make_dead_letter,
    make_file_record,
    make_output,
    make_protein,
    vector_of,
)
from transforms import storage
from transforms.output import commits
from transforms.output.commits import Output, read_commits, write_file_records
from transforms.output.committed import read_all_dead_letters, read_dead_letters, read_rows
from transforms.output.removal import (
    ALL_FAILURES,
    ALL_RECORDS,
    EVERYTHING,
    FILE_FAILURE,
    Removal,
    remove_records,
    reopen_files,
)
from transforms.output.sweeping import sweep

ROWS = [make_protein(0), make_protein(2), make_protein(1, "b.fa"), make_protein(5, "c.fa")]
LETTERS = [make_dead_letter(None), make_dead_letter(1), make_dead_letter(0, "b.fa")]

Content = tuple[list[tuple[str, int]], list[tuple[str, int | None]]]


@pytest.fixture
def output(tmp_path: Path) -> Output:
    return fill(make_output(tmp_path))


def fill(output: Output) -> Output:
    """Commits two parts: the second holds nothing but dead letters of a.fa."""
    commit(output, make_block(*ROWS), *LETTERS)
    commit(output, make_dead_letter(3), sequence=1)
    return output


def content(root: str) -> Content:
    """The keys that count, by the commit records."""
    rows, letters = [], []
    for part in read_commits(root).parts.values():
        for source in part.sources:
            held = read_rows(root, part, source)
            rows += [(source, ordinal) for ordinal in held.ordinals] if held else []
            letters += [(source, d.ordinal) for d in read_dead_letters(root, part, source)]
    return sorted(rows), sorted(letters, key=str)


def content_of_all_files(root: str) -> list[tuple[str, int]]:
    """The keys that a reader sees who takes every file in the folder."""
    return sorted(
        (row["source"], row["ordinal"])
        for path in Path(root, "embeddings").glob("*.parquet")
        for row in pq.read_table(path).to_pylist()
    )


OTHER_ROWS = [("b.fa", 1), ("c.fa", 5)]
ALL_ROWS = [("a.fa", 0), ("a.fa", 2), *OTHER_ROWS]
OTHER_LETTERS = [("b.fa", 0)]
RECORD_LETTERS = [("a.fa", 1), ("a.fa", 3)]
FILE_LETTER = [("a.fa", None)]

CASES = [
    (EVERYTHING, OTHER_ROWS, OTHER_LETTERS),
    (ALL_FAILURES, ALL_ROWS, OTHER_LETTERS),
    (ALL_RECORDS, OTHER_ROWS, [*FILE_LETTER, *OTHER_LETTERS]),
    (FILE_FAILURE, ALL_ROWS, [*RECORD_LETTERS, *OTHER_LETTERS]),
    (Removal(), ALL_ROWS, [*FILE_LETTER, *RECORD_LETTERS, *OTHER_LETTERS]),
]


@pytest.mark.parametrize(("what", "rows", "letters"), CASES)
def test_what_is_left(output: Output, what: Removal, rows: list, letters: list) -> None:
    remove_records(output.root, "run2", {"a.fa": what})
    assert content(output.root) == (rows, sorted(letters, key=str))
    assert content_of_all_files(output.root) == rows


def test_vectors_and_columns_of_what_is_left_are_untouched(output: Output) -> None:
    (before,) = Path(output.root, "embeddings").iterdir()
    table = pq.read_table(before)
    remove_records(output.root, "run2", {"a.fa": EVERYTHING})
    (after,) = Path(output.root, "embeddings").iterdir()
    left = pq.read_table(after)
    assert left.schema.equals(table.schema, check_metadata=True)
    assert left.equals(table.slice(2))
    (part,) = read_commits(output.root).parts.values()
    rows = read_rows(output.root, part, "b.fa")
    assert_same_bits(rows.vectors, [vector_of(ROWS[2])])


def test_the_new_record_says_what_it_holds_and_replaces(output: Output) -> None:
    (old, other) = read_commits(output.root).parts.values()
    remove_records(output.root, "run2", {"a.fa": EVERYTHING})
    (part,) = read_commits(output.root).parts.values()
    assert part.sources == {
        source: replace(held) for source, held in old.sources.items() if source != "a.fa"
    }
    assert part.replaces == (old.part,)
    # The rows are those of the run that embedded them.
    assert (part.run, part.time) == (old.run, old.time)
    assert part.part.startswith("part-run2-")
    # A part of which nothing is left is gone.
    assert not commits.has_part_record(output.root, other.part)


def test_a_part_that_holds_nothing_of_the_file_is_left_alone(output: Output) -> None:
    before = files_below(output.root)
    remove_records(output.root, "run2", {"other.fa": EVERYTHING, "c.fa": ALL_FAILURES})
    assert files_below(output.root) == before


def test_rows_that_stay_whole_keep_their_file(output: Output) -> None:
    before = files_below(Path(output.root, "embeddings"))
    remove_records(output.root, "run2", {"a.fa": ALL_FAILURES})
    assert files_below(Path(output.root, "embeddings")) == before


def test_finished_files_name_the_parts_in_which_their_records_lie_now(output: Output) -> None:
    (old, _) = read_commits(output.root).parts
    write_file_records(output.root, "run1-x", [make_file_record("b.fa", parts=(old,))])
    remove_records(output.root, "run2", {"a.fa": ALL_FAILURES})
    remove_records(output.root, "run3", {"a.fa": EVERYTHING})
    (now,) = read_commits(output.root).parts
    assert read_commits(output.root).files["b.fa"].parts == (now,)


def test_reopened_files_lose_pt_failures_and_record(output: Output) -> None:
    write_file_records(output.root, "run1-x", [make_file_record(f"{n}.fa") for n in "abc"])
    write_file_records(output.root, "run1-y", [make_file_record("d.fa")])
    for n in "abd":
        for end in ("_ESM.pt", "_ESM.failures.jsonl"):
            storage.publish(output.root, f"pt/{n}{end}", lambda handle: handle.write(b"x"))
    reopen_files(output.root, {"a.fa", "d.fa"})
    assert files_below(Path(output.root, "pt")) == ["b_ESM.failures.jsonl", "b_ESM.pt"]
    assert sorted(read_commits(output.root).files) == ["b.fa", "c.fa"]


def test_of_two_records_of_a_file_the_later_counts(output: Output) -> None:
    for name, rows in (("a", 2), ("b", 1)):
        record = make_file_record("a.fa", rows, time=f"2026-01-0{rows}T00:00:00Z")
        write_file_records(output.root, name, [record])
    assert read_commits(output.root).files["a.fa"].rows == 2


@pytest.mark.parametrize(("what", "rows", "letters"), CASES[:-1])
def test_killed_at_any_change_nothing_else_is_lost_or_doubled(
    what: Removal, rows: list, letters: list, tmp_path: Path
) -> None:
    for kills in itertools.count():
        output = fill(make_output(tmp_path, root=str(tmp_path / f"out{kills}")))
        with dying(kills) as changes:
            remove_records(output.root, "run2", {"a.fa": what})
        # What does not go is there exactly once at any moment.
        now_rows, now_letters = content(output.root)
        assert set(rows) <= set(now_rows)
        assert set(letters) <= set(now_letters)
        assert len(now_rows) == len(set(now_rows))
        assert len(now_letters) == len(set(now_letters))
        # The next run does the rest.
        sweep(output.root)
        remove_records(output.root, "run3", {"a.fa": what})
        assert content(output.root) == (rows, sorted(letters, key=str))
        assert content_of_all_files(output.root) == rows
        if not changes.is_dead:
            break
    assert kills >= 3


def test_a_part_replaced_twice_does_not_come_back(output: Output) -> None:
    (first, _) = read_commits(output.root).parts
    record = read_commits(output.root).parts[first]
    remove_records(output.root, "run2", {"a.fa": EVERYTHING})
    # As if the kernel had lost the deletion: the record of the first part is there again.
    commits.write_part_record(output.root, record)
    remove_records(output.root, "run3", {"b.fa": EVERYTHING})
    assert content(output.root) == ([("c.fa", 5)], [])


def test_what_a_kill_has_left_of_replaced_parts_goes_with_the_last_records(
    tmp_path: Path,
) -> None:
    """As in a watch, which sweeps nothing between its rounds."""
    for kills in itertools.count(1):
        output = fill(make_output(tmp_path, root=str(tmp_path / f"out{kills}")))
        with dying(kills) as changes:
            remove_records(output.root, "run2", {"a.fa": ALL_RECORDS})
        rest = {"a.fa": EVERYTHING, "b.fa": EVERYTHING, "c.fa": EVERYTHING}
        remove_records(output.root, "run3", rest, is_at_rest=False)
        assert content(output.root) == ([], [])
        assert commits.read_all_parts(output.root) == {}
        if not changes.is_dead:
            break
    assert kills >= 3


def test_a_dead_letter_goes_also_from_among_several_of_one_failed_file(tmp_path: Path) -> None:
    """Two ranges of a file may both find that it has changed."""
    output = make_output(tmp_path)
    commit(output, *(make_dead_letter(None, source) for source in ("a.fa", "a.fa", "b.fa")))
    remove_records(output.root, "run2", {"b.fa": FILE_FAILURE})
    (part,) = read_commits(output.root).parts.values()
    assert part.dead_letters is not None
    left = read_all_dead_letters(output.root, part.dead_letters)
    assert [letter.source for letter in left] == ["a.fa", "a.fa"]

"""Tests of merging parts: what the new one holds, and what a kill at any moment leaves."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from tests.dying import dying
from tests.helpers import (
    commit,
    files_below,
    make_block,
    make_dead_letter,
    make_file_record,
    make_output,
    make_protein,
)
from transforms.errors import ConfigurationError, LostError
from transforms.items import DeadLetter
from transforms.output import merging, removal
from transforms.output.commits import (
    Output,
    PartRecord,
    PartSource,
    read_commits,
    write_file_records,
    write_part_record,
)
from transforms.output.committed import (
    read_all_dead_letters,
    read_all_rows,
    read_dead_letters,
    read_rows,
)
from transforms.output.holders import PARTS
from transforms.output.locks import hold, hold_parts
from transforms.output.merging import merge_parts
from transforms.output.sweeping import MERGED, sweep, sweep_merges

NAME = f"{MERGED}m1-0"


def fill(output: Output) -> None:
    """Parts whose files and ordinals lie between each other's."""
    commit(output, make_block(make_protein(4), make_protein(0), make_protein(1, "z.fa")))
    commit(
        output,
        make_block(make_protein(1), make_protein(3), make_protein(0, "b.fa")),
        make_dead_letter(2),
        make_dead_letter(None, "x.fa"),
        sequence=1,
    )
    commit(output, make_dead_letter(5), make_dead_letter(1, "b.fa"), sequence=2)
    commit(output, make_block(make_protein(0, "z.fa")), sequence=3)


@pytest.fixture
def output(tmp_path: Path) -> Output:
    output = make_output(tmp_path)
    fill(output)
    return output


def parts_of(output: Output) -> list[PartRecord]:
    return sorted(read_commits(output.root).parts.values(), key=lambda part: part.time)


def merge(output: Output, parts: list[PartRecord] | None = None) -> list[PartRecord]:
    with hold_parts(output.root, "m1"):
        return merge_parts(
            output.root, "m1", NAME, "merged-m1", parts_of(output) if parts is None else parts
        )


def sorted_rows(table: pa.Table) -> pa.Table:
    order = pc.sort_indices(table, [("source", "ascending"), ("ordinal", "ascending")])
    return table.take(order).combine_chunks()


def rows_by_commits(root: str) -> pa.Table:
    parts = read_commits(root).parts.values()
    return sorted_rows(
        pa.concat_tables([read_all_rows(root, p.embeddings) for p in parts if p.embeddings])
    )


def rows_by_glob(root: str) -> pa.Table:
    return sorted_rows(ds.dataset(f"{root}/embeddings", format="parquet").to_table())


def letters_by_commits(root: str) -> list[DeadLetter]:
    parts = read_commits(root).parts.values()
    names = [part.dead_letters for part in parts if part.dead_letters]
    letters = [letter for name in names for letter in read_all_dead_letters(root, name)]
    return sorted(letters, key=lambda d: (d.source, -1 if d.ordinal is None else d.ordinal))


def letters_by_glob(root: str) -> list[str]:
    paths = Path(root, "dead_letters").glob("*.jsonl")
    return sorted(line for path in paths for line in path.read_text().splitlines())


def content(root: str) -> tuple[object, ...]:
    return (rows_by_commits(root), letters_by_commits(root))


def test_the_new_part_holds_all_that_the_old_ones_did(output: Output) -> None:
    rows, letters, lines = (
        rows_by_commits(output.root),
        *[read(output.root) for read in (letters_by_commits, letters_by_glob)],
    )
    old = parts_of(output)
    assert merge(output) == old
    (part,) = parts_of(output)
    assert rows_by_commits(output.root).equals(rows, check_metadata=True)
    assert rows_by_glob(output.root).equals(rows)
    assert letters_by_commits(output.root) == letters
    assert letters_by_glob(output.root) == lines
    assert part.sources == {
        "a.fa": PartSource(old[0].sources["a.fa"].sha256, 4, 2),
        "b.fa": PartSource(old[1].sources["b.fa"].sha256, 1, 1),
        "x.fa": PartSource("", 0, 0, failed=True),
        "z.fa": PartSource(old[0].sources["z.fa"].sha256, 2, 0),
    }
    assert part.time == old[-1].time
    assert part.replaces == tuple(each.part for each in old)
    assert files_below(output.root) == sorted(
        [
            ".locks/parts.json",
            ".locks/parts.lock",
            f"commits/{NAME}.json",
            f"dead_letters/{part.dead_letters}",
            f"embeddings/{part.embeddings}",
        ]
    )


def test_rows_and_letters_lie_sorted_and_are_found_by_file(output: Output) -> None:
    merge(output)
    (part,) = parts_of(output)
    table = pq.read_table(Path(output.root, "embeddings", str(part.embeddings)))
    keys = list(zip(*(table.column(c).to_pylist() for c in ("source", "ordinal")), strict=True))
    assert keys == sorted(keys)
    rows = read_rows(output.root, part, "z.fa")
    assert rows.ids == ["z.fa-0", "z.fa-1"]
    assert [d.ordinal for d in read_dead_letters(output.root, part, "a.fa")] == [2, 5]
    named = str(part.embeddings).rpartition("-")[2].removesuffix(".parquet")
    data = Path(output.root, "embeddings", str(part.embeddings)).read_bytes()
    assert hashlib.sha256(data).hexdigest().startswith(named)


def test_a_large_part_has_row_groups_of_the_size_of_small_parts(
    output: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = rows_by_commits(output.root)
    monkeypatch.setattr(merging, "GROUP_ROWS", 3)
    merge(output)
    (part,) = parts_of(output)
    file = pq.ParquetFile(Path(output.root, "embeddings", str(part.embeddings)))
    groups = [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)]
    assert groups == [3, 3, 1]
    assert rows_by_commits(output.root).equals(rows, check_metadata=True)


def test_a_merged_part_is_merged_again_and_what_it_replaced_stays_replaced(output: Output) -> None:
    old = parts_of(output)
    record = make_file_record("a.fa", 4, 2, parts=(old[0].part,))
    write_file_records(output.root, "x", [record])
    before = content(output.root)
    merge(output, old[:2])
    with hold_parts(output.root, "m1"):
        again = f"{MERGED}m2-0"
        merge_parts(output.root, "m1", again, "merged-m2", parts_of(output))
    (part,) = parts_of(output)
    assert set(part.replaces) == {NAME, *(each.part for each in old)}
    assert content(output.root) == before
    assert read_commits(output.root).files["a.fa"].parts == (again,)
    # As if the kernel had lost a deletion.
    write_part_record(output.root, old[0])
    assert read_commits(output.root).files["a.fa"].parts == (again,)
    assert content(output.root) == before


def test_records_are_taken_out_of_a_merged_part_like_out_of_any(output: Output) -> None:
    merge(output)
    removal.remove_records(output.root, "run2", {"a.fa": removal.EVERYTHING})
    rows = rows_by_commits(output.root)
    assert rows.column("source").to_pylist() == ["b.fa", "z.fa", "z.fa"]
    assert {d.source for d in letters_by_commits(output.root)} == {"b.fa", "x.fa"}


def test_parts_of_another_footer_stay(tmp_path: Path) -> None:
    output = make_output(tmp_path, configuration=(("model", "one"),))
    other = make_output(tmp_path, configuration=(("model", "two"),), run="run2")
    commit(output, make_block(make_protein(0)))
    commit(other, make_block(make_protein(1)), make_dead_letter(9))
    commit(output, make_block(make_protein(2)), sequence=1)
    first, second, third = parts_of(output)
    assert merge(output) == [first, third]
    assert {part.part for part in parts_of(output)} == {NAME, second.part}
    assert merge(output) == []
    assert rows_by_glob(output.root).column("ordinal").to_pylist() == [0, 1, 2]
    assert [d.ordinal for d in letters_by_commits(output.root)] == [9]


def test_a_damaged_part_is_not_given_a_digest_of_its_own(output: Output) -> None:
    part = parts_of(output)[0]
    path = Path(output.root, "embeddings", str(part.embeddings))
    table = pq.read_table(path)
    pq.write_table(table, path)  # whole, but not what was committed
    before = files_below(output.root)
    with pytest.raises(ConfigurationError, match="is damaged"):
        merge(output)
    assert [name for name in files_below(output.root) if ".locks" not in name] == before


def test_a_part_that_holds_other_than_it_says_stays(output: Output) -> None:
    part = parts_of(output)[0]
    held = {"a.fa": PartSource(part.sources["a.fa"].sha256, 4, 0)}
    write_part_record(output.root, replace(part, sources=held))
    with pytest.raises(ConfigurationError, match="counts 4 records where its data holds"):
        merge(output)


def test_who_has_lost_the_parts_commits_nothing(output: Output) -> None:
    before = content(output.root)
    with hold(output.root, "other", PARTS), pytest.raises(LostError):
        merge_parts(output.root, "m1", NAME, "merged-m1", parts_of(output))
    assert content(output.root) == before
    assert len(parts_of(output)) == 4


@pytest.mark.parametrize("next_one", [sweep, sweep_merges])
def test_killed_at_any_change_nothing_is_lost_or_doubled(
    next_one: Callable[[str], None], tmp_path: Path
) -> None:
    whole = make_output(tmp_path, root=str(tmp_path / "whole"))
    fill(whole)
    wanted = content(whole.root)
    lines, rows = letters_by_glob(whole.root), rows_by_glob(whole.root)
    for kills in itertools.count():
        output = make_output(tmp_path, root=str(tmp_path / f"out{kills}"))
        fill(output)
        with dying(kills, look=partial(check_readers, output.root, wanted)) as changes:
            merge(output)
        check_readers(output.root, wanted)
        next_one(output.root)
        merge(output)
        assert len(parts_of(output)) == 1
        assert content(output.root) == wanted
        assert rows_by_glob(output.root).equals(rows)
        assert letters_by_glob(output.root) == lines
        if not changes.is_dead:
            break
    # Two data files and a commit written; five data files and four commits deleted.
    assert kills == 12


def check_readers(root: str, wanted: tuple[object, ...]) -> None:
    """Who goes by the commits sees all once, who takes every file sees all, whole."""
    assert content(root) == wanted
    seen = rows_by_glob(root)
    keys = {
        (row["source"], row["ordinal"]) for row in seen.select(["source", "ordinal"]).to_pylist()
    }
    assert len(keys) == 7
    for row in range(len(seen)):  # of what is seen twice each is the same
        assert np.isfinite(seen.column("embedding")[row].as_py()).all()

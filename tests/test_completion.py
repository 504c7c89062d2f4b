"""Tests of when a file is finished."""

from __future__ import annotations

from typing import Any

import pytest
from apache_beam.coders import FastPrimitivesCoder
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.helpers import make_dead_letter, make_end, make_protein, sha256
from transforms.completion import OpenFiles, _CompleteFilesDoFn, settle
from transforms.errors import AccountingError
from transforms.items import EndOfFile, FinishedFile, Item, Settled


def stored(files: OpenFiles) -> OpenFiles:
    """What the state holds when the next item comes."""
    coder = FastPrimitivesCoder()
    return coder.decode(coder.encode(files))


def settled(rows: int, dead_letters: int = 0, part: str = "p0", source: str = "a.fa") -> Settled:
    return Settled(source, sha256(source), part, rows, dead_letters)


counts = st.tuples(
    st.integers(0, 3), st.integers(0, 3), st.sampled_from(["p2", "p0", "p1"])
).filter(lambda count: count[0] + count[1])
files = st.dictionaries(
    st.tuples(st.sampled_from(["a.fa", "b.fa", "a b.fa"]), st.sampled_from(["v1", "v2"])),
    st.lists(counts, max_size=5),
    max_size=5,
)


@settings(deadline=None)
@given(files, st.data())
def test_each_file_is_finished_once_and_when_it_is_complete(
    held: dict[tuple[str, str], list[tuple[int, int, str]]], data: st.DataObject
) -> None:
    items: list[Settled | EndOfFile] = []
    for (source, version), groups in held.items():
        records = sum(rows + dead for rows, dead, _ in groups)
        items.append(make_end(records, source, file_sha256=version))
        items += [Settled(source, version, part, rows, dead) for rows, dead, part in groups]

    open_files: OpenFiles = {}
    pending = {key: 1 + len(groups) for key, groups in held.items()}
    for item in data.draw(st.permutations(items)):
        finished = settle(open_files, item)
        open_files = stored(open_files)
        key = item.source, item.file_sha256
        pending[key] -= 1
        if pending[key]:
            assert finished is None
            continue
        groups = held[key]
        rows, dead = sum(g[0] for g in groups), sum(g[1] for g in groups)
        assert finished == FinishedFile(
            end=make_end(rows + dead, item.source, file_sha256=item.file_sha256),
            rows=rows,
            dead_letters=dead,
            parts=tuple(sorted({part for _, _, part in groups})),
        )
    assert open_files == {}


def test_a_file_without_records_is_finished_by_its_end() -> None:
    files: OpenFiles = {}
    assert settle(files, make_end(0)) == FinishedFile(make_end(0), 0, 0, ())
    assert files == {}


def test_a_file_that_fails_in_its_second_pass_is_counted_anew_when_it_comes_again() -> None:
    files: OpenFiles = {}
    failed = Settled("a.fa", "", "p1", 0, 0)
    settle(files, settled(1, source="b a.fa"))
    settle(files, settled(2, part="p0"))
    assert settle(files, failed) is None
    assert len(files) == 1  # of the other one: no end will ever come of this
    settle(files, settled(3, part="p2"))
    assert settle(files, make_end(3)) == FinishedFile(make_end(3), 3, 0, ("p2",))
    assert settle(files, failed) is None


@pytest.mark.parametrize(
    "items",
    [
        [make_end(2), settled(1), settled(1, 1)],
        [settled(3), make_end(2)],
        [settled(0, 1), settled(2), make_end(2)],
        [settled(1), make_end(0)],
    ],
)
def test_more_outcomes_than_records(items: list[Settled | EndOfFile]) -> None:
    files: OpenFiles = {}
    for item in items[:-1]:
        assert settle(files, item) is None
        files = stored(files)
    with pytest.raises(AccountingError, match=r"a\.fa has \d records.*verify tells more"):
        settle(files, items[-1])


class Value:
    """A ReadModifyWrite state."""

    def __init__(self) -> None:
        self._encoded: bytes | None = None

    def read(self) -> Any:
        return None if self._encoded is None else FastPrimitivesCoder().decode(self._encoded)

    def write(self, value: Any) -> None:
        self._encoded = FastPrimitivesCoder().encode(value)


def test_the_step_counts_its_kinds_and_passes_others_on() -> None:
    state, dofn = Value(), _CompleteFilesDoFn()

    def process(item: Item) -> list[Item]:
        return list(dofn.process((0, item), files=state))

    first, second = settled(1, 1, "p1"), settled(1, 0, "p0")
    assert process(first) == [first]
    for other in (make_protein(), make_dead_letter()):
        assert process(other) == [other]
    assert process(make_end(3)) == []
    assert process(second) == [second, FinishedFile(make_end(3), 2, 1, ("p0", "p1"))]
    assert state.read() == {}

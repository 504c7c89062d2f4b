"""Tests of collecting, encoding and publishing parts."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import apache_beam as beam
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.dying import dying
from tests.helpers import (
    assert_same_bits,
    files_below,
    make_block,
    make_dead_letter,
    make_end,
    make_output,
    make_protein,
    sha256,
    vector_of,
)
from transforms import events
from transforms.filling import WriteParts, is_full
from transforms.items import DeadLetter, EmbeddingBlock, Item, Settled
from transforms.output.commits import Output, PartSource, read_commits
from transforms.output.committed import read_rows
from transforms.output.parts import (
    collect,
    part_name,
    withdraw_later,
    write_part,
)
from transforms.output.sweeping import sweep

PART = "part-run1-0-0"
addresses = st.tuples(st.sampled_from(["a.fa", "b.fa", "a/b.fa"]), st.integers(0, 12))


@settings(deadline=None)
@given(st.lists(addresses, unique=True, max_size=20), st.data())
def test_a_part_is_sorted_and_its_vectors_follow(keys: list, data: st.DataObject) -> None:
    items: list[Item] = []
    rest = list(keys)
    while rest:
        taken = [rest.pop() for _ in range(data.draw(st.integers(1, len(rest))))]
        if data.draw(st.booleans()):
            items.append(make_block(*(make_protein(ordinal, source) for source, ordinal in taken)))
        else:
            items += [make_dead_letter(ordinal, source) for source, ordinal in taken]
    content = collect(items)

    def keys_of(kind: type[Item]) -> list[tuple[str, int]]:
        records = [
            record
            for item in items
            if isinstance(item, kind)
            for record in (item.proteins if isinstance(item, EmbeddingBlock) else [item])
        ]
        return sorted((record.source, record.ordinal) for record in records)

    assert [(p.source, p.ordinal) for p in content.proteins] == keys_of(EmbeddingBlock)
    assert [(d.source, d.ordinal) for d in content.dead_letters] == keys_of(DeadLetter)
    if content.proteins:
        assert_same_bits(content.vectors, [vector_of(p) for p in content.proteins])


def test_the_dead_letter_of_a_file_stands_before_those_of_its_records() -> None:
    content = collect([make_dead_letter(0), make_dead_letter(None), make_dead_letter(1, "A.fa")])
    assert [(d.source, d.ordinal) for d in content.dead_letters] == [
        ("A.fa", 1),
        ("a.fa", None),
        ("a.fa", 0),
    ]


ITEMS = [
    make_dead_letter(2),
    make_block(make_protein(1, "b.fa"), make_protein(1)),
    make_dead_letter(None, "broken.fa"),
    make_block(make_protein(0)),
    make_dead_letter(0, "c.fa"),
]


def test_what_a_part_settles(output: Output) -> None:
    heard: list[events.Event] = []
    with events.listening(heard.append):
        result = write_part(PART, ITEMS, output)
    assert result == [
        Settled("a.fa", sha256("a.fa"), PART, 2, 1),
        Settled("b.fa", sha256("b.fa"), PART, 1, 0),
        Settled("c.fa", sha256("c.fa"), PART, 0, 1),
        Settled("broken.fa", "", PART, 0, 0),  # the dead letter of a whole file settles no record
    ]
    assert heard == [events.PartCommitted(PART, 3, 3)]


def test_what_is_committed(tmp_path: Path) -> None:
    output = make_output(tmp_path)
    write_part(PART, ITEMS, output)
    record = read_commits(output.root).parts[PART]
    assert record.run == "run1"
    assert record.sources == {
        "a.fa": PartSource(sha256("a.fa"), 2, 1),
        "b.fa": PartSource(sha256("b.fa"), 1, 0),
        "broken.fa": PartSource("", 0, 0, failed=True),
        "c.fa": PartSource(sha256("c.fa"), 0, 1),
    }
    assert read_commits(output.root).failed_sources() == {"broken.fa"}
    lines = (Path(output.root) / "dead_letters" / record.dead_letters).read_text().splitlines()
    assert [(line["source"], line["ordinal"]) for line in map(json.loads, lines)] == [
        ("a.fa", 2),
        ("broken.fa", None),
        ("c.fa", 0),
    ]


def test_data_files_are_named_by_their_digest(output: Output) -> None:
    write_part(PART, ITEMS, output)
    record = read_commits(output.root).parts[PART]
    for folder, name, suffix in (
        ("embeddings", record.embeddings, ".parquet"),
        ("dead_letters", record.dead_letters, ".jsonl"),
    ):
        digest = sha256((Path(output.root) / folder / name).read_bytes())
        assert name.startswith(f"{PART}-")
        assert name.endswith(suffix)
        middle = name.removeprefix(f"{PART}-").removesuffix(suffix)
        assert len(middle) >= 16
        assert digest.startswith(middle)


@pytest.mark.parametrize(
    ("items", "folders"),
    [
        ([make_block(make_protein())], {"embeddings", "commits"}),
        ([make_dead_letter()], {"dead_letters", "commits"}),
    ],
)
def test_no_file_without_a_record_in_it(
    output: Output, items: list[Item], folders: set[str]
) -> None:
    write_part(PART, items, output)
    assert {name.split("/")[0] for name in files_below(output.root)} == folders
    record = read_commits(output.root).parts[PART]
    assert (record.embeddings is not None) == ("embeddings" in folders)
    assert (record.dead_letters is not None) == ("dead_letters" in folders)


@pytest.mark.parametrize(
    ("call", "made"), [(0, False), (0, True), (1, False), (1, True), (2, False)]
)
def test_a_part_counts_only_once_its_record_is_written(
    output: Output, call: int, made: bool
) -> None:
    with dying(call, made=made) as changes:
        write_part(PART, ITEMS, output)
    assert changes.is_dead
    assert read_commits(output.root).parts == {}
    sweep(output.root)
    assert files_below(output.root) == []


def test_the_record_is_written_last(tmp_path: Path) -> None:
    with dying(99) as changes:
        write_part(PART, ITEMS, make_output(tmp_path))
    names = [name for _, name, _ in changes.calls]
    assert len(names) == 3
    assert names[-1] == f"commits/{PART}.json"


def test_a_part_written_again_replaces_its_own_record(output: Output) -> None:
    write_part(PART, ITEMS, output)
    write_part("part-run1-0-1", [make_block(make_protein(9, "z.fa"))], output)
    write_part(PART, [make_block(make_protein(5)), make_dead_letter(6)], output)
    parts = read_commits(output.root).parts
    assert sorted(parts) == [PART, "part-run1-0-1"]
    assert parts[PART].sources == {"a.fa": PartSource(sha256("a.fa"), 1, 1)}
    assert read_rows(output.root, parts[PART], "a.fa").ordinals == [5]
    # What the first try wrote is an orphan.
    sweep(output.root)
    assert len(files_below(Path(output.root) / "embeddings")) == 2
    assert len(files_below(Path(output.root) / "dead_letters")) == 1


def test_the_same_part_written_again_adds_nothing(tmp_path: Path) -> None:
    output = make_output(tmp_path)
    write_part(PART, ITEMS, output)
    names = files_below(output.root)
    write_part(PART, list(reversed(ITEMS)), output)
    assert files_below(output.root) == names


def all_keys(output: Output) -> list[tuple[str, int]]:
    """The rows that count, by the commit records."""
    return sorted(
        (source, ordinal)
        for part in read_commits(output.root).parts.values()
        for source in part.sources
        if (rows := read_rows(output.root, part, source))
        for ordinal in rows.ordinals
    )


def test_a_bundle_that_is_cut_into_fewer_parts_the_second_time_doubles_nothing(
    output: Output,
) -> None:
    for sequence in range(4):
        write_part(part_name("run1", 0, sequence), [make_block(make_protein(sequence))], output)
    write_part(part_name("run1", 1, 2), [make_block(make_protein(8))], output)
    # Its state goes back to before the second part.
    withdraw_later(output.root, "run1", 0, 1)
    write_part(part_name("run1", 0, 1), [make_block(*map(make_protein, (1, 2, 3)))], output)
    assert all_keys(output) == [("a.fa", ordinal) for ordinal in (0, 1, 2, 3, 8)]
    sweep(output.root)
    assert len(files_below(Path(output.root) / "embeddings")) == 3


def test_the_step_takes_back_what_an_earlier_attempt_had_committed(tmp_path: Path) -> None:
    output = make_output(tmp_path)
    blocks = [make_block(make_protein(ordinal)) for ordinal in range(3)]
    for sequence, block in enumerate(blocks):
        write_part(part_name("run1", 0, sequence), [block], output)
    with beam.Pipeline(runner="FnApiRunner") as pipeline:
        items = pipeline | beam.Create(blocks, reshuffle=False).with_output_types(Item)
        _ = items | WriteParts(output)
    assert all_keys(output) == [("a.fa", ordinal) for ordinal in range(3)]


def test_a_withdrawal_that_is_cut_short_is_repeated_by_the_next_attempt(output: Output) -> None:
    for sequence in range(4):
        write_part(part_name("run1", 0, sequence), [make_block(make_protein(sequence))], output)
    with dying(1) as changes:
        withdraw_later(output.root, "run1", 0, 0)
    assert changes.is_dead
    withdraw_later(output.root, "run1", 0, 0)
    assert list(read_commits(output.root).parts) == [part_name("run1", 0, 0)]


@pytest.mark.parametrize("attempt", range(8))
def test_two_attempts_at_once_commit_every_record_once(output: Output, attempt: int) -> None:
    proteins = [make_protein(ordinal) for ordinal in range(50)]
    # The same records; what was computed may differ in the last bit, and so in its digest.
    blocks = [make_block(*proteins, vectors=np.full((50, 4), 1 + n)) for n in range(2)]
    barrier = threading.Barrier(2)

    def write(n: int) -> list[Item]:
        barrier.wait()
        return write_part(PART, [blocks[n], make_dead_letter(50)], output)

    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(write, range(2))
    assert first == second
    assert all_keys(output) == [("a.fa", ordinal) for ordinal in range(50)]
    sweep(output.root)
    (left,) = (Path(output.root) / "embeddings").iterdir()
    assert read_commits(output.root).parts[PART].embeddings == left.name
    assert len(files_below(Path(output.root) / "dead_letters")) == 1


class Clock:
    """Seconds that pass only when they are told to; found again by name in any copy of a DoFn."""

    now = 1000.0

    def __call__(self) -> float:
        return Clock.now


def pass_time(item: Item) -> Item:
    """As if each block had taken 25 seconds to compute."""
    Clock.now += 25
    return item


def test_a_part_is_committed_after_so_much_work(output: Output) -> None:
    blocks = [make_block(make_protein(ordinal)) for ordinal in range(9)]
    with beam.Pipeline(runner="FnApiRunner") as pipeline:
        _ = (
            pipeline
            | beam.Create(blocks, reshuffle=False).with_output_types(Item)
            | beam.Map(pass_time).with_output_types(Item)
            | WriteParts(output, checkpoint_seconds=60, clock=Clock())
        )
    parts = read_commits(output.root).parts
    rows = {name: part.sources["a.fa"].rows for name, part in parts.items()}
    # The work for the first block is not seen; from then on 75 seconds are 3 blocks.
    assert list(rows.values()) == [4, 3, 2]


@pytest.mark.parametrize(
    ("records", "seconds", "sequence", "full"),
    [
        (0, 0.0, 0, False),
        (63, 0.0, 0, False),
        (64, 0.0, 0, True),
        (255, 0.0, 1, False),
        (256, 0.0, 1, True),
        (1023, 0.0, 2, False),
        (1024, 0.0, 2, True),
        (4095, 0.0, 3, False),
        (4096, 0.0, 3, True),
        (4095, 0.0, 4, False),
        (4096, 0.0, 4, True),
        (4095, 0.0, 10**9, False),
        (4096, 0.0, 10**9, True),
        (1, 59.9, 0, False),
        (1, 60.0, 0, True),
        (1, 60.0, 7, True),
    ],
)
def test_when_a_part_is_full(records: int, seconds: float, sequence: int, full: bool) -> None:
    assert is_full(records, seconds, sequence, checkpoint_seconds=60.0) is full


def test_items_that_belong_to_no_part_are_left_out() -> None:
    content = collect([make_end(3), make_protein(), Settled("a.fa", "", "part", 1, 0)])
    assert (content.proteins, content.dead_letters) == ((), ())

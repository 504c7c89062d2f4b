"""Tests of how a file becomes items."""

from __future__ import annotations

import gzip
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from unittest import mock

import apache_beam as beam
import pytest
from apache_beam.testing.util import assert_that, equal_to

from tests.helpers import make_protein, sha256
from tests.processes import LARGE, needs_shared
from transforms import events, storage
from transforms.inputs import compression, reading, stopping
from transforms.inputs.fasta import MAX_RECORD_RESIDUES
from transforms.inputs.finding import FastaFile, FindFasta, find_fasta
from transforms.inputs.reading import ReadFasta, read_items
from transforms.items import Batch, DeadLetter, EndOfFile, Item, Protein

FILE = FastaFile("mem://in/d/a.faa", "d/a.faa", 99, 12.5)


OpenChunks = Callable[[str], Iterator[bytes]]


def served(*versions: bytes, size: int = 7) -> OpenChunks:
    """Opens a file that has the next content at each opening; the last one stays."""
    contents = list(versions)

    def open_chunks(url: str) -> Iterator[bytes]:
        assert url == FILE.url
        data = contents.pop(0) if len(contents) > 1 else contents[0]
        return (data[start : start + size] for start in range(0, len(data), size))

    return open_chunks


def read(open_chunks: OpenChunks, file: FastaFile = FILE) -> Iterator[Item]:
    """What is read of a file that is opened so."""
    with mock.patch.object(storage, "open_chunks", open_chunks):
        yield from read_items(file)


def items_of(data: bytes) -> list[Item]:
    return list(read(served(data)))


@pytest.fixture
def heard() -> Iterator[list[events.Event]]:
    collected: list[events.Event] = []
    with events.listening(collected.append):
        yield collected


@pytest.fixture
def read_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every file is too large to be held between the passes."""
    monkeypatch.setattr(reading, "HELD_BYTES", 0)


def items_in(element: Item) -> Iterable[Item]:
    assert isinstance(element, Batch)
    return element.items


@pytest.fixture(autouse=True)
def _no_stop() -> Iterator[None]:
    yield
    stopping.clear_stop()


def test_a_file_becomes_its_records_and_its_end(heard: list[events.Event]) -> None:
    data = b">p1 first\nMK\nTA\n>p2\nAC\n"
    digest = sha256(data)
    assert items_of(data) == [
        Protein("d/a.faa", 0, "p1", "first", "MKTA", digest),
        Protein("d/a.faa", 1, "p2", "", "AC", digest),
        EndOfFile("d/a.faa", digest, "mem://in/d/a.faa", 99, 12.5, records=2, residues=6),
    ]
    assert heard == [events.FileOpened("d/a.faa", 99, records=2, residues=6)]


def test_an_empty_file_has_only_an_end() -> None:
    assert items_of(b"") == [EndOfFile("d/a.faa", sha256(b""), FILE.url, 99, 12.5, 0, 0)]


def test_the_end_of_a_file_knows_when_it_was_complete() -> None:
    (end,) = items_of(b"")
    assert isinstance(end, EndOfFile)
    assert end.complete == FILE.complete


def test_the_digest_is_that_of_the_bytes_in_the_file() -> None:
    packed = gzip.compress(b">a\nMK\n")
    first, end = items_of(packed)
    assert isinstance(first, Protein)
    assert isinstance(end, EndOfFile)
    assert first.sequence == "MK"
    assert first.file_sha256 == end.file_sha256 == sha256(packed)


def test_a_record_without_sequence_is_a_dead_letter(heard: list[events.Event]) -> None:
    first, letter, end = items_of(b">a\nMK\n\n>b second\n")
    assert isinstance(first, Protein)
    assert isinstance(letter, DeadLetter)
    assert (letter.source, letter.ordinal, letter.id) == ("d/a.faa", 1, "b")
    assert (letter.description, letter.sequence, letter.length) == ("second", "", 0)
    assert letter.sequence_sha256 == sha256(b"")
    assert letter.file_sha256 == first.file_sha256
    assert (letter.stage, letter.error_type) == ("read", "empty_sequence")
    assert letter.message == "record 2 (line 4) has a header but no sequence"
    assert isinstance(end, EndOfFile)
    assert (end.records, end.residues) == (2, 2)
    assert heard[1:] == [
        events.RecordFailed("d/a.faa", 1, "b", 0, "read", "empty_sequence", letter.message)
    ]


def test_a_record_that_is_too_long_is_a_dead_letter(heard: list[events.Event]) -> None:
    length = MAX_RECORD_RESIDUES + 1
    data = b">a giant\n" + b"M" * length + b"\n>b\nMK\n"
    letter, second, end = read(served(data, size=1 << 20))
    assert isinstance(letter, DeadLetter)
    assert (letter.ordinal, letter.id, letter.description) == (0, "a", "giant")
    assert (letter.sequence, letter.length, letter.sequence_sha256) == (None, length, "")
    assert letter.file_sha256 == sha256(data)
    assert (letter.stage, letter.error_type) == ("read", "too_long")
    assert letter.message == (
        "record 1 (line 1) has 1,000,001 residues; the longest that can be read has 1,000,000"
    )
    assert isinstance(second, Protein)
    assert isinstance(end, EndOfFile)
    assert (end.records, end.residues) == (2, length + 2)
    assert heard[1:] == [
        events.RecordFailed("d/a.faa", 0, "a", length, "read", "too_long", letter.message)
    ]


GOOD = b">a\nMK\n>b\nAC\n"
PACKED = gzip.compress(GOOD, mtime=0)


@pytest.mark.parametrize(
    ("data", "error_type", "place"),
    [
        (
            PACKED[:-1],
            "truncated",
            f"after {len(PACKED) - 1} bytes: the file is truncated; copy or",
        ),
        (PACKED + b"tail", "corrupt", f"end at byte {len(PACKED)}"),
        (PACKED[:-8] + bytes(8), "corrupt", "damaged between bytes"),
        (b"@r\nACGT\n+\nIIII\n", "not_fasta", "line 1 .*FASTQ"),
        (GOOD + b">c\nM\0K\n", "not_fasta", "line 6 holds a NUL byte"),
        (b">a\nMK\n>b\nA\0\n" + 9 * GOOD, "not_fasta", "line 4 holds a NUL byte"),
    ],
)
def test_a_damaged_file_is_one_dead_letter_and_nothing_else(
    data: bytes, error_type: str, place: str, heard: list[events.Event]
) -> None:
    (letter,) = items_of(data)
    assert isinstance(letter, DeadLetter)
    assert (letter.source, letter.ordinal, letter.id, letter.sequence) == (
        "d/a.faa", None, "", None
    )  # fmt: skip
    digest = sha256(data)
    assert (letter.stage, letter.error_type, letter.file_sha256) == ("read", error_type, digest)
    with pytest.raises(ValueError, match=place):
        raise ValueError(letter.message)
    assert [type(event) for event in heard] == [events.RecordFailed]


def test_a_bomb_is_one_dead_letter(monkeypatch: pytest.MonkeyPatch) -> None:
    small = partial(compression.decompress, bomb_bytes=1 << 20, bomb_ratio=100)
    monkeypatch.setattr(reading, "decompress", small)
    data = gzip.compress(b">a\n" + b"M" * (1 << 22))
    (letter,) = items_of(data)
    assert isinstance(letter, DeadLetter)
    assert (letter.ordinal, letter.stage, letter.error_type) == (None, "read", "bomb")
    assert letter.file_sha256 == sha256(data)
    assert "expand to more than 100 times their size" in letter.message


def test_another_version_than_the_one_that_it_must_be_is_one_dead_letter() -> None:
    assert list(read(served(GOOD), replace(FILE, sha256=sha256(GOOD)))) == items_of(GOOD)
    (letter,) = read(served(GOOD), replace(FILE, sha256=sha256(b"before")))
    assert isinstance(letter, DeadLetter)
    assert (letter.ordinal, letter.error_type) == (None, "changed")


def test_a_file_that_changed_since_it_was_listed_is_known_by_its_new_size_and_time(
    tmp_path: Path,
) -> None:
    path = tmp_path / "a.faa"
    path.write_bytes(GOOD)
    files = find_fasta([str(path)]).files
    path.write_bytes(GOOD + b">late\nMK\n")
    os.utime(path, (1234.5, 1234.5))
    with beam.Pipeline(runner="FnApiRunner") as pipeline:
        items = pipeline | FindFasta(files) | ReadFasta() | beam.FlatMap(items_in)
        ends = items | beam.Filter(lambda item: isinstance(item, EndOfFile))
        known = ends | beam.Map(lambda end: (end.size, end.mtime))
        assert_that(known, equal_to([(len(GOOD) + 9, 1234.5)]))


@pytest.mark.parametrize("size", [11, 13])
def test_a_file_that_is_held_is_opened_once_and_a_larger_one_twice(
    size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "HELD_BYTES", size)
    opened = []

    def open_chunks(url: str) -> Iterator[bytes]:
        opened.append(url)
        return served(GOOD, size=5)(url)

    assert list(read(open_chunks)) == items_of(GOOD)
    assert len(opened) == (1 if size >= len(GOOD) else 2)


@pytest.mark.parametrize(
    ("lengths", "expected"),
    [
        ([], []),
        ([1, 1], [2]),
        ([1] * 9, [4, 4, 1]),
        ([1, 9, 1, 10, 1], [2, 2, 1]),
        ([30, 30], [1, 1]),
    ],
)
def test_items_come_in_batches_of_bounded_size(
    lengths: list[int], expected: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "BATCH_ITEMS", 4)
    monkeypatch.setattr(reading, "BATCH_RESIDUES", 10)
    items = [make_protein(ordinal=i, sequence="M" * n) for i, n in enumerate(lengths)]
    batches = list(reading.in_batches(iter(items)))
    assert [len(batch.items) for batch in batches] == expected
    assert [item for batch in batches for item in batch.items] == items


def test_a_file_that_cannot_be_opened_is_one_dead_letter(tmp_path: Path) -> None:
    url = str(tmp_path / "gone.faa")
    (letter,) = read_items(FastaFile(url, "gone.faa", 1, 0.0))
    assert isinstance(letter, DeadLetter)
    assert letter.error_type == "unreadable"
    assert letter.message.startswith(f"{url}: ")
    assert "No such file" in letter.message


@pytest.mark.parametrize(
    "later",
    [
        b">a\nMK\n>b\nAG\n",
        GOOD + b">c\nMK\n",
        GOOD[:-4],
        GOOD + b"\n",
        b"not even FASTA",
        PACKED[:20],
    ],
)
@pytest.mark.usefixtures("read_twice")
def test_a_file_that_changes_ends_in_a_dead_letter_and_is_never_completed(
    later: bytes, heard: list[events.Event]
) -> None:
    *sent, letter = read(served(GOOD, later))
    assert isinstance(letter, DeadLetter)
    assert (letter.source, letter.ordinal, letter.stage) == ("d/a.faa", None, "read")
    assert (letter.error_type, letter.file_sha256, letter.attempts) == ("changed", "", 1)
    assert letter.message.startswith("mem://in/d/a.faa changed while it was read: ")
    assert not any(isinstance(item, EndOfFile) for item in sent)
    assert heard[-1] == events.RecordFailed(
        "d/a.faa", None, "", 0, "read", "changed", letter.message
    )


@pytest.mark.parametrize("sent", [0, 1])
@pytest.mark.usefixtures("read_twice")
def test_a_file_that_vanishes_between_the_passes_ends_in_a_dead_letter(sent: int) -> None:
    calls = []

    def open_chunks(url: str) -> Iterator[bytes]:
        calls.append(url)
        if len(calls) == 1:
            yield GOOD
            return
        yield GOOD[: 9 * sent]
        raise FileNotFoundError(2, "No such file or directory", url)

    *proteins, letter = read(open_chunks)
    assert len(calls) == 2
    assert isinstance(letter, DeadLetter)
    assert (letter.ordinal, letter.stage, letter.error_type) == (None, "read", "unreadable")
    assert (letter.file_sha256, letter.attempts) == ("", 1)
    assert "No such file or directory" in letter.message
    assert [type(item) for item in proteins] == [Protein] * sent


@pytest.mark.usefixtures("read_twice")
def test_files_that_fail_between_the_passes_do_not_stop_the_others(tmp_path: Path) -> None:
    for name in ("a.faa", "b.faa", "c.faa"):
        (tmp_path / name).write_bytes(GOOD)
    files = find_fasta([str(tmp_path)]).files

    def spoil(event: events.Event) -> None:
        match event:
            case events.FileOpened(source="a.faa"):
                (tmp_path / "a.faa").unlink()
            case events.FileOpened(source="b.faa"):
                (tmp_path / "b.faa").write_bytes(GOOD.lower())

    with events.listening(spoil), beam.Pipeline("FnApiRunner") as pipeline:
        items = pipeline | FindFasta(files) | ReadFasta() | beam.FlatMap(items_in)
        kinds = items | beam.Map(
            lambda item: (item.source, getattr(item, "error_type", type(item).__name__))
        )
        assert_that(
            kinds,
            equal_to(
                [
                    ("a.faa", "unreadable"),
                    ("b.faa", "Protein"),
                    ("b.faa", "Protein"),
                    ("b.faa", "changed"),
                    ("c.faa", "Protein"),
                    ("c.faa", "Protein"),
                    ("c.faa", "EndOfFile"),
                ]
            ),
        )


@pytest.mark.usefixtures("read_twice")
def test_records_come_before_the_second_pass_has_read_on() -> None:
    chunks_read = 0

    def open_chunks(url: str) -> Iterator[bytes]:
        nonlocal chunks_read
        for ordinal in range(100):
            chunks_read += 1
            yield b">p%d\nMKTAYI\n" % ordinal

    items = read(open_chunks)
    next(items)
    assert 100 < chunks_read < 105


def test_a_stop_ends_between_records_without_an_end() -> None:
    assert not stopping.stop_requested()
    items = read(served(GOOD, size=100))
    assert isinstance(next(items), Protein)
    stopping.request_stop()
    assert stopping.stop_requested()
    assert list(items) == []
    stopping.clear_stop()
    assert len(items_of(GOOD)) == 3


@pytest.mark.parametrize("data", [b"", GOOD])
def test_a_stop_ends_between_files(data: bytes, heard: list[events.Event]) -> None:
    stopping.request_stop()
    assert items_of(data) == []
    assert heard == []


@pytest.mark.usefixtures("read_twice")
@pytest.mark.parametrize("stopped_pass", [1, 2])
def test_a_stop_ends_within_a_giant_file(stopped_pass: int) -> None:
    passes = 0

    def open_chunks(url: str) -> Iterator[bytes]:
        nonlocal passes
        passes += 1
        yield b">a\n"
        if passes == stopped_pass:
            stopping.request_stop()
            yield b"MK\n"
            raise AssertionError("the reader reads on after the stop")
        yield b"MK\n"

    assert list(read(open_chunks)) == []
    assert passes == stopped_pass


def test_the_transform_reads_files_and_passes_items(tmp_path: Path) -> None:
    (tmp_path / "a.faa").write_bytes(b">p1\nMK\n>p2\n")
    (tmp_path / "b.faa.gz").write_bytes(gzip.compress(b">p3\nMK\n"))
    (tmp_path / "c.faa").write_bytes(b"LOCUS\n")
    files = find_fasta([str(tmp_path)]).files
    with beam.Pipeline("FnApiRunner") as pipeline:
        items = pipeline | FindFasta(files) | ReadFasta()
        assert items.element_type is Item
        kinds = (
            items
            | beam.FlatMap(items_in)
            | beam.Map(lambda item: (item.source, type(item).__name__))
        )
        assert_that(
            kinds,
            equal_to(
                [
                    ("a.faa", "Protein"),
                    ("a.faa", "DeadLetter"),
                    ("a.faa", "EndOfFile"),
                    ("b.faa.gz", "Protein"),
                    ("b.faa.gz", "EndOfFile"),
                    ("c.faa", "DeadLetter"),
                ]
            ),
        )


@needs_shared
def test_a_large_real_file_is_read_whole() -> None:
    (file,) = find_fasta([str(LARGE)]).files
    *proteins, end = read_items(file)
    assert isinstance(end, EndOfFile)
    assert (end.records, end.residues, end.size) == (19_789, 7_870_807, file.size)
    assert end.file_sha256 == sha256(Path(file.url).read_bytes())
    lengths = [len(item.sequence) for item in proteins if isinstance(item, Protein)]
    assert (len(lengths), sum(lengths)) == (end.records, end.residues)
    assert [item.ordinal for item in proteins if isinstance(item, Protein)] == list(range(19_789))

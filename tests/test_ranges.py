"""Tests of reading a file by ranges of bytes: the same records as when it is read at once."""

from __future__ import annotations

import gzip
import os
import sys
from collections.abc import Iterator
from dataclasses import replace
from itertools import chain, pairwise, zip_longest
from pathlib import Path
from unittest import mock

import apache_beam as beam
import pytest
from apache_beam.coders import registry
from apache_beam.testing.util import assert_that, equal_to
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.helpers import make_output, sha256
from tests.processes import LARGE, needs_shared
from transforms import events, storage
from transforms.inputs import fasta, stopping
from transforms.inputs.fasta import Counts
from transforms.inputs.finding import FastaFile, FindFasta, find_fasta
from transforms.inputs.ranges import FileRange, FileRangeCoder, cut_file, read_range
from transforms.inputs.reading import read_items
from transforms.inputs.spreading import ReadRanges
from transforms.items import Batch, DeadLetter, EndOfFile, Item, Protein
from transforms.output.shards import Shard

LARGE_BYTES = int(os.environ.get("LARGE_FASTA_BYTES", 9_000_000))
PACKED = gzip.compress(b">a\nMK\n" * 9, mtime=0)  # the same in each process of pytest-xdist
FILE = FastaFile("mem://in/a.faa", "a.faa", 99, 12.5)


TOKENS = [b">", b"\n", b"\r", b"\r\n", b";", b"#", b" ", b"MKT", b"p x", b"\xc3\xa4", b"\xe4"]
RARE_TOKENS = [b"\0", b"\xef\xbb\xbf", b"\xff\xfe", b"# STOCKHOLM", b"@"]
LONG_TOKENS = [b"MKT" * 20, b" " * 60, b"x" * 48]


def texts(tokens: list[bytes]) -> st.SearchStrategy[bytes]:
    starts = st.sampled_from([b"", b">", b">a\n", b"\xef\xbb\xbf>", b"\xff", b"#"])
    return st.tuples(starts, st.lists(st.sampled_from(tokens), max_size=40)).map(
        lambda drawn: drawn[0] + b"".join(drawn[1])
    )


nasty = texts(TOKENS * 3 + RARE_TOKENS)
nasty_and_long = texts(TOKENS * 2 + LONG_TOKENS * 2 + RARE_TOKENS)


class Store:
    """Opens a file whose content may be changed."""

    def __init__(self, data: bytes, chunk_size: int = 7) -> None:
        self.data = data
        self.chunk_size = chunk_size

    def __call__(self, url: str, *, start: int = 0, stop: int = sys.maxsize) -> Iterator[bytes]:
        assert url == FILE.url
        part = self.data[start:stop]
        return (part[at : at + self.chunk_size] for at in range(0, len(part), self.chunk_size))


@pytest.fixture(autouse=True)
def _no_stop() -> Iterator[None]:
    yield
    stopping.clear_stop()


def file_of(data: bytes) -> FastaFile:
    return replace(FILE, size=len(data))


def timeless(items: Iterator[Item]) -> list[Item]:
    return [replace(i, time="") if isinstance(i, DeadLetter) else i for i in items]


def cut(data: bytes, size: int, file: FastaFile | None = None) -> list[FileRange]:
    with mock.patch.object(storage, "open_chunks", Store(data)):
        return cut_file(file or file_of(data), size)


def read(part: FileRange, store: Store) -> Iterator[Item]:
    with mock.patch.object(storage, "open_chunks", store):
        yield from read_range(part)


def check_cuts(data: bytes, size: int, store: Store) -> None:
    """By ranges of a size the same items come as at once, and no range is smaller than that."""
    with mock.patch.object(storage, "open_chunks", store):
        ranges = cut_file(file_of(data), size)
        found = timeless(chain.from_iterable(map(read_range, ranges)))
        assert found == timeless(read_items(file_of(data)))
    if ranges[0].stop is None:
        assert len(ranges) == 1
        return
    assert ranges[0].start == 0
    assert ranges[-1].stop == len(data)
    assert all(one.stop == other.start for one, other in pairwise(ranges))
    assert all((each.stop or 0) - each.start >= size for each in ranges[:-1])
    assert [each.counts is not None for each in ranges] == [False] * (len(ranges) - 1) + [True]


@settings(deadline=None, max_examples=60)
@given(data=nasty)
def test_cuts_anywhere_change_nothing(data: bytes) -> None:
    for size in range(1, len(data)):
        check_cuts(data, size, Store(data))


@settings(deadline=None, max_examples=60)
@given(data=nasty_and_long)
def test_cuts_anywhere_change_nothing_at_the_limits(data: bytes) -> None:
    with (
        mock.patch.object(fasta, "MAX_HEADER_BYTES", 50),
        mock.patch.object(fasta, "MAX_RECORD_RESIDUES", 70),
    ):
        for size in range(1, len(data), 7):
            # How much of a giant line a message quotes depends on the edges of chunks.
            check_cuts(data, size, Store(data, 10_000))


BOM = b"\xef\xbb\xbf"
TEXT = (
    b">a b > c\nMK>T\nAC\n;>no header\n>b\n\nMKT\n"
    + BOM * 9
    + b">no header\n>c\n>d\n"
    + b"M" * 40
    + b"\n>e\nMK"
)


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
@pytest.mark.parametrize("chunk_size", [1, 30])
@pytest.mark.parametrize("start", [b"", BOM, b"# a >x\n\n"])
def test_every_kind_of_line_can_lie_at_a_cut(end: bytes, chunk_size: int, start: bytes) -> None:
    text = start + TEXT.replace(b"\n>b", b"\n" + BOM + b">b").replace(
        b"\n>e", b"\n" + BOM * 8 + b">e"
    )
    data = text.replace(b"\n", end)
    for size in range(1, len(data)):
        check_cuts(data, size, Store(data, chunk_size))
    # Cut at every record that begins anywhere: a range of one byte ends before the next header.
    cuts = cut(data, 1)
    assert [each.ordinal for each in cuts if each.start][-4:] == [1, 2, 3, 4]


def test_a_range_knows_its_records_and_lines() -> None:
    data = b"\n>a\nMK\n>b\n\n>c\nMK\nAC\n"
    first, second, third, last = cut(data, 1)
    assert (first.start, first.stop, first.ordinal, first.line) == (0, 1, 0, 1)
    assert (second.ordinal, second.line, second.sha256) == (0, 2, sha256(b">a\nMK\n"))
    assert (third.ordinal, third.line, third.counts) == (1, 4, None)
    assert (last.ordinal, last.line, last.counts) == (2, 6, Counts(3, 6))
    assert {each.file_sha256 for each in (first, second, third, last)} == {sha256(data)}
    (letter,) = read(third, Store(data))
    assert isinstance(letter, DeadLetter)
    assert letter.message == "record 2 (line 4) has a header but no sequence"


@pytest.mark.parametrize(
    "data",
    [
        b">a\nMK\n",
        PACKED,
        b"PK\x03\x04" * 9,
        b"LOCUS\n" + b">a\nMK\n" * 9,
        b">a\nMK\n" * 9 + b">b\nM\0K\n",
    ],
    ids=["small", "gzip", "zip", "no FASTA", "binary"],
)
def test_what_cannot_be_cut_stays_whole(data: bytes) -> None:
    assert cut(data, 10) == [FileRange(file_of(data))]
    check_cuts(data, 10, Store(data))


def test_a_file_that_cannot_be_read_or_is_another_version_stays_whole(tmp_path: Path) -> None:
    gone = FastaFile(str(tmp_path / "gone.faa"), "gone.faa", 99, 0.0)
    assert cut_file(gone, 10) == [FileRange(gone)]
    data = b">a\nMK\n" * 9
    other = replace(file_of(data), sha256=sha256("before"))
    (whole,) = cut(data, 10, other)
    (letter,) = read(whole, Store(data))
    assert isinstance(letter, DeadLetter)
    assert letter.error_type == "changed"


@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_range_that_has_changed_lacks_an_item_and_fails_the_file(place: int) -> None:
    data = b">a\nMK\n>b\nAC\n" * 3
    ranges = cut(data, 12)
    assert len(ranges) == 3
    changed = data[: 12 * place] + b">a\nMK\n>b\nAG\n" + data[12 * place + 12 :]
    found = [list(read(each, Store(changed))) for each in ranges]
    *sent, letter = found.pop(place)
    assert isinstance(letter, DeadLetter)
    assert (letter.source, letter.ordinal, letter.error_type) == ("a.faa", None, "changed")
    ends = [item for item in chain(sent, *found) if isinstance(item, EndOfFile)]
    records = [item for item in chain(sent, *found) if isinstance(item, Protein)]
    assert not ends or len(records) < ends[0].records


@pytest.mark.parametrize("later", [b"", b">a\nMK\n>b\n", b"not FASTA" * 3, PACKED])
def test_a_range_of_a_file_that_was_replaced_fails_it(later: bytes) -> None:
    data = b">a\nMK\n>b\nAC\n" * 3
    for each in cut(data, 12)[1:]:
        *_, letter = read(each, Store(later))
        assert isinstance(letter, DeadLetter)
        assert (letter.ordinal, letter.error_type) == (None, "changed")


def test_a_stop_ends_either_pass() -> None:
    data = b">a\nMK\n" * 9
    first, *_ = cut(data, 24)
    items = read(first, Store(data, 100))
    assert isinstance(next(items), Protein)
    stopping.request_stop()
    assert list(items) == []
    assert cut(data, 24) == []
    assert list(read(first, Store(data))) == []


def test_a_range_travels_as_plain_values() -> None:
    coder = registry.get_coder(FileRange)
    assert isinstance(coder, FileRangeCoder)
    part = FileRange(FILE, 3, 9, 1, 2, "ab", "cd", Counts(3, 6))
    for each in (part, replace(part, counts=None), FileRange(FILE)):
        assert coder.decode(coder.encode(each)) == each


def items_in(element: Item) -> list[Item]:
    assert isinstance(element, Batch)
    return timeless(iter(element.items))


def test_the_transform_reads_what_read_fasta_reads(tmp_path: Path) -> None:
    for name, records in (("small.faa", 2), ("large.faa", 40)):
        text = "".join(f">{name}{i}\n{'MK' * (i % 7)}\n" for i in range(records))
        (tmp_path / name).write_text(text)
    (tmp_path / "packed.faa.gz").write_bytes(gzip.compress(b">p\nMK\n" * 40, mtime=0))
    (tmp_path / "broken.faa").write_bytes(b">a\nMK\n" * 40 + b"\0")
    files = find_fasta([str(tmp_path)]).files
    opened: list[str] = []

    def listen(event: events.Event) -> None:
        if isinstance(event, events.FileOpened):
            opened.append(event.source)

    expected: list[Item] = []
    for file in files:
        expected += timeless(read_items(file))
    with events.listening(listen), beam.Pipeline("FnApiRunner") as pipeline:
        found = pipeline | FindFasta(files) | ReadRanges(range_bytes=100)
        assert found.element_type is Item
        assert_that(found | beam.FlatMap(items_in), equal_to(expected))
    assert sorted(opened) == ["large.faa", "packed.faa.gz", "small.faa"]


def test_a_shard_does_not_read_what_is_of_others(tmp_path: Path) -> None:
    output = make_output(tmp_path, shard=Shard(0, 2))
    with pytest.raises(ValueError, match="A shard reads on one lane"):
        beam.Pipeline() | FindFasta([FILE]) | ReadRanges(output)


@pytest.mark.slow
@needs_shared
def test_a_large_file_in_eight_ranges_is_the_file(tmp_path: Path) -> None:
    """LARGE_FASTA_BYTES=1000000000 makes it as large as one that is worth cutting."""
    text = gzip.decompress(LARGE.read_bytes())
    path = tmp_path / "large.faa"
    with path.open("wb") as handle:
        for _ in range(max(round(LARGE_BYTES / len(text)), 1)):
            handle.write(text)
    (file,) = find_fasta([str(path)]).files
    ranges = cut_file(file, file.size // 8)
    assert len(ranges) == 8
    by_range = chain.from_iterable(map(read_range, ranges))
    for found, expected in zip_longest(by_range, read_items(file)):
        assert found == expected

"""Some seconds of the fuzzer, memory on chosen inputs, and faults that the fuzzer must find."""

from __future__ import annotations

import gzip
import random
import tempfile
import tracemalloc
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path
from types import ModuleType

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz_fasta import EDGE, TOKENS, Fuzzer, check, finding, random_input
from transforms.errors import FastaFormatError
from transforms.inputs import compression, fasta
from transforms.inputs.compression import TruncatedError
from transforms.inputs.fasta import MAX_HEADER_BYTES, MAX_RECORD_RESIDUES, FastaRecord

FILES = [path.read_bytes() for path in sorted(EDGE.glob("*"))]
parse_fasta, decompress = fasta.parse_fasta, compression.decompress


def fuzz(lines: int, files: list[bytes]) -> Fuzzer:
    """Takes inputs until something is found or so many lines have passed."""
    fuzzer, rng = Fuzzer(lines), random.Random(0)
    while fuzzer.take(*random_input(rng, files)) and not fuzzer.findings:
        pass
    return fuzzer


@pytest.mark.parametrize("files", [[], FILES], ids=["made up", "mutated"])
def test_random_files(files: list[bytes]) -> None:
    fuzzer = fuzz(6000, files)
    assert not fuzzer.findings
    assert fuzzer.counts["records"] > 600
    assert fuzzer.counts["no error"] > 50


texts = st.lists(st.sampled_from(TOKENS)).map(b"".join)


@settings(deadline=None)
@given(
    data=st.one_of(texts.map(b">".__add__), texts, st.binary()),
    cuts=st.lists(st.integers(0, 1000), max_size=8),
)
def test_what_hypothesis_thinks_of(data: bytes, cuts: list[int]) -> None:
    check(data, cuts)


@pytest.mark.parametrize("name", [path.name for path in sorted(EDGE.glob("*"))])
def test_real_files(name: str) -> None:
    check((EDGE / name).read_bytes(), [1000, 2001, 30_000])


HEADER, RECORD = MAX_HEADER_BYTES, MAX_RECORD_RESIDUES


@pytest.mark.parametrize(
    "data",
    [
        b">a\n" + b"M" * RECORD + b"\n>b\n" + b"MKT\n" * (RECORD // 3 + 1) + b">c\nM",
        b">" + b"x" * HEADER + b"\nM\n>" + b"x" * (HEADER + 1),
        b"\xef\xbb\xbf" * 2 + b">" + b"x" * HEADER + b"\nMK",
        b"#" + b"x" * HEADER + b">y#\n;" + b"x>" * HEADER + b";\r\n>a\nM\n;" + b"x" * HEADER * 2,
        b" " * (HEADER + 10) + b"#x\n>a\nMK\n",
        b" " * (HEADER + 10) + b"\n>a\nMK\n" + b" " * (HEADER + 10) + b">b\n",
    ],
    ids=["records", "headers", "marks", "comments", "text before", "blanks"],
)
def test_giants(data: bytes) -> None:
    check(data, [1, 5, HEADER, HEADER + 5, HEADER + 9, HEADER + 10, -12, -4])


words = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), max_size=12)
proteins = st.tuples(words, words, st.text("ACDEFGHIKLMNPQRSTVWYXacd*-", max_size=120))


@settings(deadline=None)
@given(
    records=st.lists(proteins, max_size=8),
    line_end=st.sampled_from(["\n", "\r\n", "\r"]),
    width=st.integers(1, 130),
    blank_lines=st.integers(0, 2),
    last=st.booleans(),
)
def test_what_is_written_is_read(
    records: list[tuple[str, str, str]], line_end: str, width: int, blank_lines: int, last: bool
) -> None:
    lines = []
    for id_, description, sequence in records:
        lines.append(f">{id_} {description}")
        lines += [sequence[start : start + width] for start in range(0, len(sequence), width)]
        lines += [""] * blank_lines
    text = line_end.join(lines) + line_end * last
    expected = [
        # Without an id the first word of the description takes its place.
        (id_ or description, description if id_ else "", sequence)
        for id_, description, sequence in records
    ]
    found = list(parse_fasta([text.encode()]))
    assert [(record.id, record.description, record.sequence) for record in found] == expected
    residues = sum(len(sequence) for _, _, sequence in records)
    assert fasta.scan_fasta([text.encode()]) == fasta.Counts(len(records), residues)


# --- Memory ---

UNITS = {
    "a long line": b"M",
    "short lines": b"MK\n",
    "blank lines": b"\n",
    "Windows lines": b"\r\n",
    "comments": b";x\n",
    "records": b"\n>ab",
}
PACK: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "zstd": zstandard.ZstdCompressor(level=19).compress,
}


def peak_of(packed: bytes) -> int:
    """The memory that the first records of a file take."""
    tracemalloc.start()
    try:
        with suppress(FastaFormatError):  # To refuse a file is a way to take no memory.
            for _ in islice(parse_fasta(decompress([packed])), 100):
                pass
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("kind", PACK)
@pytest.mark.parametrize("what", UNITS)
def test_memory_does_not_grow_with_what_is_packed(kind: str, what: str) -> None:
    unit = UNITS[what]
    packed = PACK[kind](b">a\n" + unit * ((1 << 23) // len(unit)))
    assert len(packed) < 20_000
    assert peak_of(packed) < 100_000_000


# --- Faults that it must find ---


def without_unfinished_records(chunks: Iterable[bytes]) -> Iterator[FastaRecord]:
    data = b"".join(chunks)
    records = list(parse_fasta([data]))
    return iter(records if data.endswith((b"\r", b"\n")) else records[:-1])


def without_cr_at_edges(chunks: Iterable[bytes]) -> Iterator[FastaRecord]:
    return parse_fasta(chunk.removesuffix(b"\r") for chunk in chunks)


def without_latin1(chunks: Iterable[bytes]) -> Iterator[FastaRecord]:
    for chunk in chunks:
        chunk.decode()
        yield from parse_fasta([chunk])


def ending_silently(chunks: Iterable[bytes]) -> Iterator[bytes]:
    with suppress(TruncatedError):
        yield from decompress(chunks)


@pytest.mark.parametrize(
    ("module", "name", "fault", "what"),
    [
        (fasta, "parse_fasta", without_unfinished_records, "records are lost"),
        (fasta, "parse_fasta", without_cr_at_edges, "chunk edges matter"),
        (fasta, "parse_fasta", without_latin1, "UnicodeDecodeError escapes"),
        (compression, "decompress", ending_silently, "truncated gzip is passed over"),
    ],
)
def test_a_planted_fault_is_found(
    module: ModuleType,
    name: str,
    fault: Callable[[Iterable[bytes]], object],
    what: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with monkeypatch.context() as planted:
        planted.setattr(module, name, fault)
        fuzzer = fuzz(3000, [])
        assert list(fuzzer.findings) == [what]
        smallest = fuzzer.findings[what].read_bytes()
        assert finding(smallest, [1, 2, 3]).startswith(what)
    assert len(smallest) <= 20
    check(smallest, [1, 2, 3])

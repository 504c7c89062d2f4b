"""Tests of the FASTA parser."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.processes import SHARED, needs_shared
from transforms.errors import FastaFormatError
from transforms.inputs import fasta
from transforms.inputs.compression import decompress
from transforms.inputs.fasta import (
    Counts,
    FastaRecord,
    parse_fasta,
    scan_fasta,
)


def parse(data: bytes) -> list[FastaRecord]:
    return list(parse_fasta([data]))


def pairs(data: bytes) -> list[tuple[str, str | None]]:
    return [(record.id, record.sequence) for record in parse(data)]


def refusal(data: bytes) -> str:
    with pytest.raises(FastaFormatError) as caught:
        parse(data)
    return str(caught.value)


def test_a_record_has_every_field() -> None:
    assert parse(b"\n>p1  first protein \nMKT\nAY\n>p2\nACD\n") == [
        FastaRecord(0, 2, "p1", "first protein", "MKTAY", 5),
        FastaRecord(1, 5, "p2", "", "ACD", 3),
    ]


@pytest.mark.parametrize("line_end", [b"\n", b"\r\n", b"\r"])
@pytest.mark.parametrize("last", [True, False])
def test_line_ends(line_end: bytes, last: bool) -> None:
    data = line_end.join([b">a", b"MKTA", b"YI", b">b", b"ACDEFG"]) + line_end * last
    assert parse(data) == [
        FastaRecord(0, 1, "a", "", "MKTAYI", 6),
        FastaRecord(1, 4, "b", "", "ACDEFG", 6),
    ]


def test_line_ends_may_be_mixed() -> None:
    records = parse(b">a\r\nMK\nTA\rYI\r\r\n\n>b\rAC\n")
    assert [(record.line, record.sequence) for record in records] == [(1, "MKTAYI"), (7, "AC")]


def test_lines_are_counted_when_a_crlf_is_cut() -> None:
    chunks = [b">a\r", b"\nMK\r", b"\n", b"\r", b"\n>b\r", b"\nAC"]
    assert [record.line for record in parse_fasta(chunks)] == [1, 4]


@pytest.mark.parametrize(
    ("header", "id_", "description"),
    [
        (b"", "", ""),
        (b"   ", "", ""),
        (b" p1 x", "p1", "x"),
        (b"p1\tx  y ", "p1", "x  y"),
        (b"p>1 >x", "p>1", ">x"),
        (b";p #x", ";p", "#x"),
        ("pé ü".encode(), "pé", "ü"),
        ("pé ü".encode("latin-1"), "pé", "ü"),
        (b"a first\x01b second", "a", "first\x01b second"),  # merged headers of NCBI's nr
    ],
)
def test_headers(header: bytes, id_: str, description: str) -> None:
    (record,) = parse(b">" + header + b"\nMK\n")
    assert (record.id, record.description, record.sequence) == (id_, description, "MK")


@pytest.mark.parametrize(
    ("lines", "sequence"),
    [
        (b" M K\tT\n\v\f\n  AY \n", "MKTAY"),
        (b"mkX*-.1\n", "mkX*-.1"),
        (b"MK>T\n >A\n", "MK>T>A"),
        (b"MK\n;a comment\n;\nTA;Y\n", "MKTA;Y"),
        (b"MK\n#T\n", "MK#T"),
        ("Mä\n".encode(), "Mä"),
        ("Mä\n".encode("latin-1"), "Mä"),
        # Left for the residue policy: in Latin-1 text such bytes are anything but white space.
        ("M\u00a0K\u2028T\n".encode(), "M\u00a0K\u2028T"),
        (b"MKT\x85AYI\n", "MKT\x85AYI"),
    ],
)
def test_sequences(lines: bytes, sequence: str) -> None:
    assert parse(b">a\n" + lines) == [FastaRecord(0, 1, "a", "", sequence, len(sequence))]


def test_records_without_sequence_are_kept() -> None:
    assert parse(b">a\n>\n\n \n>c") == [
        FastaRecord(0, 1, "a", "", "", 0),
        FastaRecord(1, 2, "", "", "", 0),
        FastaRecord(2, 5, "c", "", "", 0),
    ]


@pytest.mark.parametrize("data", [b"", b"\n", b" \r\n\t\r\v", b"#x\n;y\n", b"\xef\xbb\xbf", b";"])
def test_files_without_records(data: bytes) -> None:
    assert parse(data) == []
    assert scan_fasta([data]) == Counts(0, 0)


def test_comments_before_the_first_header_are_dropped() -> None:
    data = b"# PEFF 1.0\n#\n\n;old\n>a\nMK\n"
    assert [(record.line, record.sequence) for record in parse(data)] == [(5, "MK")]


def test_byte_order_marks_are_dropped() -> None:
    mark = "\ufeff".encode()
    assert pairs(mark + b">a\r\nMK\r\n") == [("a", "MK")]
    assert pairs(mark + b"#x\n>a\nMK\n") == [("a", "MK")]
    # As `cat a.fa b.fa` leaves it.
    assert pairs(mark * 2 + b">a\nMK\n" + mark * 3 + b">b\nAC\n") == [("a", "MK"), ("b", "AC")]


@pytest.mark.parametrize(
    ("data", "line", "seems"),
    [
        (b"@r1\nACGT\n+\nIIII\n", 1, "FASTQ"),
        (b"\n\nLOCUS       NP_1\n", 3, "GenBank"),
        (b"ID   P12345\n", 1, "UniProt"),
        (b"# STOCKHOLM 1.0\n\nseq MK\n", 1, "Stockholm"),
        (b"CLUSTAL W (1.8)\n", 1, "Clustal"),
        (b"#NEXUS\nbegin data;\n", 1, "NEXUS"),
        (b"<!DOCTYPE html>\n", 1, "HTML"),
        (b'{"a": 1}\n', 1, "JSON"),
        (b"#c\n;c\nMKTAYI\n>a\nMK\n", 3, "not FASTA"),
        (b" >a\nMK\n", 1, "not FASTA"),
    ],
)
def test_text_before_the_first_header_is_refused(data: bytes, line: int, seems: str) -> None:
    message = refusal(data)
    assert f"line {line} stands before the first header" in message
    assert seems in message


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32", "utf-16-le", "utf-16-be", "utf-32-be"])
def test_wide_text_is_refused(encoding: str) -> None:
    assert "UTF-16" in refusal("\ufeff>a\nMK\n".encode(encoding))
    assert "UTF-16" in refusal(">a\nMK\n".encode(encoding))


def test_binary_is_refused_with_its_line_after_the_records_before_it() -> None:
    records = parse_fasta([b">a\r\nMK\r\n>b\r\nAC\r\n>c\r\nM\0"])
    assert [next(records).id, next(records).id] == ["a", "b"]
    with pytest.raises(FastaFormatError, match="line 6 holds a NUL byte"):
        next(records)


def test_records_are_yielded_before_the_rest_is_read() -> None:
    def chunks() -> Iterator[bytes]:
        yield b">a\nMK\n>b\n"
        raise OSError("not yet there")

    records = parse_fasta(chunks())
    assert next(records).id == "a"
    with pytest.raises(OSError, match="not yet there"):
        next(records)


def test_too_long_records_are_only_counted() -> None:
    limit = fasta.MAX_RECORD_RESIDUES
    data = b">a\n" + b"M" * limit + b"\n>b\n" + b"M\n" * (limit + 1) + b">c x\nMK\n"
    assert [
        (record.sequence and len(record.sequence), record.length) for record in parse(data)
    ] == [
        (limit, limit),
        (None, limit + 1),
        (2, 2),
    ]
    assert scan_fasta([data]) == Counts(3, 2 * limit + 3)


@pytest.mark.parametrize("piece", [b"MKTA" * 25_000, b"MKT\n" * 25_000])
def test_memory_does_not_grow_with_a_record(piece: bytes) -> None:
    def chunks() -> Iterator[bytes]:
        yield b">a\n"
        for _ in range(300):
            yield piece

    tracemalloc.start()
    (record,) = parse_fasta(chunks())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert record == FastaRecord(0, 1, "a", "", None, 300 * len(piece.replace(b"\n", b"")))
    assert peak < 10_000_000  # the text has 30,000,000 bytes


def test_a_header_without_end_is_refused_before_it_is_read() -> None:
    def chunks() -> Iterator[bytes]:
        yield b">a\nMK\n>"
        for _ in range(20):
            yield b"x" * 100_000
        raise AssertionError("the parser keeps reading")

    records = parse_fasta(chunks())
    assert next(records).sequence == "MK"
    with pytest.raises(FastaFormatError, match="line 3 is a header of more than 1,000,000 bytes"):
        next(records)


# --- Real files ---

# What our rules make of files of which the index tells something else.
OWN_COUNTS = {
    "biopython__biopython__aster_blast.pro": (1, 138),  # without its ";" line
    "biotite-dev__biotite__selenocysteine.fasta": (1, 792),  # without its ";" line
    "sacdallago__bio_embeddings__unparsable.fasta": (3, 66),  # characters, not bytes
}
REFUSED = {
    "DERIVED__esm_few.utf16.fasta": "line 1 .*UTF-16",
    "DERIVED__phold_phanotate.badcrc.faa.gz": "gzip data are damaged",
    "DERIVED__phold_phanotate.trailing_garbage.faa.gz": "end at byte 8,397, but something else",
    "DERIVED__phold_phanotate.truncated.faa.gz": "gzip data end early, after 5,038 bytes",
    "EddyRivasLab__hmmer__globins4.sto": "line 1 .*Stockholm",
    "biopython__biopython__aster_pearson.pro": "line 1 .*'Some header'",
    "biopython__biopython__example.fastq": "line 1 .*FASTQ",
    "biopython__biopython__protein_refseq2.gb": "line 1 .*GenBank",
    "marcelm__dnaio__missingextension.gz": "line 1 .*FASTQ",
    "scikit-bio__scikit-bio__fasta_invalid_legacy_format": "line 2 .*'ACGT'",
    "scikit-bio__scikit-bio__fasta_invalid_missing_header": "line 1 .*'seq1 desc1'",
}


def indexed() -> list[tuple[str, int, int]]:
    if not SHARED.exists():
        return []
    rows = (SHARED / "data" / "INDEX.tsv").read_text().splitlines()[1:]
    fields = [row.split("\t") for row in rows]
    return [(name, int(records), int(residues)) for name, _, _, _, records, residues, *_ in fields]


@needs_shared
@pytest.mark.parametrize(("path", "records", "residues"), indexed())
def test_real_files(path: str, records: int, residues: int) -> None:
    name = Path(path).name
    chunks = decompress([(SHARED / "data" / path).read_bytes()])
    if name in REFUSED:
        with pytest.raises(FastaFormatError, match=REFUSED[name]):
            scan_fasta(chunks)
    else:
        assert scan_fasta(chunks) == Counts(*OWN_COUNTS.get(name, (records, residues)))


@needs_shared
@pytest.mark.parametrize(
    "name",
    ["oldMacCR.faa", "faa.bz2", "faa.xz", "bgzf.faa.gz", "plain_named.faa.gz",
     "gzip_without_gz_extension.faa"],
)  # fmt: skip
def test_the_same_file_in_other_clothes(name: str) -> None:
    def read(path: Path) -> list[FastaRecord]:
        return list(parse_fasta(decompress([path.read_bytes()])))

    original = read(SHARED / "data/normal/gbouras13__phold__phanotate.faa")
    assert read(SHARED / f"data/edge/DERIVED__phold_phanotate.{name}") == original

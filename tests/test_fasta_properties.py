"""What holds for the FASTA parser whatever the bytes."""

from __future__ import annotations

from contextlib import suppress
from unittest import mock

from hypothesis import given, settings
from hypothesis import strategies as st

from transforms.errors import FastaFormatError
from transforms.inputs import fasta
from transforms.inputs.fasta import Counts, FastaRecord, parse_fasta, scan_fasta

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


def outcome(chunks: list[bytes]) -> tuple[list[FastaRecord], str]:
    """The records, and the message of the error behind them."""
    records = []
    try:
        for record in parse_fasta(chunks):
            records.append(record)
    except FastaFormatError as error:
        return records, str(error)
    return records, ""


def cut(data: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[start:end] for start, end in zip(edges, edges[1:], strict=False)]


@settings(deadline=None)
@given(data=nasty, places=st.lists(st.integers(0, 200), max_size=30))
def test_chunk_edges_change_nothing(data: bytes, places: list[int]) -> None:
    assert outcome(cut(data, places)) == outcome([data])


@settings(deadline=None)
@given(data=nasty_and_long, places=st.lists(st.integers(0, 1000), max_size=30))
def test_chunk_edges_change_nothing_at_the_limits(data: bytes, places: list[int]) -> None:
    with (
        mock.patch.object(fasta, "MAX_HEADER_BYTES", 50),
        mock.patch.object(fasta, "MAX_RECORD_RESIDUES", 70),
    ):
        records, message = outcome(cut(data, places))
        whole_records, whole_message = outcome([data])
    # How much of a giant line a message quotes is left open.
    assert (records, message.split(": ")[0]) == (whole_records, whole_message.split(": ")[0])


@settings(deadline=None)
@given(st.binary(max_size=300))
def test_arbitrary_bytes_are_parsed_or_refused(data: bytes) -> None:
    with suppress(FastaFormatError):
        list(parse_fasta([data]))


@settings(deadline=None)
@given(st.binary(max_size=300))
def test_no_header_is_lost(noise: bytes) -> None:
    data = b">a\n" + noise.replace(b"\0", b"")
    # Every ">" at the start of a line is a record: none is lost.
    lines = data.replace(b"\xef\xbb\xbf", b"").splitlines()
    assert len(list(parse_fasta([data]))) == sum(line.startswith(b">") for line in lines)


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
    assert scan_fasta([text.encode()]) == Counts(len(records), sum(len(s) for _, _, s in records))

"""A fuzzer over the way from the bytes of a user's file to its records.

    python -m tests.fuzz_fasta [--lines N | --seconds S] [--seed K] [--atheris]

``--atheris`` lets coverage guide it, once ``pip install atheris`` has been run.
"""

from __future__ import annotations

import argparse
import bz2
import gzip
import inspect
import lzma
import os
import random
import re
import sys
import tempfile
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from unittest import mock

import zstandard

from transforms import compression, fasta, reading
from transforms.compression import CorruptError, TruncatedError, decompress
from transforms.errors import FastaFormatError
from transforms.fasta import Counts, FastaRecord, parse_fasta, scan_fasta
from transforms.finding import FastaFile
from transforms.items import DeadLetter, EndOfFile, Protein

# --- What must hold ---

FILE = FastaFile("mem://in/a.faa", "a.faa", 99, 12.5)
LIMITS = ({}, {"MAX_HEADER_BYTES": 50, "MAX_RECORD_RESIDUES": 70})  # as they are; soon reached
PACK: dict[str, Callable[[bytes], bytes]] = {
    "gzip": lambda data: gzip.compress(data, 1, mtime=0),
    "bzip2": lambda data: bz2.compress(data, 1),
    "xz": lambda data: lzma.compress(data, preset=0),
    "zstd": lambda data: zstandard.ZstdCompressor(1, write_checksum=True).compress(data),
}
UNPACK: dict[bytes, Callable[[], object]] = {
    rb"\x1f\x8b": lambda: zlib.decompressobj(31),
    rb"BZh[1-9]": bz2.BZ2Decompressor,
    rb"\xfd7zXZ\0": lzma.LZMADecompressor,
    rb"\x28\xb5\x2f\xfd|[P-_]\*M\x18": lambda: zstandard.ZstdDecompressor().decompressobj(),
}
DAMAGE = (zlib.error, OSError, lzma.LZMAError, zstandard.ZstdError)
WIDE_MARKS = (b"\xff\xfe", b"\xfe\xff", b"\0\0\xfe\xff")
MARKS = re.compile(rb"^(\xef\xbb\xbf)+")
PREAMBLE = re.compile(rb";|#(?! STOCKHOLM|NEXUS)|[ \t\v\f]*\Z")
SPACE = re.compile(r"[^\S\x1c-\x1f\x85]")  # Control characters stay, so that somebody looks.
Outcome = tuple[list[FastaRecord], FastaFormatError | None]


def check(data: bytes, cuts: Sequence[int]) -> None:
    """Raises an AssertionError, ``what is wrong: details``, unless all that we promise holds.

    Args:
        data: The bytes of a file.
        cuts: Where it is cut into chunks, modulo its length.
    """
    for limits in LIMITS:
        with mock.patch.multiple(fasta, **limits) if limits else nullcontext():
            _check_records(data, cuts)
            _check_items(data, cuts)
    _check_packed(data, cuts)


def _check_records(data: bytes, cuts: Sequence[int]) -> None:
    records, error = read(decompress([data]))
    text = unpacked(data)
    if text is None:
        assert error, "damage is passed over: no error"
    else:
        _check_plain(text, records, error)
        if not error:
            counts = Counts(len(records), sum(record.length for record in records))
            assert scan_fasta(decompress([data])) == counts, f"scan_fasta differs: {counts}"
    small = range(0, len(data), 1 if len(data) <= 4096 else 4093)
    for places in (cuts, small):
        again = read(decompress(cut(data, places)))
        if text is None:  # How much is unpacked before the damage depends on the edges.
            assert again[1], f"damage is passed over: in chunks, {error} without"
        else:
            same = told(again) == told((records, error))
            assert same, f"chunk edges matter: {told(again)} is not {told((records, error))}"


def _check_plain(text: bytes, records: list[FastaRecord], error: FastaFormatError | None) -> None:
    expected, refused = plain_reading(text)
    if refused is None:
        assert not error, f"a file is refused: {error}"
        assert len(records) == len(expected), f"records are lost: {records} is not {expected}"
        assert records == expected, f"records differ: {records} is not {expected}"
    else:
        assert error, f"a file is accepted: line {refused}"
        assert str(error).startswith(f"line {refused:,} "), f"wrong line: {refused} or {error}"
        assert records == expected[: len(records)], f"records differ: {records} is not {expected}"


def _check_items(data: bytes, cuts: Sequence[int]) -> None:
    records, error = read(decompress(cut(data, cuts)))
    items = list(reading.read_items(FILE, lambda _: iter(cut(data, cuts))))
    if error:
        kinds = {TruncatedError: "truncated", CorruptError: "corrupt"}
        wanted = (DeadLetter, None, kinds.get(type(error), "not_fasta"), f"{FILE.url}: {error}")
        found = [(type(i), i.ordinal, i.error_type, i.message) for i in items]
        assert found == [wanted], f"not one dead letter: {items}"
        return
    assert items, "no item: not even an end"
    *items, end = items
    assert isinstance(end, EndOfFile), f"no end: {end}"
    assert end.records == len(items) == len(records), f"items do not add up: {items}, {end}"
    for item, record in zip(items, records, strict=True):
        fields = (item.source, item.ordinal, item.id, item.description, item.sequence)
        same = fields == (
            FILE.source,
            record.ordinal,
            record.id,
            record.description,
            record.sequence,
        )
        assert same, f"an item differs: {item} is not {record}"
        kind = Protein if record.sequence else DeadLetter
        assert isinstance(item, kind), f"an item is of the wrong kind: {item}"


def _check_packed(text: bytes, cuts: Sequence[int]) -> None:
    plain = told(read([text]))
    for name, pack in PACK.items():
        for parts in ([text], cut(text, cuts[:2])):
            members = [pack(part) for part in parts]
            packed = b"".join(members)
            again = told(read(decompress(cut(packed, cuts))))
            assert again == plain, f"{name} matters: {again} is not {plain}"
            ends = {0, *(len(b"".join(members[:count])) for count in range(len(members)))}
            for end in {place % len(packed) for place in (*cuts[:2], -1)} - ends:
                error = read(decompress(cut(packed[:end], cuts)))[1]
                assert error, f"truncated {name} is passed over: {end} of {len(packed)} bytes"


def read(text: Iterable[bytes]) -> Outcome:
    """The records of a text and the error behind them, of which there is only one kind."""
    records = []
    try:
        for record in parse_fasta(text):
            records.append(record)
    except FastaFormatError as error:
        return records, error
    except Exception as error:
        raise AssertionError(f"{type(error).__name__} escapes: {error}") from error
    return records, None


def told(outcome: Outcome) -> tuple[list[FastaRecord], str]:
    """What must not depend on chunks; how much of a giant line a message quotes may."""
    records, error = outcome
    return records, str(error or "").partition(": ")[0]


def cut(data: bytes, places: Iterable[int]) -> list[bytes]:
    edges = sorted({0, *(place % (len(data) + 1) for place in places), len(data)})
    return [data[start:end] for start, end in zip(edges, edges[1:], strict=False)]


def unpacked(data: bytes) -> bytes | None:
    """The text in a file, slowly and at once; None if it is damaged or a zip archive."""
    if data.startswith((b"PK\3\4", b"PK\5\6")):
        return None
    new_member = next((new for magic, new in UNPACK.items() if re.match(magic, data)), None)
    text = b"" if new_member else data
    while new_member and data:
        member = new_member()
        try:
            text += member.decompress(data)
        except DAMAGE:
            return None
        if not member.eof:
            return None
        data = member.unused_data.lstrip(b"\0")
    return text


def plain_reading(text: bytes) -> tuple[list[FastaRecord], int | None]:
    """The records, read line by line as the README says, and the line that is to be refused."""
    if text.startswith(WIDE_MARKS):
        return [], 1
    entries: list[tuple[int, bytes, list[bytes]]] = []
    refused = None
    for number, marked in enumerate(re.split(rb"\r\n|\r|\n", text), 1):
        line = MARKS.sub(b"", marked)
        is_header = line.startswith(b">")
        is_preamble = not entries and not is_header
        is_giant = is_header and len(line) - 1 > fasta.MAX_HEADER_BYTES
        if b"\0" in line or is_giant or (is_preamble and not PREAMBLE.match(line)):
            refused = number
            break
        if is_header:
            entries.append((number, line[1:], []))
        elif entries and not line.startswith(b";"):
            entries[-1][2].append(line)
    return [_plain_record(ordinal, *entry) for ordinal, entry in enumerate(entries)], refused


def _plain_record(ordinal: int, number: int, header: bytes, lines: list[bytes]) -> FastaRecord:
    title = _decoded(header).strip()
    id_ = (title.split() or [""])[0]
    residues = re.sub(rb"[ \t\v\f]", b"", b"".join(lines))
    is_long = len(residues) > fasta.MAX_RECORD_RESIDUES
    sequence = None if is_long else SPACE.sub("", _decoded(residues))
    length = len(residues if sequence is None else sequence)
    return FastaRecord(ordinal, number, id_, title[len(id_) :].strip(), sequence, length)


def _decoded(data: bytes) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("latin-1")


# --- Inputs ---

EDGE = Path(__file__).parents[2] / "shared" / "data" / "edge"
MARK = b"\xef\xbb\xbf"
STARTS = [b">", b">a\n", b">p1 a protein\r\nMK\r", b"\n\n>", b"; c\n>", b"#c\r>x\n", MARK + b">"]
TOKENS = [
    b"\n", b"\r", b"\r\n", b"\n>", b"\r>", b"\r\n>", b"\n>p1 first\n", b"\n;", b"\r;c>\n", b"\n#",
    b"MKT", b"mkx*-", b"MK\nTA\r\nYI\r", b" ", b"\t", b"\v\f", b">", b";", b"#", b"x>y",
    b"\xc3\xa4", b"\xe4", b"\xe2\x80\xa8", b"\xc3", b"\x85", b"\x1c", b"\xa0", b"\x01", b"\x1a",
    b"MKTAYIAKQR" * 8, b" " * 55, b"x y" * 20, b"\n" * 9, MARK, b"\n" + MARK, b"\n" + MARK + b">",
]  # fmt: skip
RARE = [b"\0", b"\xff\xfe", b"\n@r1", b"\n# STOCKHOLM", b"PK\3\4", b"\x1f\x8b", b"BZh9", MARK * 2]


def random_text(rng: random.Random) -> bytes:
    start = rng.choice(STARTS if rng.random() < 0.9 else [b"", *RARE])
    tokens = rng.choices(TOKENS, k=rng.randint(0, 120))
    if rng.random() < 0.1:
        tokens.insert(rng.randint(0, len(tokens)), rng.choice(RARE))
    if rng.random() < 0.001:  # beyond the limits as they are
        giant = rng.choice([b"M", b" ", b"K\n"]) * 1_000_010
        tokens.insert(rng.randint(0, len(tokens)), giant)
    return start + b"".join(tokens)


def mutated(rng: random.Random, data: bytes, other: bytes = b"") -> bytes:
    for _ in range(rng.randint(1, 4)):
        start = rng.randint(0, len(data))
        end = start + rng.choice([1, 10, 10_000, len(data)])
        at = rng.randint(0, len(other))
        middle = data[start:end]
        middle = rng.choice(
            [
                b"",
                middle * 2,
                middle + other[at : at + 200],
                rng.choice(TOKENS + RARE) + middle,
                bytes(byte ^ 1 << rng.randrange(8) for byte in middle[:1]) + middle[1:],
                re.sub(rb"\r\n|\r|\n", rng.choice([b"\n", b"\r", b"\r\n", b"\n\r"]), middle),
            ]
        )
        data = data[:start] + middle + data[end:]
    return data


def random_input(rng: random.Random, files: Sequence[bytes]) -> bytes:
    text = random_text(rng)
    if files and rng.random() < 0.5:
        file = rng.choice(files)
        start = rng.choice([0, rng.randint(0, len(file))])
        size = rng.choice([500, 2000, 2000, 200_000])
        text = mutated(rng, file[start : start + size], text)
    kind = rng.random()
    if kind < 0.1:
        return rng.choice([b"", b">a\n", *RARE]) + rng.randbytes(rng.randint(0, 300))
    if kind < 0.25:
        pack = rng.choice(list(PACK.values()))
        members = [pack(part) for part in cut(text, random_cuts(rng)[:2])]
        return mutated(rng, rng.choice([b"", b"\0" * 4]).join(members), pack(b">b\n"))
    return text


def random_cuts(rng: random.Random) -> list[int]:
    return [rng.randrange(1 << 20) for _ in range(rng.randint(0, 12))]


# --- The fuzzer ---


@dataclass
class Tally:
    """What was checked, and what was found."""

    lines: int = 0
    inputs: int = 0
    records: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    findings: dict[str, Path] = field(default_factory=dict)

    def take(self, data: bytes, cuts: Sequence[int]) -> None:
        """Checks an input; what is wrong with it is kept in a small file, once for each kind."""
        self.inputs += 1
        self.lines += len(re.findall(rb"\r\n|\r|\n", unpacked(data) or data))
        kind = finding(data, cuts).partition(":")[0]
        if not kind:
            records, error = read(decompress([data]))
            self.records += len(records)
            self.errors[re.sub(r"\d[\d,]*|\(.*?\)+|: .*", "…", str(error or "none"))] += 1
        elif kind not in self.findings:
            data, cuts = reduced(data, cuts, kind)
            handle, name = tempfile.mkstemp(prefix="fuzz_fasta_")
            with open(handle, "wb") as file:
                file.write(data)
            self.findings[kind] = Path(name)
            print(f"FOUND {finding(data, cuts)[:500]}\n  cuts {cuts}, {data[:200]!r}, in {name}")

    def __str__(self) -> str:
        counts = f"{self.lines:,} lines, {self.inputs:,} inputs, {self.records:,} records"
        return f"{counts}, {len(self.findings)} findings"


def finding(data: bytes, cuts: Sequence[int]) -> str:
    """What :func:`check` says; nothing if all holds."""
    try:
        check(data, cuts)
    except AssertionError as error:
        return str(error)
    return ""


def reduced(data: bytes, cuts: Sequence[int], kind: str) -> tuple[bytes, Sequence[int]]:
    """A smaller input with the same kind of finding: what can be left out is left out."""

    def is_found(data: bytes, cuts: Sequence[int]) -> bool:
        return finding(data, cuts).partition(":")[0] == kind

    cuts = () if is_found(data, ()) else cuts
    size = len(data)
    end = time.monotonic() + 60
    while size and time.monotonic() < end:
        for at in range(len(data) - size, -1, -size):
            shorter = data[:at] + data[at + size :]
            data = shorter if is_found(shorter, cuts) else data
        size //= 2
    return data, cuts


def fuzz(step: Callable[[bytes, Sequence[int]], bool], rng: random.Random) -> None:
    """Gives random inputs to ``step`` until it wants no more."""
    files = [path.read_bytes() for path in sorted(EDGE.glob("*"))]
    while step(random_input(rng, files), random_cuts(rng)):
        pass


def fuzz_guided(step: Callable[[bytes, Sequence[int]], bool], rng: random.Random) -> None:
    """The same with inputs that are bred for new ways through our code; ends the process."""
    import atheris

    for module in (compression, fasta, reading):
        for holder in (module, *(c for _, c in inspect.getmembers(module, inspect.isclass))):
            for function in vars(holder).values():
                if inspect.isfunction(function) and function.__module__ == module.__name__:
                    atheris.instrument_func(function)
    files = [path.read_bytes() for path in sorted(EDGE.glob("*"))]

    def mutate(data: bytes, max_size: int, seed: int) -> bytes:
        own = random.Random(seed)
        way = own.randrange(4)
        bred = mutated(own, data) if way else random_input(own, files)
        return atheris.Mutate(data, max_size) if way > 1 else bred[:max_size]

    def take(data: bytes) -> None:
        if not step(data, random_cuts(random.Random(zlib.crc32(data)))):
            os._exit(0)

    seed = rng.randrange(1, 1 << 31)
    atheris.Setup([sys.argv[0], f"-seed={seed}", "-max_len=4096"], take, custom_mutator=mutate)
    atheris.Fuzz()

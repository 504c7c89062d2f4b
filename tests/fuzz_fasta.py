"""A fuzzer over the way from the bytes of a user's file to its records.

    python -m tests.fuzz_fasta [--lines N | --seconds S] [--seed K] [--atheris]

``--atheris`` lets coverage of our code guide it, after ``pip install atheris``.
"""

from __future__ import annotations

import argparse
import bz2
import gzip
import importlib
import lzma
import os
import random
import re
import sys
import tempfile
import time
import zlib
from collections import Counter
from collections.abc import Iterable, Sequence
from operator import attrgetter
from pathlib import Path
from unittest import mock

from zstandard import ZstdDecompressor, ZstdError, compress

from transforms import storage
from transforms.errors import FastaFormatError
from transforms.inputs import compression, fasta, reading
from transforms.inputs.finding import FastaFile
from transforms.items import DeadLetter, Protein

FILE = FastaFile("mem://in/a.faa", "a.faa", 99, 12.5)
KINDS = {  # magic, how to pack, what unpacks one member
    "gzip": (rb"\x1f\x8b", lambda b: gzip.compress(b, 1, mtime=0), lambda: zlib.decompressobj(31)),
    "bzip2": (rb"BZh[1-9]", lambda b: bz2.compress(b, 1), bz2.BZ2Decompressor),
    "xz": (rb"\xfd7zXZ\0", lambda b: lzma.compress(b, preset=0), lzma.LZMADecompressor),
    "zstd": (rb"\(\xb5/\xfd|[P-_]\*M\x18", compress, ZstdDecompressor().decompressobj),
}


def check(data: bytes, cuts: Sequence[int]) -> None:
    """Raises AssertionError, ``what is wrong: details``, where bytes in chunks are misread."""
    try:
        for header, residues in ((fasta.MAX_HEADER_BYTES, fasta.MAX_RECORD_RESIDUES), (50, 70)):
            with mock.patch.multiple(fasta, MAX_HEADER_BYTES=header, MAX_RECORD_RESIDUES=residues):
                _check_records(data, cuts)
                _check_items(cut(data, cuts))
        with mock.patch.multiple(compression, _INPUT_BYTES=100, _OUTPUT_BYTES=200):
            _check_packed(data, cuts)
    except AssertionError:
        raise
    except Exception as error:
        raise AssertionError(f"{type(error).__name__} escapes: {error}") from error


def _check_records(data: bytes, cuts: Sequence[int]) -> None:
    whole = records, error = read([data])
    small = range(0, len(data), 1 if len(data) <= 4096 else 4093)
    chunked = [read(cut(data, places)) for places in (cuts, small)]
    text = unpacked(data)
    if text is None:  # How much is unpacked before the damage is seen depends on the edges.
        assert all(error for _, error in (whole, *chunked)), f"damage is passed over: {whole}"
        return
    assert chunked == [whole, whole], f"chunk edges matter: {chunked}, not {whole}"
    expected, refused = plain_reading(text)
    if refused:
        assert error.startswith(f"line {refused:,} "), f"wrongly accepted: {refused}, {error}"
    else:
        assert not error, f"wrongly refused: {error}"
        assert len(records) == len(expected), f"records are lost: {records}, not {expected}"
        sums = fasta.Counts(len(records), sum(record.length for record in records))
        assert fasta.scan_fasta(compression.decompress([data])) == sums, f"the scan differs: {sums}"
    assert records == expected[: len(records)], f"records differ: {records}, not {expected}"


def _check_items(chunks: list[bytes]) -> None:
    records, error = read(chunks)
    with mock.patch.object(storage, "open_chunks", side_effect=lambda url: iter(chunks)):
        *items, end = reading.read_items(FILE)
    if error:
        told = (items, end.ordinal, end.message.startswith(error))
        assert told == ([], None, True), f"not one dead letter: {items}, {end}, {error}"
        return
    fields = attrgetter("ordinal", "id", "description", "sequence")
    found = [(type(item), *fields(item)) for item in items]
    wanted = [(Protein if record.sequence else DeadLetter, *fields(record)) for record in records]
    assert found == wanted, f"items differ: {found}, not {wanted}"
    assert end.records == len(items), f"items do not add up: {len(items)} of {end}"


def _check_packed(text: bytes, cuts: Sequence[int]) -> None:
    plain = read([text], is_file=False)
    for name, (_, pack, _) in KINDS.items():
        for parts in ([text], cut(text, cuts[:2])):
            members = [pack(part) for part in parts]
            packed = b"".join(members)
            assert read(cut(packed, cuts)) == plain, f"{name} matters: {plain} without"
            ends = {len(b"".join(members[:count])) for count in range(len(members))}
            for end in {place % len(packed) for place in (*cuts[:2], -1)} - ends:
                assert read(cut(packed[:end], cuts))[1], f"truncated {name} is passed over: {end}"


def read(chunks: Iterable[bytes], is_file: bool = True) -> tuple[list[fasta.FastaRecord], str]:
    """The records and the error behind them, but for what it quotes: edges may change that."""
    records: list[fasta.FastaRecord] = []
    try:
        records.extend(fasta.parse_fasta(compression.decompress(chunks) if is_file else chunks))
    except FastaFormatError as error:
        return records, str(error).partition(": ")[0]
    return records, ""


def cut(data: bytes, places: Iterable[int]) -> list[bytes]:
    edges = sorted({place % (len(data) or 1) for place in (0, *places)})
    return [data[start:end] for start, end in zip(edges, [*edges[1:], len(data)], strict=True)]


def unpacked(data: bytes) -> bytes | None:
    """The text in a file, all at once; None if it is damaged or a zip archive."""
    new_member = next((new for magic, _, new in KINDS.values() if re.match(magic, data)), None)
    if new_member is None:
        return None if data.startswith((b"PK\3\4", b"PK\5\6")) else data
    text = b""
    try:
        while data:
            member = new_member()
            text += member.decompress(data)
            if not member.eof:
                return None
            data = member.unused_data.lstrip(b"\0")
    except (zlib.error, OSError, lzma.LZMAError, ZstdError):
        return None
    return text


def plain_reading(text: bytes) -> tuple[list[fasta.FastaRecord], int | None]:
    """The records, read line by line as the README says, and the line that is to be refused."""
    is_wide = text.startswith((b"\xff\xfe", b"\xfe\xff"))
    entries, refused = [], None
    for number, marked in enumerate(re.split(rb"\r\n?|\n", text), 1):
        line = re.sub(rb"^(\xef\xbb\xbf){1,8}", b"", marked)
        is_header = line.startswith(b">")
        is_giant = is_header and len(line) - 1 > fasta.MAX_HEADER_BYTES
        is_stray = not re.match(rb"[>;]|#(?! STOCKHOLM|NEXUS)|[ \t\v\f]*\Z", line) and not entries
        if is_wide or b"\0" in line or is_giant or is_stray:
            refused = number
            break
        if is_header:
            entries.append((number, line[1:], []))
        elif entries and not line.startswith(b";"):
            entries[-1][2].append(line)
    return [_plain_record(ordinal, *entry) for ordinal, entry in enumerate(entries)], refused


def _plain_record(ordinal: int, line: int, header: bytes, body: list[bytes]) -> fasta.FastaRecord:
    id_, rest = re.match(r"\s*(\S*)\s*(.*)", _decoded(header), re.DOTALL).groups()
    residues = re.sub(rb"[ \t\v\f]", b"", b"".join(body))
    sequence = _decoded(residues) if len(residues) <= fasta.MAX_RECORD_RESIDUES else None
    return fasta.FastaRecord(ordinal, line, id_, rest.rstrip(), sequence, len(sequence or residues))


def _decoded(data: bytes) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("latin-1")


EDGE = Path(__file__).parents[2] / "shared" / "data" / "edge"
STARTS = [b">", b">a\n", b">p1 a\r\nMK\r", b"\n;c\n>", b"#c\r>x\n", b"\xef\xbb\xbf>", b" " * 55]
TOKENS = [
    b"\n", b"\r", b"\r\n", b"\n>", b"\r>", b"\r\n>", b"\n>p1 first\n", b"\n;", b"\r;c>\n", b"\n#",
    b"MKT", b"mkx*-", b"MK\nTA\r\nYI\r", b" ", b"\t", b"\v\f", b">", b";", b"#", b"x>y", b"\x01",
    b"\n\xef\xbb\xbf>", b"\xef\xbb\xbf", b"\xef\xbb\xbf" * 2, b"\xe2\x80\xa8", b"\x85", b"\x1c",
    b"\xc3\xa4", b"\xe4", b"\xc3", b"MK" * 13, b"MK" * 35, b" " * 55, b"x y" * 8, b"\n" * 9,
]  # fmt: skip
RARE = [b"\0", b"\xff\xfe", b"\n@r", b"\n# STOCKHOLM", b"PK\3\4", b"\x1f\x8b", b"BZh9", b"{"]


def random_input(rng: random.Random, files: Sequence[bytes]) -> tuple[bytes, list[int]]:
    kind, cuts = rng.random(), rng.sample(range(1 << 20), rng.randint(0, 12))
    if kind < 0.1:
        return rng.choice([b"", b">a\n", *RARE]) + rng.randbytes(rng.randint(0, 300)), cuts
    text = rng.choice(STARTS if rng.random() < 0.9 else [b"", *RARE])
    text += b"".join(rng.choices(TOKENS * 20 + RARE, k=rng.randint(0, 120)))
    if files and rng.random() < 0.5:
        file = rng.choice(files)
        start = rng.choice([0, rng.randint(0, len(file))])
        text = mutated(rng, file[start : start + rng.choice([500, 2000, 2000, 200_000])], text)
    if kind < 0.25:
        _, pack, _ = rng.choice(list(KINDS.values()))
        members = [pack(part) for part in cut(text, cuts[:2])]
        text = mutated(rng, rng.choice([b"", b"\0" * 4]).join(members), pack(b">b\n"))
    return text, cuts


def mutated(rng: random.Random, data: bytes, other: bytes = b"") -> bytes:
    for _ in range(rng.randint(1, 4)):
        start, at = rng.randint(0, len(data)), rng.randint(0, len(other))
        end = start + rng.choice([1, 10, 10_000, len(data)])
        middle = data[start:end]
        flipped = bytes(byte ^ 1 << rng.randrange(8) for byte in middle[:1]) + middle[1:]
        other_ends = re.sub(rb"\r\n?|\n", rng.choice([b"\n", b"\r", b"\r\n", b"\n\r"]), middle)
        inserted = rng.choice([*TOKENS, *RARE, *[other[at : at + 200]] * 20]) + middle
        middle = rng.choice([b"", middle * 2, flipped, other_ends, inserted])
        data = data[:start] + middle + data[end:]
    return data


def finding(data: bytes, cuts: Sequence[int]) -> str:
    try:
        check(data, cuts)
    except AssertionError as error:
        return str(error)
    return ""


def reduced(data: bytes, cuts: Sequence[int], what: str) -> tuple[bytes, Sequence[int]]:
    """Leaves out what a finding can do without, for at most a minute."""
    cuts = () if finding(data, ()).startswith(what) else cuts
    size, end = len(data), time.monotonic() + 60
    while size and time.monotonic() < end:
        for at in range(len(data) - size, -1, -size):
            shorter = data[:at] + data[at + size :]
            data = shorter if finding(shorter, cuts).startswith(what) else data
        size //= 2
    return data, cuts


class Fuzzer:
    """Takes inputs as long as it wants more, and keeps a small one for each kind of finding."""

    def __init__(self, lines: int, seconds: float | None = None) -> None:
        self.counts: Counter[str] = Counter()
        self.findings: dict[str, Path] = {}
        self._lines, self._seconds = lines, seconds
        self._start = time.monotonic()

    def take(self, data: bytes, cuts: Sequence[int]) -> bool:
        what = finding(data, cuts).partition(":")[0]
        records, error = ([], what) if what else read([data])
        lines = re.findall(rb"\r\n?|\n", unpacked(data) or data)
        self.counts.update({"inputs": 1, "lines": len(lines), "records": len(records)})
        self.counts[re.sub(r"\d[\d,]*|\(.*?\)+", "…", error or "no error")] += 1
        if what and what not in self.findings:
            data, cuts = reduced(data, cuts, what)
            path = self.findings[what] = Path(tempfile.mkdtemp(prefix="fuzz_fasta_"), "input")
            path.write_bytes(data)
            print(f"FOUND {finding(data, cuts):.500}\n  {data[:200]!r}, cuts {cuts}, in {path}")
        passed = time.monotonic() - self._start
        more = passed < self._seconds if self._seconds else self.counts["lines"] < self._lines
        if not more or self.counts["inputs"] % 5000 == 0:
            counts = (f"{count:12,} {what}" for what, count in self.counts.most_common())
            print(f"{passed:.0f} s, {len(self.findings)} findings", *counts, sep="\n", flush=True)
        return more


def guide(fuzzer: Fuzzer, rng: random.Random, files: Sequence[bytes]) -> None:
    """Breeds inputs for new ways through our code, and ends the process when done."""
    import atheris

    with atheris.instrument_imports(include=["transforms"]):
        for module in (compression, fasta, reading):
            importlib.reload(module)

    def mutate(data: bytes, size: int, seed: int) -> bytes:
        rng = random.Random(seed)
        own = mutated(rng, data) if rng.random() < 0.9 else random_input(rng, files)[0]
        return own[:size] if rng.random() < 0.5 else atheris.Mutate(data, size)

    def take(data: bytes) -> None:
        if not fuzzer.take(data, random.Random(data).sample(range(1 << 20), 8)):
            os._exit(bool(fuzzer.findings))

    seed = rng.randrange(1, 1 << 31)
    atheris.Setup([sys.argv[0], f"-seed={seed}", "-max_len=4096"], take, custom_mutator=mutate)
    atheris.Fuzz()


def main() -> bool:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lines", type=int, default=100_000)
    parser.add_argument("--seconds", type=float)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--atheris", action="store_true")
    options = parser.parse_args()
    fuzzer, rng = Fuzzer(options.lines, options.seconds), random.Random(options.seed)
    files = [path.read_bytes() for path in sorted(EDGE.glob("*"))]
    if options.atheris:
        guide(fuzzer, rng, files)
    while fuzzer.take(*random_input(rng, files)):
        pass
    return bool(fuzzer.findings)


if __name__ == "__main__":
    sys.exit(main())

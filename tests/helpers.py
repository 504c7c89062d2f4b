"""Builders that several tests share: items whose fields agree, and outputs below a folder."""

from __future__ import annotations

import hashlib
import io
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from transforms.items import DeadLetter, EmbeddingBlock, EndOfFile, Item, Protein
from transforms.output.commits import FileRecord, Output
from transforms.output.parts import write_part

DIM = 4


def sha256(text: str | bytes) -> str:
    return hashlib.sha256(text.encode() if isinstance(text, str) else text).hexdigest()


def make_protein(ordinal: int = 0, source: str = "a.fa", **fields: Any) -> Protein:
    """A record as CheckResidues leaves it."""
    sequence = fields.setdefault("sequence", "MKTAYI")
    fields.setdefault("id", f"{source}-{ordinal}")
    fields.setdefault("description", "a protein")
    fields.setdefault("file_sha256", sha256(source))
    fields.setdefault("sequence_sha256", sha256(sequence))
    fields.setdefault("residues_used", len(sequence))
    return Protein(source=source, ordinal=ordinal, **fields)


def make_dead_letter(ordinal: int | None = 0, source: str = "a.fa", **fields: Any) -> DeadLetter:
    """A record that failed; with ordinal None a file that could not be read."""
    sequence = fields.setdefault("sequence", None if ordinal is None else "MKT1")
    fields.setdefault("id", "" if ordinal is None else f"{source}-{ordinal}")
    fields.setdefault("description", "")
    fields.setdefault("length", len(sequence or ""))
    fields.setdefault("sequence_sha256", sha256(sequence) if sequence else "")
    fields.setdefault("file_sha256", "" if ordinal is None else sha256(source))
    fields.setdefault("stage", "read" if ordinal is None else "residues")
    fields.setdefault("error_type", "truncated" if ordinal is None else "invalid_residue")
    fields.setdefault("message", "it does not work")
    fields.setdefault("attempts", 1)
    fields.setdefault("time", "2026-01-31T12:00:00Z")
    return DeadLetter(source=source, ordinal=ordinal, **fields)


def make_end(records: int, source: str = "a.fa", **fields: Any) -> EndOfFile:
    fields.setdefault("file_sha256", sha256(source))
    fields.setdefault("url", f"/data/{source}")
    fields.setdefault("size", 100)
    fields.setdefault("mtime", 1.5)
    fields.setdefault("residues", 6 * records)
    return EndOfFile(source=source, records=records, **fields)


def make_file_record(
    source: str = "a.fa", rows: int = 0, dead_letters: int = 0, **fields: Any
) -> FileRecord:
    """A finished file of records of six residues, without a .pt."""
    fields.setdefault("url", f"/data/{source}")
    fields.setdefault("size", 100)
    fields.setdefault("mtime", 1.5)
    fields.setdefault("sha256", sha256(source))
    fields.setdefault("records", rows + dead_letters)
    fields.setdefault("residues", 6 * rows)
    for name, value in (("parts", ()), ("pt", None), ("pt_sha256", None)):
        fields.setdefault(name, value)
    return FileRecord(source=source, rows=rows, dead_letters=dead_letters, **fields)


def vector_of(protein: Protein, dim: int = DIM) -> np.ndarray:
    """The vector that every test gives a record: none has that of another."""
    seed = zlib.crc32(f"{protein.source} {protein.ordinal}".encode())
    return np.random.default_rng(seed).standard_normal(dim, dtype=np.float32)


def make_block(*proteins: Protein, vectors: Any = None, dim: int = DIM) -> EmbeddingBlock:
    if vectors is None:
        vectors = [vector_of(protein, dim) for protein in proteins]
    return EmbeddingBlock(proteins, np.array(vectors, dtype=np.float32).reshape(len(proteins), -1))


def make_output(tmp_path: Path, **fields: Any) -> Output:
    fields.setdefault("root", str(tmp_path / "out"))
    Path(fields["root"]).mkdir(parents=True, exist_ok=True)
    fields.setdefault("run", "run1")
    fields.setdefault("model", "demo")
    fields.setdefault("revision", "rev1")
    return Output(**fields)


def commit(output: Output, *items: Item, sequence: int = 0) -> str:
    """Writes a part and returns its name."""
    name = f"part-{output.run}-0-{sequence}"
    write_part(name, items, output)
    return name


def files_below(folder: str | Path) -> list[str]:
    root = Path(folder)
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


def assert_same_bits(actual: np.ndarray, expected: Iterable[Any]) -> None:
    """Unlike ==, this holds NaN equal to itself and -0.0 different from 0.0."""
    wanted = np.array(list(expected), dtype=np.float32).reshape(actual.shape)
    assert actual.dtype == np.float32
    assert actual.tobytes() == wanted.tobytes()


class Upload(io.BytesIO):
    """A handle of an object store: what was written is there as soon as it is closed."""

    def __init__(self, bucket: dict[str, bytes], url: str) -> None:
        super().__init__()
        self._bucket, self._url = bucket, url

    def close(self) -> None:
        if not self.closed:
            self._bucket[self._url] = self.getvalue()
        super().close()


def no_sleep(seconds: float) -> None:
    """Where a test is to see that nobody waits."""
    pytest.fail(f"it wanted to wait for {seconds} s")

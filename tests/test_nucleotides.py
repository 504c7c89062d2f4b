"""Tests of the warning that a FASTA file seems to hold nucleotides."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from tests.processes import REPO, SHARED, needs_shared
from transforms import storage
from transforms.inputs.finding import find_fasta
from transforms.inputs.nucleotides import (
    MOST_FILES,
    MOST_REMOTE_FILES,
    find_nucleotides,
    seems_nucleotides,
    tell_nucleotides,
)

GENE = "ATGGCGTTTAACCCGGGTACGTNNACGTACGTTGACGTAACC"
PROTEIN = "MVLSPADKTNVKAAWGKVGAHAGEYGAEALERMFLSFPTTKTY"


@pytest.mark.parametrize(
    ("sequences", "expected"),
    [
        ([GENE], True),
        ([GENE.lower()], True),
        ([GENE.replace("T", "U")], True),
        ([GENE[:20], GENE[20:]], True),
        ([GENE + "RYK"], True),  # letters that stand for several nucleotides
        ([PROTEIN], False),
        ([GENE, PROTEIN], False),
        (["ACGT"], False),  # too short to tell
        ([], False),
    ],
)
def test_letters_tell(sequences: list[str], expected: bool) -> None:
    assert seems_nucleotides(sequences) is expected


def write(folder: Path, **texts: str) -> list[str]:
    for name, text in texts.items():
        (folder / name.replace("_", ".")).write_text(text)
    return [str(folder)]


def found(patterns: list[str]) -> list[str]:
    return [file.source for file in find_nucleotides(find_fasta(patterns).files)]


def test_files_are_named_with_what_to_do(tmp_path: Path) -> None:
    patterns = write(tmp_path, a_faa=f">p\n{PROTEIN}\n", genes_fna=f">g\n{GENE}\n>h\n{GENE}\n")
    files = find_nucleotides(find_fasta(patterns).files)
    (sentence,) = tell_nucleotides(file.source for file in files)
    assert sentence.startswith("note: genes.fna seems to hold nucleotides.")
    assert "give the translated proteins" in sentence


def test_compressed_files_and_endless_lines_are_looked_into(tmp_path: Path) -> None:
    (tmp_path / "genome.fa.gz").write_bytes(gzip.compress(b">chromosome\n" + b"ACGT" * 1_000_000))
    assert found([str(tmp_path)]) == ["genome.fa.gz"]


def test_what_cannot_be_read_is_left_to_the_run(tmp_path: Path) -> None:
    write(tmp_path, table_fa="id,sequence\n")
    (tmp_path / "cut.fa.gz").write_bytes(gzip.compress(GENE.encode())[:12])
    gone = find_fasta(write(tmp_path, gone_fa=f">g\n{GENE}\n"))
    (tmp_path / "gone.fa").unlink()
    assert find_nucleotides(gone.files) == []


@pytest.mark.parametrize(
    ("are_local", "most"), [(True, MOST_FILES), (False, MOST_REMOTE_FILES)], ids=["local", "remote"]
)
def test_few_files_are_opened_and_those_named_fna_first(
    are_local: bool, most: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    proteins = {f"a{number:02}_faa": f">p\n{PROTEIN}\n" for number in range(MOST_FILES + 3)}
    write(tmp_path, **proteins, z_fna=f">g\n{GENE}\n")
    opened: list[str] = []

    def open_chunks(url: str, size: int):
        opened.append(Path(url).name)
        yield Path(url).read_bytes()

    listed = find_fasta([str(tmp_path)]).files
    monkeypatch.setattr(storage, "open_chunks", open_chunks)
    monkeypatch.setattr(storage, "is_local", lambda url: are_local)
    assert [file.source for file in find_nucleotides(listed)] == ["z.fna"]
    assert opened == ["z.fna", *(f"a{number:02}.faa" for number in range(most - 1))]


@needs_shared
def test_no_real_protein_file_is_taken_for_nucleotides() -> None:
    patterns = [str(SHARED / "data/normal"), str(SHARED / "data/large"), str(REPO / "examples")]
    for file in find_fasta(patterns).files:
        assert find_nucleotides([file]) == []

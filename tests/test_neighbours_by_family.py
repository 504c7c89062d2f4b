"""Tests of ``examples/labelled``: its proteins, and the script that judges neighbours."""

from __future__ import annotations

import csv
import importlib.util
import itertools
import math
from collections import Counter
from pathlib import Path
from types import ModuleType

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.reporting.composition import AMINO_ACIDS
from tests.command import exit_code_of
from transforms.inputs.fasta import parse_fasta
from transforms.residues import check_alphabet, clean_sequence

LABELLED = Path(__file__).parents[1] / "examples/labelled"


def load_script() -> ModuleType:
    path = LABELLED / "neighbours_by_family.py"
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


script = load_script()


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    lengths = math.sqrt(sum(x * x for x in a)) * math.sqrt(sum(x * x for x in b))
    return round(sum(x * y for x, y in zip(a, b, strict=True)) / lengths, 9) if lengths else 0.0


@pytest.mark.parametrize("subtract_mean", [False, True])
def test_neighbours_are_those_of_brute_force(subtract_mean: bool) -> None:
    random = np.random.default_rng(0)
    vectors = random.standard_normal((23, 5)).astype(np.float32) + 1.0
    vectors[7] = vectors[3]  # whose neighbours tie
    values = vectors.astype(np.float64)
    values = values - values.mean(axis=0) if subtract_mean else values
    expected = [
        max((j for j in range(23) if j != i), key=lambda j: (cosine(values[i], values[j]), -j))
        for i in range(23)
    ]
    assert script.nearest(vectors, subtract_mean).tolist() == expected


def test_no_protein_is_its_own_neighbour_even_without_a_direction() -> None:
    assert script.nearest(np.zeros((3, 4))).tolist() == [1, 0, 0]


@pytest.mark.parametrize("size", [1, 2])
def test_composition_counts_words(size: int) -> None:
    sequences = ["MKTAYIAKQR", "XMKXMKU", "A", ""]
    letters = ["".join(word) for word in itertools.product(AMINO_ACIDS, repeat=size)]
    found = script.composition(sequences, size)
    assert found.shape == (4, 20**size)
    for row, sequence in zip(found, sequences, strict=True):
        words = [sequence[i : i + size] for i in range(len(sequence) - size + 1)]
        counts = Counter(word for word in words if set(word) <= set(AMINO_ACIDS))
        expected = [counts[word] / (counts.total() or 1) for word in letters]
        np.testing.assert_allclose(row, expected)


def test_precision_is_the_share_of_neighbours_with_the_label() -> None:
    assert script.precision_at_1(np.array([1, 0, 3, 0]), ["a", "a", "b", "b"]) == 0.75


def test_chance_is_the_mean_of_all_pairs() -> None:
    labels = ["a", "a", "a", "b", "b", "c"]
    pairs = [a == b for a, b in itertools.permutations(labels, 2)]
    assert script.by_chance(labels) == pytest.approx(sum(pairs) / len(pairs))


def test_what_is_confused_most_often_comes_first() -> None:
    labels = ["a", "a", "b", "c"]
    assert script.tell_confused(np.array([2, 2, 3, 2]), labels) == [
        "    2 x a -> b",
        "    1 x b -> c",
        "    1 x c -> b",
    ]


def write_output(folder: Path, vectors: dict[str, list[float]]) -> None:
    (folder / "embeddings").mkdir(parents=True)
    kind = pa.list_(pa.float32(), 2)
    rows = {"id": list(vectors), "embedding": pa.array(vectors.values(), kind)}
    pq.write_table(pa.table(rows), folder / "embeddings/part-0.parquet")


def test_the_table_has_the_figures_of_an_output(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_output(tmp_path / "out", {"p": [1, 0], "q": [0.9, 0.1], "r": [0, 1], "s": [0.1, 0.9]})
    (tmp_path / "a.faa").write_text(">p\nMMMM\n>q\nKKKK\n>r\nMMMK\n>s\nKKKM\n>unknown\nM\n")
    (tmp_path / "a.tsv").write_text('id\tkind\np\t"x\nq\t"x\nr\ty\ns\ty\nother\ty\n')
    names = [str(tmp_path / name) for name in ("out", "a.faa", "a.tsv")]
    script.main([*names, "--column", "kind"])
    printed = capsys.readouterr().out.splitlines()
    assert printed[0].startswith("4 proteins in 2 families.")
    assert [line.split()[-2:] for line in printed[2:4]] == [["1.000", "1.000"], ["0.000", "0.000"]]
    assert printed[5].split()[-1] == "0.333"
    assert printed[-1] == "  nothing"


def test_ids_that_do_not_fit_are_told_of(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_output(tmp_path / "out", {"p": [1, 0]})
    (tmp_path / "a.faa").write_text(">q\nM\n")
    (tmp_path / "a.tsv").write_text("id\tfamily\nq\tx\n")
    assert exit_code_of(script.main, *(tmp_path / name for name in ("out", "a.faa", "a.tsv"))) == 2
    said = capsys.readouterr().err
    assert "compare their ids. The first of each: OUT has p, FASTA has q, TSV has q" in said


def test_a_uniprot_header_is_found_by_its_accession(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_output(tmp_path / "out", {"sp|P69905|HBA_HUMAN": [1, 0], "tr|A0A062UAU5|X_Y": [0, 1]})
    (tmp_path / "a.faa").write_text(">sp|P69905|HBA_HUMAN\nMK\n>tr|A0A062UAU5|X_Y\nKK\n")
    (tmp_path / "a.tsv").write_text("Entry\tfamily\nP69905\tx\nA0A062UAU5\tx\n")
    script.main([str(tmp_path / name) for name in ("out", "a.faa", "a.tsv")])
    assert capsys.readouterr().out.startswith("2 proteins in 1 families.")


@pytest.mark.parametrize(
    ("table", "told"),
    [
        ("id,family\np,x\n", "after the first are: none; are there tabs between them?"),
        ("id\tkind\np\tx\n", "no column family. Its columns after the first are: kind"),
        ("", "no column family"),
    ],
)
def test_a_column_that_is_not_there_is_told(
    table: str, told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_output(tmp_path / "out", {"p": [1, 0]})
    (tmp_path / "a.faa").write_text(">p\nM\n")
    (tmp_path / "a.tsv").write_text(table)
    assert exit_code_of(script.main, *(tmp_path / name for name in ("out", "a.faa", "a.tsv"))) == 2
    assert told in capsys.readouterr().err


def test_every_example_protein_has_a_family_and_is_embedded_as_it_is() -> None:
    records = list(parse_fasta([(LABELLED / "families.faa").read_bytes()]))
    with open(LABELLED / "families.tsv", newline="") as stream:
        rows = list(csv.DictReader(stream, delimiter="\t"))
    assert [record.id for record in records] == [row["id"] for row in rows]
    assert len({record.sequence for record in records}) == len(records) == 240
    assert set(Counter(row["family"] for row in rows).values()) == {12}
    for record, row in zip(records, rows, strict=True):
        assert record.description == f"{row['family']} OS={row['organism']}"
        assert record.sequence
        check_alphabet(record.sequence)
        assert clean_sequence(record.sequence) == (record.sequence, "")


def test_the_examples_are_small_and_say_whose_they_are() -> None:
    assert sum(path.stat().st_size for path in LABELLED.iterdir() if path.is_file()) < 150_000
    told = (LABELLED / "README.md").read_text()
    assert "CC BY 4.0" in told
    assert "UniProt" in told

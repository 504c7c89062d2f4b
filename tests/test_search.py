"""Tests of ``python -m pipeline.search``."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.dataset as ds
import pytest

from pipeline import search
from pipeline.compaction import compact_output
from pipeline.searching.nearest import search_rows
from pipeline.searching.queries import Queries, Query
from pipeline.settled import read_settled
from tests.command import embed, run_without_model_libraries, said_by
from tests.helpers import commit, make_block, make_output, vector_of
from tests.helpers import make_protein as protein
from transforms.output.commits import read_commits
from transforms.output.configuration import write_configuration
from transforms.output.neighbours import DECIMALS
from transforms.output.parquet import to_matrix

HEADER = "query\trank\tcosine\tsource\tordinal\tid\taccession\tdescription\tsequence_length"


def random_fasta(count: int, seed: int) -> str:
    rng = np.random.default_rng(seed)
    letters = np.array(list("ACDEFGHIKLMNPQRSTVWY"))
    sequences = ("".join(rng.choice(letters, 10 + number % 50)) for number in range(count))
    return "".join(f">{seed}-{n} number {n}\n{s}\n" for n, s in enumerate(sequences))


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An output of several parts, and a file in ``embeddings/`` that no commit names."""
    folder = tmp_path_factory.mktemp("search")
    (folder / "in").mkdir()
    (folder / "in/a.faa").write_text(
        random_fasta(150, 1) + ">same one\nMKTAYIAKQR\n>sp|P12345|X_Y a\tb\nMKTAYIAKQR\n>bad\nM1\n"
    )
    (folder / "in/b.faa").write_text(random_fasta(40, 2) + ">same other\nMKTAYIAKQR\n")
    options = ("--truncation_seq_length", "40", "--toks_per_batch", "64")
    assert embed(folder / "in", folder / "out", *options) == 3
    parts = list((folder / "out/embeddings").iterdir())
    assert len(parts) > 1
    return folder / "out"


@pytest.fixture
def with_stray(out: Path, tmp_path: Path) -> Path:
    """The same, with rows that no commit names."""
    copy = Path(shutil.copytree(out, tmp_path / "out"))
    part = next((copy / "embeddings").iterdir())
    shutil.copy(part, copy / "embeddings/part-of-a-killed-run.parquet")
    return copy


Search = Callable[..., tuple[int, str, str]]


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Search:
    """Searches in this process; returns the exit code and what was said."""
    return partial(said_by, search.main, capsys)


def read_rows(out: Path) -> tuple[list[dict[str, Any]], np.ndarray]:
    table = ds.dataset(out / "embeddings", format="parquet").to_table()
    vectors = to_matrix(table.column("embedding")).astype(np.float64)
    return table.drop_columns(["embedding"]).to_pylist(), vectors


def test_records_are_embedded_like_the_rows_and_agree_with_brute_force(
    out: Path, with_stray: Path, tmp_path: Path, call: Search
) -> None:
    rows, vectors = read_rows(out)
    units = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    # What the output holds, so that brute force knows the vectors: also one that is truncated.
    shutil.copy(out.parent / "in/b.faa", query := tmp_path / "query.faa")
    code, said, told = call(with_stray, "--query", query, "--top", "7", "--json")
    assert code == 0
    assert "searched with 41 proteins among 193 in " in told
    found = [json.loads(line) for line in said.splitlines()]
    assert len(found) == 41 * 7
    order = {row["ordinal"]: i for i, row in enumerate(rows) if row["source"] == "b.faa"}
    for ordinal in range(41):
        cosines = np.round(units @ units[order[ordinal]], DECIMALS)
        keys = [(-c, r["source"], r["ordinal"]) for c, r in zip(cosines, rows, strict=True)]
        best = sorted(range(len(rows)), key=keys.__getitem__)[:7]
        hits = found[7 * ordinal :][:7]
        assert [hit["rank"] for hit in hits] == list(range(1, 8))
        assert {(h["query_source"], h["query_ordinal"]) for h in hits} == {("query.faa", ordinal)}
        for hit, row in zip(hits, (rows[i] for i in best), strict=True):
            assert {name: row[name] for name in hit.keys() & row.keys()} == {
                name: hit[name] for name in hit.keys() & row.keys()
            }
        np.testing.assert_allclose([h["cosine"] for h in hits], cosines[best], atol=1e-6)


def test_what_fails_is_told_and_the_others_are_searched_with(
    out: Path, tmp_path: Path, call: Search
) -> None:
    (tmp_path / "q").mkdir()
    (tmp_path / "q/a.faa").write_text(">good\nmktayiakqr*\n>wrong\nMK7\n>none\n")
    (tmp_path / "q/b.faa").write_text("LOCUS\n")
    code, said, told = call(out, "--query", tmp_path / "q", "--top", "3")
    assert code == 3
    lines = [line.split("\t") for line in said.splitlines()]
    assert "\t".join(lines[0]) == HEADER
    assert [line[:2] + line[3:] for line in lines[1:]] == [
        ["good", "1", "a.faa", "150", "same", "", "one", "10"],
        ["good", "2", "a.faa", "151", "sp|P12345|X_Y", "P12345", r"a\tb", "10"],
        ["good", "3", "b.faa", "40", "same", "", "other", "10"],
    ]
    assert {line[2] for line in lines[1:]} == {"1.000000000"}
    failed = [line for line in told.splitlines() if line.startswith("failed: ")]
    assert len(failed) == 3
    assert "a.faa, wrong, record 2: '7' at position 3 is not an amino acid" in told
    assert "a.faa, none, record 3: " in told
    assert "GenBank" in told

    code, said, told = call(out, "--query", tmp_path / "q/b.faa", "--json")
    assert (code, said) == (3, "")
    (tmp_path / "empty.faa").write_text("")
    code, said, told = call(out, "--query", tmp_path / "empty.faa")
    assert (code, said) == (2, "")
    assert "holds no record" in told


def test_another_model_is_refused_and_an_id_needs_none(
    with_stray: Path, tmp_path: Path, call: Search
) -> None:
    bound = with_stray / "commits/output.json"
    configuration = json.loads(bound.read_text())
    bound.write_text(json.dumps(configuration | {"fingerprint": "another"}))
    (tmp_path / "q.faa").write_text(">q\nMKTAYIAKQR\n")
    code, said, told = call(with_stray, "--query", tmp_path / "q.faa")
    assert (code, said) == (2, "")
    assert "demo is not the model that the output was made with" in told
    assert "Give --model" in told
    assert "--id" in told
    code, _, told = call(with_stray, "--query", tmp_path / "q.faa", "--model", "./nowhere")
    assert code == 2
    assert "no directory ./nowhere" in told

    # By accession, by an id of several rows, and into a file; none is its own neighbour.
    target = tmp_path / "hits.tsv"
    ids = ("--id", "P12345", "--id", "same")
    code, said, told = call(with_stray, *ids, "--top", "2", "--out", target)
    assert (code, said) == (0, "")
    lines = [line.split("\t") for line in target.read_text().splitlines()]
    assert [line[:2] + line[3:5] for line in lines[1:]] == [
        ["sp|P12345|X_Y", "1", "a.faa", "150"],
        ["sp|P12345|X_Y", "2", "b.faa", "40"],
        ["same", "1", "a.faa", "151"],
        ["same", "2", "b.faa", "40"],
        ["same", "1", "a.faa", "150"],
        ["same", "2", "a.faa", "151"],
    ]
    code, said, _ = call(with_stray, "--id", "same", "--source", "b.faa", "--top", "1")
    assert [line.split("\t")[3:5] for line in said.splitlines()[1:]] == [["a.faa", "150"]]


def test_what_cannot_be_searched_is_refused(out: Path, tmp_path: Path, call: Search) -> None:
    made = make_output(tmp_path)
    (tmp_path / "folder").mkdir()
    for where, args, reason in (
        (
            out,
            ("--id", "same", "--id", "no\x1bone"),
            r"no protein with the id or accession 'no\x1bone'",
        ),
        (out, ("--id", "same", "--source", "c.faa"), "c.faa in "),
        (out, ("--id", "\udcff"), r"--id '\udcff' is not UTF-8"),
        (out, ("--query", tmp_path / "none.faa"), "none.faa"),
        (out, ("--query", "x", "--source", "a.faa"), "--source"),
        (out, ("--id", "same", "--device", "cuda"), "are for a --query"),
        (out, ("--id", "same", "--out", tmp_path / "no/where.tsv"), "there is no folder"),
        (out, ("--id", "same", "--out", tmp_path / "folder"), "is a folder"),
        (out, ("--id", "same", "--out", out / "embeddings/x.parquet"), "lies in the output"),
        (made.root, ("--id", "same"), "is not an output"),
    ):
        code, said, told = call(where, *args)
        assert (code, said) == (2, "")
        assert reason in told
        assert len(told.splitlines()) == 1
    damaged = Path(shutil.copytree(out, tmp_path / "damaged"))
    part = next((damaged / "embeddings").iterdir())
    part.write_bytes(part.read_bytes()[:-9])
    code, _, told = call(damaged, "--id", "same")
    assert code == 2
    assert f"{part} is damaged" in told
    recorded = json.loads((out / "commits/output.json").read_text())
    write_configuration(made.root, recorded)
    code, _, told = call(Path(made.root), "--id", "same")
    assert code == 2
    assert "holds no embedded protein yet" in told


def test_parts_that_are_merged_meanwhile_are_looked_for_again(tmp_path: Path) -> None:
    made = make_output(tmp_path)
    write_configuration(made.root, {"model": "demo"})
    proteins = [protein(number) for number in range(30)]
    for start in range(0, 30, 5):
        commit(made, make_block(*proteins[start : start + 5]), sequence=start)
    before = read_commits(made.root)
    vectors = np.stack([vector_of(each) for each in proteins[:3]])
    asked = tuple(Query(p.id, "q.fa", p.ordinal) for p in proteins[:3])
    find = partial(search_rows, made.root, 4, Queries(asked, vectors))
    expected = find(before).hits
    assert [hit.ordinal for hit in expected[::4]] == [0, 1, 2]
    assert compact_output(made.root, 100)
    with pytest.raises(FileNotFoundError):
        find(before)
    assert read_settled(made.root, find, before).hits == expected


def test_a_search_by_id_does_not_wait_for_torch(out: Path) -> None:
    done = run_without_model_libraries("search", out, "--id", "P12345")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(HEADER)


def test_which_of_the_rows_of_an_id_each_list_is_for_is_told(out: Path, call: Search) -> None:
    code, said, told = call(out, "--id", "same", "--top", "2")
    assert code == 0
    assert [line.split("\t")[1] for line in said.splitlines()] == ["rank", "1", "2", "1", "2"]
    first = "2 lists are for same, in order: a.faa, ordinal 150; b.faa, ordinal 40"
    assert told.splitlines()[0] == first
    assert "lists are for" not in call(out, "--id", "P12345")[2]

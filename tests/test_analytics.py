"""Tests of ``examples/analytics``: each script against plain NumPy, and its command as written."""

from __future__ import annotations

import importlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from argparse import ArgumentTypeError
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
import torch

from tests.helpers import (
    commit,
    make_block,
    make_dead_letter,
    make_output,
    make_protein,
    sha256,
    vector_of,
)
from tests.processes import REPO
from transforms.items import Protein
from transforms.output.commits import (
    EMBEDDINGS,
    Output,
    read_commits,
    read_part_record,
    write_part_record,
)
from transforms.output.parquet import make_schema

SCRIPTS = REPO / "examples/analytics"
NAMES = sorted(path.stem for path in SCRIPTS.glob("*.py"))
DOCS = (REPO / "docs/analytics.md").read_text()
NEEDS = {
    "bigquery_load": "google.cloud.bigquery",
    "duckdb_neighbours": "duckdb",
    "pandas_frame": "pandas",
    "polars_summary": "polars",
    "sklearn_probe": "sklearn",
    "spark_norms": "pyspark",
}
DIM = 8


def script(name: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A script as a module; its own imports are found as they are when it is run."""
    skip_without(name)
    monkeypatch.syspath_prepend(str(SCRIPTS))
    return importlib.import_module(name)


def skip_without(name: str) -> None:
    if name in NEEDS:
        pytest.importorskip(NEEDS[name], exc_type=ImportError)
    if name == "spark_norms" and not shutil.which("java"):
        pytest.skip("Spark needs Java")


def unit(vectors: np.ndarray) -> np.ndarray:
    wide = vectors.astype(np.float64)
    return wide / np.linalg.norm(wide, axis=1, keepdims=True)


A = [make_protein(i, id=f"sp|P1234{i}|NAME{i}", sequence="MKV" * (i + 1)) for i in range(6)]
B = [
    make_protein(0, "b/b.fa", id=A[0].id, sequence="MKV"),  # the same id and sequence as in a.fa
    make_protein(1, "b/b.fa", sequence="MKTAYIAK", residues_used=5),
    make_protein(2, "b/b.fa", changes="upper-cased"),
    *(make_protein(i, "b/b.fa") for i in range(3, 7)),
]
ROWS = [*A, *B]
VECTORS = np.stack([vector_of(protein, DIM) for protein in ROWS])
KEYS = [(protein.source, protein.ordinal) for protein in ROWS]


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> Output:
    """13 rows in three parts that count, and all that does not count beside them."""
    made = make_output(tmp_path_factory.mktemp("analytics"))
    for number, rows in enumerate([A[:4], [*A[4:], *B[:3]], B[3:]]):
        commit(made, make_block(*rows, dim=DIM), sequence=20 - number)
    commit(made, make_dead_letter(9), sequence=5)  # a part without rows
    old = commit(made, make_block(*B[3:], dim=DIM), sequence=0)  # merged, not removed yet
    counting = read_part_record(made.root, "part-run1-0-18")
    write_part_record(made.root, replace(counting, replaces=(old,)))
    killed = make_output(tmp_path_factory.mktemp("killed"), run="run2")
    commit(killed, make_block(make_protein(7, "b/b.fa"), dim=DIM))
    for left in Path(killed.root, EMBEDDINGS).iterdir():  # a data file without its commit
        shutil.copy(left, Path(made.root, EMBEDDINGS))
    return made


@pytest.fixture
def parts(output: Output, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    found: list[str] = script("committed_parts", monkeypatch).committed_parts(output.root)
    return found


def test_what_counts_is_what_the_package_counts(output: Output, parts: list[str]) -> None:
    counting = read_commits(output.root).parts.values()
    assert [Path(part).name for part in parts] == sorted(p.embeddings for p in counting if p.rows)
    assert ds.dataset(parts).count_rows() == 13
    assert ds.dataset(str(Path(output.root, EMBEDDINGS))).count_rows() == 13 + 4 + 1


def test_parts_may_be_merged_while_they_are_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = make_output(tmp_path)
    old = [commit(made, make_block(make_protein(i)), sequence=i) for i in (1, 2)]
    folder = Path(made.root, "commits")
    read_bytes = Path.read_bytes

    def merge_meanwhile(path: Path) -> bytes:
        content = read_bytes(path)
        if (folder / f"{old[1]}.json").exists():
            # The name of the new one sorts before that of the old ones: the listing has missed it.
            new = commit(made, make_block(make_protein(1), make_protein(2)), sequence=0)
            record = read_part_record(made.root, new)
            write_part_record(made.root, replace(record, replaces=tuple(old)))
            (folder / f"{old[1]}.json").unlink()
            (folder / f"{old[0]}.json").unlink()
        return content

    monkeypatch.setattr(Path, "read_bytes", merge_meanwhile)
    (part,) = script("committed_parts", monkeypatch).committed_parts(made.root)
    assert pq.read_metadata(part).num_rows == 2


def test_a_listing_may_miss_a_part_and_the_one_that_replaces_it(
    output: Output, parts: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    glob, torn = Path.glob, ["part-run1-0-18.json", "part-run1-0-0.json"]

    def tear_once(path: Path, pattern: str) -> list[Path]:
        names = [name for name in glob(path, pattern) if name.name not in torn]
        torn.clear()
        return names

    monkeypatch.setattr(Path, "glob", tear_once)
    assert script("committed_parts", monkeypatch).committed_parts(output.root) == parts


@pytest.mark.parametrize("name", [n for n in NAMES if n not in ("labels", "merge_data")])
def test_a_folder_without_rows_is_refused(name: str, tmp_path: Path) -> None:
    skip_without(name)
    done = subprocess.run(
        [sys.executable, SCRIPTS / f"{name}.py", tmp_path], capture_output=True, text=True
    )
    assert done.returncode == 2
    assert f"{tmp_path} holds no committed row" in done.stderr


# DuckDB


def brute_force(query: int, top: int) -> list[tuple[tuple[str, int], float]]:
    cosines = unit(VECTORS) @ unit(VECTORS)[query]
    order = [i for i in np.argsort(-cosines, kind="stable") if i != query][:top]
    return [(KEYS[i], cosines[i]) for i in order]


@pytest.mark.parametrize("wanted", [A[2].id, "P12343", A[0].id, B[4].id])
def test_neighbours_in_sql_are_those_of_brute_force(
    wanted: str, parts: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    duckdb_neighbours = script("duckdb_neighbours", monkeypatch)
    connection = duckdb_neighbours.open_proteins(parts)
    found = connection.execute(duckdb_neighbours.NEIGHBOURS, {"id": wanted, "top": 4}).fetchall()
    queries = [i for i, p in enumerate(ROWS) if wanted in (p.id, p.id.split("|")[-2:][0])]
    assert len(queries) == (2 if wanted == A[0].id else 1)
    expected = [hit for query in queries for hit in brute_force(query, 4)]
    assert [(row[3], row[4]) for row in found] == [key for key, _ in expected]
    assert [row[5] for row in found] == pytest.approx([cosine for _, cosine in expected], abs=1e-6)


def test_counts_per_file_in_sql(parts: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    duckdb_neighbours = script("duckdb_neighbours", monkeypatch)
    found = duckdb_neighbours.open_proteins(parts).execute(duckdb_neighbours.PER_FILE).fetchall()
    assert found == [("a.fa", 6, 6, 0, 10.5), ("b/b.fa", 7, 3, 1, 6.0)]


# Polars and pandas


def test_polars_counts_what_was_cut_and_changed(
    parts: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    polars_summary = script("polars_summary", monkeypatch)
    found = polars_summary.summarise(polars_summary.scan(parts)).rows()
    assert found == [("a.fa", 6, 6, 0.0, 0, 10.5), ("b/b.fa", 7, 3, 1 / 7, 1, 6.0)]


def test_polars_finds_the_least_alike_of_whole_proteins(
    parts: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    polars_summary = script("polars_summary", monkeypatch)
    found = polars_summary.least_alike(polars_summary.scan(parts), 5)
    whole = [i for i, p in enumerate(ROWS) if p.residues_used == len(p.sequence)]
    units = unit(VECTORS[whole])
    mean = units.mean(axis=0)
    cosines = units @ mean / np.linalg.norm(mean)
    expected = [KEYS[whole[i]] for i in np.argsort(cosines)[:5]]
    assert found.select("source", "ordinal").rows() == expected
    assert found["cosine"].to_list() == pytest.approx(np.sort(cosines)[:5].tolist(), abs=1e-6)


def test_pandas_rows_and_matrix_belong_together(
    parts: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    frame, vectors = script("pandas_frame", monkeypatch).load(parts)
    assert vectors.dtype == np.float32
    chosen = frame[frame["sequence_length"] > 6].sort_values(["source", "ordinal"])
    keys = list(zip(chosen["source"], chosen["ordinal"], strict=True))
    assert keys == [KEYS[i] for i, p in enumerate(ROWS) if len(p.sequence) > 6]
    assert np.array_equal(vectors[chosen.index], VECTORS[[KEYS.index(key) for key in keys]])


def test_pandas_mean_cosine_of_each_file(parts: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    pandas_frame = script("pandas_frame", monkeypatch)
    found = pandas_frame.summarise(*pandas_frame.load(parts))
    lengths = sorted(len(protein.sequence) for protein in ROWS[:6])
    assert found["median_length"]["a.fa"] == lengths[2]  # of two in the middle the shorter
    assert found["changed"].to_dict() == {"a.fa": 0, "b/b.fa": 1}
    assert found["truncated"].to_dict() == {"a.fa": 0, "b/b.fa": 1}
    for source, rows in (("a.fa", VECTORS[:6]), ("b/b.fa", VECTORS[6:])):
        cosines = unit(rows) @ unit(rows).T
        pairs = cosines[np.triu_indices(len(rows), k=1)]
        assert found["cosine"][source] == pytest.approx(pairs.mean(), abs=1e-6)
    assert np.isnan(pandas_frame.mean_cosine(VECTORS[:1]))


# PyTorch


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, list[Protein]]:
    """An output with a part of three row groups, and small parts."""
    made = make_output(tmp_path_factory.mktemp("many"))
    proteins = [make_protein(i, id=f"p{i}") for i in range(8300)]
    commit(made, make_block(*proteins[:8200], dim=DIM), sequence=0)
    for number, start in enumerate(range(8200, 8300, 20), 1):
        commit(made, make_block(*proteins[start : start + 20], dim=DIM), sequence=number)
    return made.root, proteins


@pytest.mark.parametrize("workers", [0, 2])
def test_an_epoch_has_each_row_once_with_its_label(
    workers: int, many: tuple[str, list[Protein]], monkeypatch: pytest.MonkeyPatch
) -> None:
    root, proteins = many
    dataloader = script("torch_dataloader", monkeypatch)
    parts = script("committed_parts", monkeypatch).committed_parts(root)
    assert pq.read_metadata(parts[0]).num_row_groups == 3
    labels = {f"p{i}": f"family {i % 3}" for i in range(0, 8300, 2)}
    expected = {
        vector_of(p, DIM).tobytes(): p.ordinal % 3 if p.id in labels else dataloader.UNLABELLED
        for p in proteins
    }
    loader = dataloader.make_loader(dataloader.Proteins(parts, labels, batch=100), workers)
    epochs = []
    for _ in range(2):
        rows: list[tuple[bytes, int]] = []
        for x, y in loader:
            assert (x.dtype, y.dtype) == (torch.float32, torch.int64)
            assert x.shape == (len(y), DIM)
            assert len(y) <= 100
            rows += zip([row.tobytes() for row in x.numpy()], y.tolist(), strict=True)
        assert len(rows) == len(expected) == 8300
        assert dict(rows) == expected
        epochs.append([row for row, _ in rows])
    assert epochs[0] != epochs[1]


def test_a_worker_may_have_nothing_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = make_output(tmp_path)
    commit(made, make_block(*A, dim=DIM))
    dataloader = script("torch_dataloader", monkeypatch)
    parts = script("committed_parts", monkeypatch).committed_parts(made.root)
    loader = dataloader.make_loader(dataloader.Proteins(parts, {}, batch=4), workers=2)
    rows = torch.cat([x for x, _ in loader]).numpy()
    assert sorted(map(tuple, rows)) == sorted(map(tuple, VECTORS[: len(A)]))


def test_a_batch_mixes_row_groups(
    many: tuple[str, list[Protein]], monkeypatch: pytest.MonkeyPatch
) -> None:
    root, proteins = many
    dataloader = script("torch_dataloader", monkeypatch)
    parts = script("committed_parts", monkeypatch).committed_parts(root)
    group_of = {
        vector_of(p, DIM).tobytes(): p.ordinal // 4096 if p.ordinal < 8200 else p.ordinal // 20
        for p in proteins
    }
    groups = dataloader.Proteins(parts, {}, batch=200, mixed=8)
    first = next(iter(groups))[0].numpy()
    assert {group_of[row.tobytes()] for row in first} >= {0, 1}


# scikit-learn


def test_copies_of_a_sequence_are_in_one_fold(monkeypatch: pytest.MonkeyPatch) -> None:
    sklearn_probe = script("sklearn_probe", monkeypatch)
    from sklearn.linear_model import LogisticRegression

    draw = np.random.default_rng(0)
    # Labels drawn at random: only who has seen a copy of the row can know better than chance.
    x = np.repeat(draw.standard_normal((60, 200)), 2, axis=0)
    y = np.repeat(draw.permutation(60) % 2, 2)
    copies = np.repeat(np.arange(60), 2)
    model = LogisticRegression(max_iter=1000)
    assert sklearn_probe.probe(model, x, y, copies, 5).mean() < 0.7
    assert sklearn_probe.probe(model, x, y, np.arange(120), 5).mean() > 0.85  # a leak shows
    x += y[:, None]
    assert sklearn_probe.probe(model, x, y, copies, 5).mean() == 1


def test_compositions_are_found_by_what_rows_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sklearn_probe = script("sklearn_probe", monkeypatch)
    fasta = tmp_path / "x.faa"
    fasta.write_text(">a some->protein\nAAC\nD\n>b\naacj*\n")
    found = sklearn_probe.read_compositions(str(fasta))
    assert found.keys() == {sha256("AACD"), sha256("AACX")}
    assert found[sha256("AACD")] == [0.5, 0.25, 0.25] + [0] * 17
    assert sum(found[sha256("AACX")]) == 0.75


def test_labels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    labels = script("labels", monkeypatch)
    tsv = tmp_path / "x.tsv"
    tsv.write_text('\ufeffid\tname\tmore\nP12345\t"odd" name\tx\nb\tglobin\ty\nc\t\tz\nb\tglobin\n')
    found = labels.read_labels(str(tsv))
    assert found == {"P12345": '"odd" name', "b": "globin"}
    named = labels.look_up(found, ["sp|P12345|X", "b", "c"], ["P12345", None, None])
    assert named == ['"odd" name', "globin", None]
    tsv.write_text("id\tname\nb\tglobin\nb\tactin\n")
    with pytest.raises(Exception, match="'b' is both 'globin' and 'actin'"):
        labels.read_labels(str(tsv))
    tsv.write_text("id,name\nb,globin\n")
    with pytest.raises(Exception, match="no tab in line 2"):
        labels.read_labels(str(tsv))
    with pytest.raises(ArgumentTypeError, match="No such file"):
        labels.read_labels(str(tmp_path / "none.tsv"))


def test_clusters_of_names_with_quotes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tsv = tmp_path / "x.tsv"
    tsv.write_text('a"\t"a\nb\tc\n')
    pytest.importorskip("sklearn")
    assert script("sklearn_probe", monkeypatch).read_clusters(str(tsv)) == {'"a': 'a"', "c": "b"}


def test_real_labels_and_sequences_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    folder = REPO.parent / "shared/data/labelled"
    if not folder.exists():
        pytest.skip("no ../shared/data/labelled")
    found = script("labels", monkeypatch).read_labels(str(folder / "families.tsv"))
    assert len(set(found.values())) == 142
    sequences = script("sklearn_probe", monkeypatch).read_compositions(str(folder / "families.faa"))
    assert len(sequences) == len(found) == 2629


# Spark


def test_spark_norms_and_unit_vectors(parts: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPARK_LOCAL_IP", "127.0.0.1")
    spark_norms = script("spark_norms", monkeypatch)
    from pyspark.ml.functions import vector_to_array
    from pyspark.sql import SparkSession

    spark = SparkSession.builder.config("spark.ui.enabled", False).getOrCreate()
    try:
        rows = spark.read.parquet(*parts)
        norms = np.linalg.norm(VECTORS.astype(np.float64), axis=1)
        found = [tuple(row) for row in spark_norms.per_file(rows).collect()]
        assert [row[:2] for row in found] == [("a.fa", 6), ("b/b.fa", 7)]
        expected = [norms[:6].mean(), norms[6:].mean()]
        assert [row[2] for row in found] == pytest.approx(expected, rel=1e-12)
        units = spark_norms.unit_vectors(rows).withColumn(
            "unit", vector_to_array("unit", "float32")
        )
        assert dict(units.dtypes)["unit"] == "array<float>"
        got = sorted((row["id"], *row["unit"]) for row in units.collect())
        wanted = sorted((p.id, *vector) for p, vector in zip(ROWS, unit(VECTORS), strict=True))
        assert [row[0] for row in got] == [row[0] for row in wanted]
        assert np.allclose([row[1:] for row in got], [row[1:] for row in wanted], atol=1e-6)
    finally:
        spark.stop()


# BigQuery


@pytest.mark.parametrize("of_messages", [False, True])
def test_the_table_has_the_columns_of_the_parquet(
    of_messages: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bigquery_load = script("bigquery_load", monkeypatch)
    from google.cloud.bigquery._pandas_helpers import bq_to_arrow_schema

    written = tmp_path / "x.parquet"
    pq.write_table(make_schema(DIM, of_messages=of_messages).empty_table(), written)
    stored = pq.read_schema(written)
    fields = bigquery_load.table_schema(stored)
    # The Parquet itself says what may be null: what has no definition level may not.
    column = pq.ParquetFile(written).schema.column
    modes = [
        "NULLABLE" if column(i).max_definition_level else "REQUIRED" for i in range(len(fields))
    ]
    assert [field.mode for field in fields] == [*modes[:-1], "REPEATED"]
    # What Google's client makes of the table's schema must be able to hold what is stored.
    table = bq_to_arrow_schema(fields)
    assert table.names == stored.names
    wider = {pa.int32(): pa.int64()}
    for held, given in zip(table, stored, strict=True):
        if given.name == "embedding":
            assert pa.types.is_list(held.type)
            assert held.type.value_type == pa.float64()
        else:
            assert held.type == wider.get(given.type, given.type)


class Recording:
    """Stands in for the HTTP session of Google's client; the job is done at once."""

    is_mtls = False

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []

    def request(self, method: str, url: str, data: Any = None, **more: Any) -> Any:
        import requests

        body = json.loads(data)
        self.sent.append({"method": method, "url": url, "body": body})
        response = requests.Response()
        response.status_code = 200
        response.headers["content-type"] = "application/json"
        done = {"status": {"state": "DONE"}, "statistics": {"load": {"outputRows": "13"}}}
        response._content = json.dumps({**body, **done}).encode()
        return response


def test_the_job_that_google_is_sent(parts: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    bigquery_load = script("bigquery_load", monkeypatch)
    from google.auth.credentials import AnonymousCredentials

    http = Recording()
    client = bigquery_load.bigquery.Client("project", AnonymousCredentials(), _http=http)
    assert bigquery_load.load(client, "p.d.proteins", parts, "gs://bucket/out/") == 13
    (sent,) = http.sent
    assert sent["url"].partition("?")[0].endswith("/projects/project/jobs")
    job = sent["body"]["configuration"]["load"]
    names = [Path(part).name for part in parts]
    assert job["sourceUris"] == [f"gs://bucket/out/embeddings/{name}" for name in names]
    assert job["parquetOptions"] == {"enableListInference": True}
    assert job["sourceFormat"] == "PARQUET"
    assert job["writeDisposition"] == "WRITE_TRUNCATE"
    assert job["destinationTable"] == {"projectId": "p", "datasetId": "d", "tableId": "proteins"}
    embedding = job["schema"]["fields"][-1]
    assert embedding == {"name": "embedding", "type": "FLOAT64", "mode": "REPEATED"}


# The drop-in for merge_data


def nucleotides(path: Path, ids: Iterable[str], dim: int = 3) -> np.ndarray:
    """What extract_DNABERT_S writes."""
    ids = list(ids)
    values = np.random.default_rng(1).standard_normal((len(ids), dim), dtype=np.float32)
    rows = [
        {"label": name, "mean_representation": row.tolist()}
        for name, row in zip(ids, values, strict=True)
    ]
    torch.save({"nucleotide": ids, "data": rows}, path)
    return values


def proteins(path: Path, ids: Iterable[str], dim: int = 4) -> np.ndarray:
    """What a run writes."""
    ids = list(ids)
    values = np.random.default_rng(2).standard_normal((len(ids), dim), dtype=np.float32)
    torch.save({"proteins": ids, "data": list(torch.from_numpy(values).unbind(0))}, path)
    return values


def test_what_is_merged_is_what_belongs_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    merge_data = script("merge_data", monkeypatch)
    dna, esm, out = (str(tmp_path / name) for name in ("dna.pt", "r_ESM.pt", "merged.pt"))
    first = nucleotides(Path(dna), ["s1", "s2", "s3", "s4"], 768)
    second = proteins(Path(esm), ["s4", "s1", "s9", "s3"], 1280)
    letter = {"id": "s2", "error_type": "invalid_residue", "message": "'1' at position 4"}
    (tmp_path / "r_ESM.failures.jsonl").write_text(json.dumps(letter) + "\n")
    merged = merge_data.merge_data(dna, esm, out, "viral")
    content = torch.load(out, weights_only=True)
    assert content["ids"] == merged.ids == ["s1", "s3", "s4"]
    expected = [np.concatenate([first[i], second[j]]) for i, j in ((0, 1), (2, 3), (3, 0))]
    assert content["data"].dtype == torch.float32
    assert content["data"].shape == (3, 2048)
    assert np.array_equal(content["data"].numpy(), np.stack(expected))
    assert content["labels"] == [1]
    assert (merged.without_protein, merged.without_nucleotide) == (["s2"], ["s9"])
    said = capsys.readouterr().err.splitlines()
    assert said == [
        "s2: left out, has no protein: invalid_residue: '1' at position 4",
        "s9: left out, has no nucleotide",
    ]
    merge_data.merge_data(dna, esm, out)
    assert "labels" not in torch.load(out, weights_only=True)


def test_ids_that_are_there_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    merge = script("merge_data", monkeypatch).merge
    one, two = torch.ones(2), torch.zeros(2)
    # Copies of a read are rows of their own, as they were before.
    merged = merge(["a", "b", "a"], [one, two, one], ["a", "a", "b"], [two, two, one])
    assert merged.ids == ["a", "b", "a"]
    assert merged.data.tolist() == [[1, 1, 0, 0], [0, 0, 1, 1], [1, 1, 0, 0]]
    with pytest.raises(ValueError, match="protein 'a' has two different vectors"):
        merge(["a"], [one], ["a", "a"], [one, two])
    with pytest.raises(ValueError, match="nucleotide 'a' has two different vectors"):
        merge(["a", "a"], [one, two], ["a"], [one])


def test_what_cannot_be_merged_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    merge_data = script("merge_data", monkeypatch)
    merge, one = merge_data.merge, torch.ones(2)
    with pytest.raises(ValueError, match="no id is on both sides: 'a' is a nucleotide, 'b' a prot"):
        merge(["a"], [one], ["b"], [one])
    with pytest.raises(ValueError, match="protein 'b' has 3 values, 'a' has 2"):
        merge(["a"], [one], ["a", "b"], [one, torch.ones(3)])
    dna, esm = tmp_path / "dna.pt", tmp_path / "esm.pt"
    nucleotides(dna, "ab"), proteins(esm, "ab")
    with pytest.raises(ValueError, match="esm.pt has .*, not 'nucleotide' and 'data'"):
        merge_data.merge_data(str(esm), str(dna), str(tmp_path / "out.pt"))
    torch.save([1, 2], esm)
    with pytest.raises(ValueError, match="esm.pt has list, not 'proteins' and 'data'"):
        merge_data.merge_data(str(dna), str(esm), str(tmp_path / "out.pt"))
    torch.save({"nucleotide": ["a"], "data": [{}]}, dna)
    proteins(esm, "ab")
    with pytest.raises(ValueError, match="dna.pt: an entry has no 'mean_representation'"):
        merge_data.merge_data(str(dna), str(esm), str(tmp_path / "out.pt"))
    assert not (tmp_path / "out.pt").exists()


# The commands of the scripts and the lines of the page, with what a run has made


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with labelled proteins and reads, embedded by a run with dead letters."""
    folder = tmp_path_factory.mktemp("workplace")
    (folder / "examples").symlink_to(REPO / "examples")
    (folder / "in").mkdir()
    shutil.copy(REPO / "examples/well_known.fasta", folder / "in")
    draw = np.random.default_rng(0)
    letters = np.array(list("ACDEFGHIKLMNPQRSTVWY"))
    records, labels = [], ["id\tprotein_name"]
    for family in ("globin", "actin", "kinase"):
        ancestor = draw.choice(letters, 80)
        for member in range(6):
            changed = np.where(draw.random(80) < 0.3, draw.choice(letters, 80), ancestor)
            records.append((f"{family}{member}", "".join(changed)))
            labels.append(f"{family}{member}\t{family}")
    records += [("copy", records[0][1].lower()), ("failing", "MK1V"), ("long", "MKV" * 100)]
    labels += ["copy\tglobin", "failing\tactin"]
    fasta = "".join(f">{name} a protein\n{sequence}\n" for name, sequence in records)
    (folder / "in/proteins.faa").write_text(fasta)
    (folder / "proteins.faa").write_text(fasta)
    (folder / "labels.tsv").write_text("\n".join(labels) + "\n")
    (folder / "in/reads.faa").write_text("".join(f">r{i}\nMKV{'ACDEF'[i] * 3}\n" for i in range(5)))
    run = "-m pipeline --input in --output out --model demo --truncation_seq_length 200"
    done = subprocess.run([sys.executable, *run.split()], cwd=folder, env=environment())
    assert done.returncode == 3
    nucleotides(folder / "reads_DNABERT_S.pt", (f"r{i}" for i in range(5)), 768)
    return folder


def environment(*more: Path) -> dict[str, str]:
    path = os.pathsep.join(map(str, (REPO, *more)))
    return {**os.environ, "PYTHONPATH": path, "SPARK_LOCAL_IP": "127.0.0.1"}


SAID = {
    "bigquery_load": "--parquet_enable_list_inference=true",
    "committed_parts": "out/embeddings/part-",
    "duckdb_neighbours": "sp|P69905|HBA_HUMAN",
    "merge_data": "(5, 896) of 5 ids; 0 left out",
    "pandas_frame": "rows that share their id with another: 0",
    "polars_summary": "truncated_share",
    "sklearn_probe": "19 of them, in 18 groups, have a label with 5 groups: 3 labels",
    "spark_norms": "|proteins.faa    |20      |",
    "torch_dataloader": "epoch 2: 32 rows, 19 with a label",
}


@pytest.mark.parametrize("name", [name for name in NAMES if name != "labels"])
def test_the_command_in_the_docstring_works_as_written(name: str, workplace: Path) -> None:
    skip_without(name)
    text = (SCRIPTS / f"{name}.py").read_text()
    (command,) = re.findall(r"^    python (examples/analytics/.*)$", text, re.MULTILINE)
    done = subprocess.run(
        [sys.executable, *shlex.split(command)],
        cwd=workplace, env=environment(), capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert SAID[name] in done.stdout


def test_a_command_that_leaves_ids_out_says_so(workplace: Path) -> None:
    nucleotides(workplace / "dna.pt", ["globin0", "failing", "actin1"], 768)
    command = f"{SCRIPTS}/merge_data.py dna.pt out/pt/proteins_ESM.pt some.pt --data_type host"
    done = subprocess.run(
        [sys.executable, *shlex.split(command)], cwd=workplace, capture_output=True, text=True
    )
    assert done.returncode == 3
    assert "failing: left out, has no protein: invalid_residue: '1' at position 3" in done.stderr
    assert "globin1: left out, has no nucleotide" in done.stderr
    content = torch.load(workplace / "some.pt", weights_only=True)
    assert (content["ids"], content["labels"]) == (["globin0", "actin1"], [0])


LINKED = re.compile(r"\(\.\./examples/analytics/(\w+)\.py\)")


def test_clusters_are_kept_together(workplace: Path) -> None:
    skip_without("sklearn_probe")
    # Two of each family in a cluster: three groups each.
    names = [(f"{family}{i - i % 2}", f"{family}{i}")
             for family in ("globin", "actin", "kinase") for i in range(6)]  # fmt: skip
    names.append(("globin0", "copy"))
    clusters = workplace / "c_cluster.tsv"
    clusters.write_text("".join(f"{name}\t{member}\n" for name, member in names))
    command = [sys.executable, SCRIPTS / "sklearn_probe.py", "out", "labels.tsv", "proteins.faa"]

    def run(*more: str | Path) -> subprocess.CompletedProcess[str]:
        words = [*command, "--clusters", clusters, *more]
        return subprocess.run(words, cwd=workplace, capture_output=True, text=True)

    done = run("--folds", "3")
    assert done.returncode == 0, done.stderr
    assert "failed or were never given: 1\n" in done.stdout
    assert "19 of them, in 9 groups, have a label with 3 groups: 3 labels" in done.stdout
    done = run("--folds", "4")
    assert done.returncode == 2
    assert "fewer than two labels have 4 groups" in done.stderr


BLOCKS = re.findall(r"^## (.*?)$.*?```python[^\n]*\n(.*?)```", DOCS, re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize(("title", "block"), BLOCKS, ids=[title for title, _ in BLOCKS])
def test_each_block_of_the_page_runs(title: str, block: str, workplace: Path) -> None:
    skip_without(LINKED.findall(section(title))[0])
    done = subprocess.run(
        [sys.executable, "-c", block],
        cwd=workplace, env=environment(SCRIPTS), capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def section(title: str) -> str:
    return DOCS.split(f"## {title}\n")[1].split("\n## ")[0]


def test_the_page_names_every_script() -> None:
    assert set(LINKED.findall(DOCS)) == set(NAMES)
    assert Counter(title for title, _ in BLOCKS).most_common(1)[0][1] == 1

"""Tests of the Parquet of a part: names and types are the contract."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.helpers import assert_same_bits, make_output, make_protein, sha256
from transforms.output.parquet import encode_rows, make_schema, read_columns, to_matrix

DIM = 6
CONTRACT = [
    ("id", "string", "not null"),
    ("accession", "string", "null"),
    ("description", "string", "null"),
    ("sequence_length", "int32", "not null"),
    ("residues_used", "int32", "not null"),
    ("truncated", "bool", "not null"),
    ("residue_changes", "string", "null"),
    ("sequence_sha256", "string", "not null"),
    ("source", "string", "not null"),
    ("ordinal", "int64", "not null"),
    ("model_id", "string", "not null"),
    ("model_revision", "string", "not null"),
    ("embedding", f"fixed_size_list<element: float not null>[{DIM}]", "not null"),
]

PROTEINS = [
    make_protein(0, id="sp|P12345|ÄÖ", description="a prötein", sequence="MKTAYI", residues_used=4),
    make_protein(1, id="", description="", sequence="MX", changes="1 J to X"),
    make_protein(2**40, "sub/ü.fa", id="x"),
]
# Any bits are a vector here: NaN with a payload, -0.0, subnormals.
VECTORS = np.random.default_rng(0).integers(0, 2**32, (3, DIM), dtype=np.uint32).view(np.float32)
VECTORS[0, :4] = np.nan, -0.0, np.inf, 1e-45


@pytest.fixture
def data(tmp_path: Path) -> bytes:
    output = make_output(tmp_path, configuration=(("dtype", "float32"), ("dim", DIM)))
    return encode_rows(PROTEINS, VECTORS, output)


def described(schema: pa.Schema) -> list[tuple[str, str, str]]:
    return [
        (field.name, str(field.type), "null" if field.nullable else "not null") for field in schema
    ]


def test_the_schema_is_the_contract(data: bytes) -> None:
    assert described(make_schema(DIM)) == CONTRACT
    assert described(pq.read_schema(pa.BufferReader(data))) == CONTRACT


def test_rows_of_messages_say_of_which(tmp_path: Path) -> None:
    output = make_output(tmp_path, configuration=(("inputs", "messages"),))
    origin = {"message_id": "7", "publish_time": "2026-01-31T12:00:00.000005Z"}
    proteins = [
        make_protein(0, **origin, attributes='{"a": "b"}'),
        make_protein(1, **origin),
    ]
    table = pq.read_table(pa.BufferReader(encode_rows(proteins, VECTORS[:2], output)))
    assert described(table.schema) == [
        *CONTRACT[:-1],
        ("message_id", "string", "null"),
        ("publish_time", "timestamp[us, tz=UTC]", "null"),
        ("attributes", "string", "null"),
        CONTRACT[-1],
    ]
    published = datetime(2026, 1, 31, 12, 0, 0, 5, tzinfo=UTC)
    assert table.select(["message_id", "publish_time", "attributes"]).to_pylist() == [
        {"message_id": "7", "publish_time": published, "attributes": '{"a": "b"}'},
        {"message_id": "7", "publish_time": published, "attributes": None},
    ]


def test_rows_come_back(data: bytes) -> None:
    table = pq.read_table(pa.BufferReader(data)).drop_columns("embedding")
    model = {"model_id": "demo", "model_revision": "rev1"}
    assert table.to_pylist() == [
        {
            "id": "sp|P12345|ÄÖ",
            "accession": "P12345",
            "description": "a prötein",
            "sequence_length": 6,
            "residues_used": 4,
            "truncated": True,
            "residue_changes": None,
            "sequence_sha256": sha256("MKTAYI"),
            "source": "a.fa",
            "ordinal": 0,
            **model,
        },
        {
            "id": "",
            "accession": None,
            "description": None,
            "sequence_length": 2,
            "residues_used": 2,
            "truncated": False,
            "residue_changes": "1 J to X",
            "sequence_sha256": sha256("MX"),
            "source": "a.fa",
            "ordinal": 1,
            **model,
        },
        {
            "id": "x",
            "accession": None,
            "description": "a protein",
            "sequence_length": 6,
            "residues_used": 6,
            "truncated": False,
            "residue_changes": None,
            "sequence_sha256": sha256("MKTAYI"),
            "source": "sub/ü.fa",
            "ordinal": 2**40,
            **model,
        },
    ]


def test_vectors_come_back_bit_by_bit(data: bytes) -> None:
    table = read_columns(data, ["ordinal", "embedding"])
    assert table.column_names == ["ordinal", "embedding"]
    assert table.column("embedding").null_count == 0
    assert_same_bits(to_matrix(table.column("embedding")), VECTORS)


def test_a_matrix_of_a_slice_or_of_nothing(data: bytes) -> None:
    column = read_columns(data, ["embedding"]).column("embedding")
    assert_same_bits(to_matrix(column.slice(1, 1)), VECTORS[1:2])
    joined = pa.chunked_array([column.chunk(0), column.chunk(0)])
    assert_same_bits(to_matrix(joined), [*VECTORS, *VECTORS])
    assert to_matrix(pa.chunked_array([], type=column.type)).shape == (0, DIM)


def test_vectors_may_lie_in_memory_as_they_like(tmp_path: Path) -> None:
    output = make_output(tmp_path)
    expected = encode_rows(PROTEINS, VECTORS, output)
    assert encode_rows(PROTEINS, np.asfortranarray(VECTORS), output) == expected


def test_a_part_is_one_row_group(tmp_path: Path) -> None:
    proteins = [make_protein(i) for i in range(5000)]
    data = encode_rows(proteins, np.ones((5000, 2), np.float32), make_output(tmp_path))
    metadata = pq.read_metadata(pa.BufferReader(data))
    assert (metadata.num_row_groups, metadata.num_rows) == (1, 5000)


def test_how_columns_are_written(data: bytes) -> None:
    group = pq.read_metadata(pa.BufferReader(data)).row_group(0)
    columns = {c.path_in_schema: c for c in map(group.column, range(group.num_columns))}
    assert {column.compression for column in columns.values()} == {"ZSTD"}
    assert {name for name, column in columns.items() if not column.is_stats_set} == {
        "embedding.list.element"
    }
    assert {name for name, column in columns.items() if column.has_dictionary_page} == {
        "source",
        "model_id",
        "model_revision",
    }
    assert "BYTE_STREAM_SPLIT" not in columns["embedding.list.element"].encodings


def test_ids_and_hashes_have_bloom_filters(data: bytes) -> None:
    group = pq.read_metadata(pa.BufferReader(data)).row_group(0)
    columns = [group.column(i) for i in range(group.num_columns)]
    if not hasattr(columns[0], "bloom_filter_offset"):
        pytest.skip("this pyarrow does not tell of Bloom filters")
    with_filter = {c.path_in_schema for c in columns if c.bloom_filter_offset is not None}
    assert with_filter == {"id", "sequence_sha256"}


def test_the_footer_names_the_configuration(data: bytes) -> None:
    metadata = pq.read_schema(pa.BufferReader(data)).metadata
    assert json.loads(metadata[b"esm_embed"]) == {"dtype": "float32", "dim": DIM}

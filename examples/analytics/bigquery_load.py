"""BigQuery: the table's schema, and the load of what counts, in one job that replaces the table.

    python examples/analytics/bigquery_load.py out gs://bucket/out project.dataset.proteins

``gs://bucket/out`` is where ``out`` was copied to (``gcloud storage rsync -r out gs://bucket/out``).
This prints the schema and a ``bq`` command; ``--run`` loads. Needs ``google-cloud-bigquery``.
"""

from __future__ import annotations

import argparse
import json
import shlex
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from committed_parts import committed_parts
from google.cloud import bigquery

TYPES = {
    pa.string(): "STRING",
    pa.int32(): "INT64",
    pa.int64(): "INT64",
    pa.bool_(): "BOOL",
    pa.float32(): "FLOAT64",  # BigQuery has no smaller one; every float32 is exact in it
    pa.timestamp("us", tz="UTC"): "TIMESTAMP",
}


def table_schema(schema: pa.Schema) -> list[bigquery.SchemaField]:
    """Returns the schema of the table for that of a part; vectors become ``ARRAY<FLOAT64>``."""
    return [_field(each) for each in schema]


def _field(field: pa.Field) -> bigquery.SchemaField:
    if pa.types.is_fixed_size_list(field.type):
        return bigquery.SchemaField(field.name, TYPES[field.type.value_type], "REPEATED")
    mode = "NULLABLE" if field.nullable else "REQUIRED"
    return bigquery.SchemaField(field.name, TYPES[field.type], mode)


def job_config(schema: list[bigquery.SchemaField]) -> bigquery.LoadJobConfig:
    """Returns how the parts are loaded."""
    parquet = bigquery.ParquetOptions()
    # Without it a vector is a STRUCT of a list of STRUCTs of an element.
    parquet.enable_list_inference = True
    return bigquery.LoadJobConfig(
        source_format=bigquery.SourceFormat.PARQUET,
        parquet_options=parquet,
        schema=schema,
        # Given twice, the same command must not load all rows twice.
        write_disposition=bigquery.WriteDisposition.WRITE_TRUNCATE,
    )


def uris(parts: list[str], folder: str) -> list[str]:
    """Returns where the parts are: each by name, since a ``*`` would load what does not count."""
    return [f"{folder.rstrip('/')}/embeddings/{Path(part).name}" for part in parts]


def bq_command(table: str, sources: list[str], schema: str) -> list[str]:
    """Returns the same load as words of a ``bq`` command, with the schema in a file."""
    project, name = table.split(".", 1)
    flags = ["--source_format=PARQUET", "--parquet_enable_list_inference=true", "--replace=true"]
    return ["bq", "load", *flags, f"{project}:{name}", ",".join(sources), schema]


def load(client: bigquery.Client, table: str, parts: list[str], folder: str) -> int:
    """Loads the parts, and returns how many rows the job has written."""
    config = job_config(table_schema(pq.read_schema(parts[0])))
    job = client.load_table_from_uri(uris(parts, folder), table, job_config=config)
    return int(job.result().output_rows)


def main() -> None:
    """Prints the schema and the command, or loads."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", metavar="OUTPUT", type=committed_parts)
    parser.add_argument("folder", help="gs:// URL of the copy of OUTPUT")
    parser.add_argument("table", help="project.dataset.table")
    parser.add_argument("--run", action="store_true", help="load, rather than print")
    args = parser.parse_args()
    if args.run:
        print(load(bigquery.Client(), args.table, args.parts, args.folder), "rows were loaded")
        return
    fields = [field.to_api_repr() for field in table_schema(pq.read_schema(args.parts[0]))]
    print("schema.json:\n[", ",\n ".join(map(json.dumps, fields)), "]\n", sep="")
    print(shlex.join(bq_command(args.table, uris(args.parts, args.folder), "schema.json")))


if __name__ == "__main__":
    main()

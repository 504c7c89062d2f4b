"""DuckDB: proteins per input file, and the nearest neighbours of one by cosine, in SQL.

    python examples/analytics/duckdb_neighbours.py out --id P69905

An id or accession that several rows have is searched with for each of them.
"""

from __future__ import annotations

import argparse

import duckdb
from committed_parts import committed_parts

PER_FILE = """
SELECT source, count(*) AS proteins, count(DISTINCT sequence_sha256) AS distinct_sequences,
       count(*) FILTER (truncated) AS truncated, median(sequence_length) AS median_length
FROM proteins GROUP BY source ORDER BY source
"""

# An id need not be unique, so a row is told apart from its neighbours by (source, ordinal).
NEIGHBOURS = """
WITH query AS (SELECT * FROM proteins WHERE id = $id OR accession = $id)
SELECT query.id AS query, p.id, p.description, p.source, p.ordinal,
       array_cosine_similarity(query.embedding, p.embedding) AS cosine
FROM query, proteins AS p
WHERE (p.source, p.ordinal) <> (query.source, query.ordinal)
QUALIFY row_number() OVER (
    PARTITION BY query.source, query.ordinal ORDER BY cosine DESC, p.source, p.ordinal
) <= $top
ORDER BY query.source, query.ordinal, cosine DESC, p.source, p.ordinal
"""


def open_proteins(parts: list[str]) -> duckdb.DuckDBPyConnection:
    """Returns a connection with a view ``proteins`` of the rows of some parts."""
    connection = duckdb.connect()
    stored = connection.read_parquet(parts)
    ((dim,),) = stored.project("len(embedding)").limit(1).fetchall()
    # Parquet has no fixed-size lists: DuckDB reads FLOAT[], and array_… functions want FLOAT[D] on
    # both sides. Cast once, here. (list_cosine_similarity would do without.)
    typed = stored.project(f"* REPLACE (embedding::FLOAT[{dim}] AS embedding)")
    typed.create_view("proteins")
    return connection


def main() -> None:
    """Prints both tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", metavar="OUTPUT", type=committed_parts)
    parser.add_argument("--id", required=True, help="id or accession")
    parser.add_argument("--top", type=int, default=5)
    args = parser.parse_args()
    connection = open_proteins(args.parts)
    found = connection.sql(NEIGHBOURS, params={"id": args.id, "top": args.top})
    if not len(found):
        parser.error(f"no row has the id or accession {args.id!r}, or it is the only one")
    connection.sql(PER_FILE).show()
    found.show()


if __name__ == "__main__":
    main()

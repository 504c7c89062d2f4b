"""Polars: what was cut or changed in each input file, and the proteins least like the others.

    python examples/analytics/polars_summary.py out

Vectors are read for the second table alone.
"""

from __future__ import annotations

import argparse

import numpy as np
import polars as pl
from committed_parts import committed_parts


def scan(parts: list[str]) -> pl.LazyFrame:
    """Returns the rows, of which nothing is read yet."""
    # Not scan_parquet(folder): that takes every file in it. glob=False, as paths are no patterns.
    return pl.scan_parquet(parts, glob=False)


def summarise(rows: pl.LazyFrame) -> pl.DataFrame:
    """Returns a row for each input file; the vectors are not read for it."""
    return (
        rows.group_by("source")
        .agg(
            proteins=pl.len(),
            distinct_sequences=pl.col("sequence_sha256").n_unique(),
            truncated_share=pl.col("truncated").mean(),
            # Null where nothing was changed: a comparison with "" would be null, and drop the row.
            changed=pl.col("residue_changes").is_not_null().sum(),
            median_length=pl.col("sequence_length").median(),
        )
        .sort("source")
        .collect()
    )


def least_alike(rows: pl.LazyFrame, top: int) -> pl.DataFrame:
    """Returns the whole proteins whose cosine with the mean of all is the smallest."""
    whole = rows.filter(~pl.col("truncated")).select("id", "source", "ordinal", "embedding")
    frame = whole.collect(engine="streaming")
    # The type is Array(Float32, D), so this is a float32 matrix of shape (n, D) and no list.
    vectors = frame["embedding"].to_numpy()
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    mean = unit.mean(axis=0)
    cosine = pl.Series("cosine", unit @ (mean / np.linalg.norm(mean)))
    return frame.drop("embedding").with_columns(cosine).sort("cosine").head(top)


def main() -> None:
    """Prints both tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", metavar="OUTPUT", type=committed_parts)
    parser.add_argument("--top", type=int, default=5)
    args = parser.parse_args()
    rows = scan(args.parts)
    print(summarise(rows))
    print(least_alike(rows, args.top))


if __name__ == "__main__":
    main()

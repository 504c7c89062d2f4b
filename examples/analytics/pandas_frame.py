"""pandas: the columns as a frame, the vectors as one NumPy matrix beside it.

    python examples/analytics/pandas_frame.py out

Of each input file it tells how alike its proteins are.
"""

from __future__ import annotations

import argparse
from functools import partial

import numpy as np
import pandas as pd
import pyarrow.dataset as ds
from committed_parts import committed_parts


def load(parts: list[str]) -> tuple[pd.DataFrame, np.ndarray]:
    """Returns n rows, and their vectors as float32 of shape (n, D).

    The index of a row is its place in the matrix. Sorting or filtering the frame keeps it, so
    ``vectors[frame.index]`` fits whatever is left; ``reset_index`` would break that.
    """
    table = ds.dataset(parts, format="parquet").to_table()
    # pd.read_parquet would make a column of n small arrays, dtype object. flatten, not values,
    # which of a slice gives the elements before it too.
    vectors = table["embedding"].combine_chunks().flatten().to_numpy().reshape(len(table), -1)
    return table.drop_columns(["embedding"]).to_pandas(), vectors


def mean_cosine(vectors: np.ndarray) -> float:
    """Returns the mean cosine of all pairs of n vectors; NaN for one alone."""
    n = len(vectors)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    total = np.square(unit.sum(axis=0, dtype=np.float64)).sum()  # all n² pairs, those with oneself
    return float((total - n) / (n * (n - 1))) if n > 1 else float("nan")


def summarise(frame: pd.DataFrame, vectors: np.ndarray) -> pd.DataFrame:
    """Returns a row for each input file."""
    # Null where nothing was changed, and null != "" is true: ask for notna().
    rows = frame.assign(changed=frame["residue_changes"].notna()).groupby("source")
    table = rows.agg(
        proteins=("id", "size"),
        # Of two in the middle the shorter, a length that there is, as plan and report tell it.
        median_length=("sequence_length", partial(pd.Series.quantile, interpolation="lower")),
        truncated=("truncated", "sum"),
        changed=("changed", "sum"),
    )
    return table.assign(cosine={s: mean_cosine(vectors[at]) for s, at in rows.indices.items()})


def main() -> None:
    """Prints how alike the proteins of each file are, and all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", metavar="OUTPUT", type=committed_parts)
    frame, vectors = load(parser.parse_args().parts)
    print(summarise(frame, vectors).to_string())
    print(f"\nmean cosine of all pairs, of all files: {mean_cosine(vectors):.3f}")
    # Ids need not be unique: (source, ordinal) is the key.
    print(f"rows that share their id with another: {frame['id'].duplicated(keep=False).sum()}")


if __name__ == "__main__":
    main()

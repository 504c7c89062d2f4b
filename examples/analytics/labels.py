"""Labels of proteins from a TSV, and the rows of an output that they are for."""

from __future__ import annotations

import argparse
import csv
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TextIO


@contextmanager
def opened(path: str) -> Iterator[TextIO]:
    """Opens a text that an argument names.

    Raises:
        argparse.ArgumentTypeError: It cannot be read.
    """
    try:
        with open(path, encoding="utf-8-sig") as handle:
            yield handle
    except (OSError, ValueError, csv.Error) as error:
        raise argparse.ArgumentTypeError(f"{path}: {error}") from error


def read_labels(path: str) -> dict[str, str]:
    """Returns the label of each id, from a TSV with a header: id, label, and whatever follows.

    Raises:
        argparse.ArgumentTypeError: It is no such file, or an id has two labels.
    """
    labels: dict[str, str] = {}
    with opened(path) as handle:
        rows = csv.reader(handle, delimiter="\t", quoting=csv.QUOTE_NONE)
        next(rows, None)
        for row in filter(None, rows):
            if len(row) < 2:
                raise argparse.ArgumentTypeError(f"{path}: no tab in line {rows.line_num}")
            name, label = row[:2]
            if label and labels.setdefault(name, label) != label:
                raise argparse.ArgumentTypeError(
                    f"{path}: {name!r} is both {labels[name]!r} and {label!r}"
                )
    return labels


def look_up(
    known: dict[str, str], ids: Iterable[str], accessions: Iterable[str | None]
) -> list[str | None]:
    """Returns what is known of each row by its id, else by its accession; None for nothing."""
    pairs = zip(ids, accessions, strict=True)
    return [known.get(name) or known.get(accession or "") for name, accession in pairs]

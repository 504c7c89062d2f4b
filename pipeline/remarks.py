"""What is no failure and worth a look: nucleotides, ids that records share, files passed over."""

from __future__ import annotations

from collections.abc import Collection, Iterator

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.outputs import read_run_report
from transforms.errors import ConfigurationError
from transforms.inputs.finding import Listing
from transforms.inputs.nucleotides import find_nucleotides
from transforms.output.blocks import read_blocks
from transforms.output.commits import Commits
from transforms.output.picking import parts_with_rows
from transforms.text import counted, printable

MOST_ROWS = 200_000
"""Rows of which the ids are counted at the end of a run: it takes some 60 bytes each."""

NUCLEOTIDES = "seem_nucleotides"
"""The key of a run's report under which its files are that seem to hold nucleotides."""

_MOST_SHOWN = 200


def find_suspects(root: str, listing: Listing, sources: Collection[str]) -> tuple[str, ...]:
    """Returns the files of an output that seem to hold nucleotides, by what a run looks into.

    Rows do not tell it, for they have no sequence. So what the report of the last run says goes on
    to hold, but for files that are there to be looked into again.

    Args:
        root: The output root.
        listing: The input files of the run.
        sources: The files of the output.
    """
    files = {file.source: file for file in listing.files}
    before = read_suspects(root, sources)
    again = [files[source] for source in before if source in files]
    found = {file.source for file in find_nucleotides(listing.files)}
    found.update(file.source for file in again if find_nucleotides([file]))
    return tuple(sorted(found.union(before).difference(files.keys() - found)))


def read_suspects(root: str, sources: Collection[str]) -> tuple[str, ...]:
    """Returns which of the files of an output seemed to hold nucleotides to its last run."""
    told = read_run_report(root).get(NUCLEOTIDES)
    named = {name for name in told if isinstance(name, str)} if isinstance(told, list) else set()
    return tuple(sorted(named.intersection(sources)))


def count_sharing_an_id(root: str, committed: Commits) -> int | None:
    """Returns how many rows have an id that another one has too.

    Returns:
        None where that is not known: there are too many rows, or a part is damaged or gone, which
        is for ``verify`` to tell.
    """
    parts = parts_with_rows(committed)
    if not 0 < sum(part.rows for part in parts) <= MOST_ROWS:
        return None if parts else 0
    try:
        ids = [block["id"] for part in parts for block in read_blocks(root, part, ("id",))]
    except (ConfigurationError, OSError):
        return None
    counts = pc.struct_field(pc.value_counts(pa.chunked_array(ids)), "counts")
    return pc.sum(counts.filter(pc.greater(counts, 1))).as_py() or 0


def tell_sharing_an_id(number: int) -> str:
    """Returns in a sentence that so many records share an id."""
    return (
        f"{number:,} records have an id, the first word of the header, that another one has too; "
        "source and ordinal tell them apart."
    )


def tell_passed_over(listing: Listing) -> Iterator[str]:
    """Yields a sentence on the files that have no FASTA name, if there are any."""
    if listing.passed_over:
        others = counted(listing.passed_over, "file")
        first = listing.first_passed_over.removeprefix(f"{listing.root.rstrip('/')}/")
        named = f"the first: {printable(first, _MOST_SHOWN)}" if listing.passed_over > 1 else first
        yield f"Passed over for want of a FASTA name: {others}, {named}."

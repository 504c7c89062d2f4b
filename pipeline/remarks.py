"""What is no failure and worth a look: files of nucleotides, and files passed over."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from pipeline.failures import MOST_SHOWN
from transforms.inputs.finding import Listing
from transforms.inputs.nucleotides import find_nucleotides
from transforms.text import counted, printable

NUCLEOTIDES = "seem_nucleotides"
"""The key of a run's report under which its files are that seem to hold nucleotides."""


def find_seeming_nucleotides(
    earlier: Mapping[str, Any], listing: Listing, sources: Collection[str]
) -> tuple[str, ...]:
    """Returns the files of an output that seem to hold nucleotides, by what a run looks into.

    Rows do not tell it, for they have no sequence. So what the report of the last run says goes on
    to hold, but for files that are there to be looked into again.
    """
    files = {file.source: file for file in listing.files}
    before = read_seeming_nucleotides(earlier, sources)
    again = [files[source] for source in before if source in files]
    found = {file.source for file in find_nucleotides(listing.files)}
    found.update(file.source for file in again if find_nucleotides([file]))
    return tuple(sorted(found.union(before).difference(files.keys() - found)))


def read_seeming_nucleotides(
    report: Mapping[str, Any], sources: Collection[str]
) -> tuple[str, ...]:
    """Returns which of the files of an output seem to hold nucleotides by a run's report."""
    told = report.get(NUCLEOTIDES)
    named = {name for name in told if isinstance(name, str)} if isinstance(told, list) else set()
    return tuple(sorted(named.intersection(sources)))


def tell_passed_over(listing: Listing) -> Iterator[str]:
    """Yields a sentence on the files that are hidden or have no FASTA name, if there are any."""
    if listing.passed_over:
        others = counted(listing.passed_over, "file")
        path = listing.first_passed_over.removeprefix(f"{listing.root.rstrip('/')}/")
        first = printable(path, MOST_SHOWN)
        named = f"the first: {first}" if listing.passed_over > 1 else first
        yield f"Passed over, as hidden or for want of a FASTA name: {others}, {named}."

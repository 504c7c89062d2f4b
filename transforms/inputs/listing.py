"""Lists of files that are too long for a graph.

Engines take a graph of some megabytes, which is the names of some ten thousand files. A longer
list is laid down in the output while the graph runs, and the graph carries where it lies.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import apache_beam as beam

from transforms import storage
from transforms.inputs.finding import FastaFile, FindFasta, values_of
from transforms.output.json_records import write_json

MOST_IN_GRAPH = 10_000
"""Files that a graph carries itself, and files of one piece of a longer list."""


@dataclass
class FindListed(beam.PTransform):  # type: ignore[misc]
    """Begins a pipeline with the files of lists: the output is a PCollection of FastaFile.

    Attributes:
        urls: Where the lists lie.
    """

    urls: Sequence[str]

    def expand(self, begin: beam.pvalue.PBegin) -> beam.PCollection[FastaFile]:
        """Returns the files, in order."""
        urls = begin | beam.Create(self.urls, reshuffle=False)
        return urls | "Read lists" >> beam.FlatMap(read_list).with_output_types(FastaFile)


def read_list(url: str) -> Iterator[FastaFile]:
    """Yields the files of a list."""
    for values in json.loads(storage.read_bytes(url)):
        yield FastaFile(*values)


@contextmanager
def listed(root: str, run: str, files: Sequence[FastaFile]) -> Iterator[beam.PTransform]:
    """Lays a long list of files down in an output for as long as the ``with`` block lasts.

    After a kill it is swept away by the next run, as all that is staged.

    Args:
        root: The output root.
        run: The run, which has the output to itself.
        files: The files.

    Yields:
        What begins a pipeline with the files, however many there are.
    """
    if len(files) <= MOST_IN_GRAPH:
        yield FindFasta(files)
        return
    names: list[str] = []
    try:
        for start in range(0, len(files), MOST_IN_GRAPH):
            names.append(f"{storage.STAGING}/files-{run}-{len(names)}.json")
            piece = files[start : start + MOST_IN_GRAPH]
            write_json(root, names[-1], list(map(values_of, piece)))
        yield FindListed([storage.join(root, name) for name in names])
    finally:
        for name in names:
            storage.delete(storage.join(root, name))

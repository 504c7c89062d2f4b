"""Reading on many workers: files, and the ranges of large ones, are handed out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import apache_beam as beam

from transforms import events
from transforms.inputs.finding import FastaFile
from transforms.inputs.ranges import RANGE_BYTES, FileRange, cut_file, read_range
from transforms.inputs.reading import in_batches, look_again
from transforms.inputs.stopping import HeedingDoFn, stop_requested
from transforms.items import Item
from transforms.output.commits import Output


class _CutDoFn(HeedingDoFn):
    def __init__(self, output: Output | None, range_bytes: int) -> None:
        super().__init__(output)
        self._range_bytes = range_bytes

    def process(self, element: FastaFile) -> Iterator[FileRange]:
        if not stop_requested():
            events.emit(events.FileBegun(element.source, element.size))
        yield from cut_file(look_again(element), self._range_bytes)


class _ReadRangesDoFn(HeedingDoFn):
    def process(self, element: FileRange) -> Iterator[Item]:
        if element.stop is None:
            element = replace(element, file=look_again(element.file))
        yield from in_batches(read_range(element))


@dataclass
class ReadRanges(beam.PTransform):  # type: ignore[misc]
    """Reads files as ``ReadFasta`` does, many at a time and large plain ones by ranges.

    For engines with many workers: files, and then ranges, are handed out anew. On one worker each
    of the two would only hold up what follows until all files are looked at.

    Attributes:
        output: Where it is looked whether the run is to end; None for nowhere.
        range_bytes: A plain file with more bytes is cut into ranges of so many.
    """

    output: Output | None = None
    range_bytes: int = RANGE_BYTES

    def expand(self, files: beam.PCollection[FastaFile]) -> beam.PCollection[Item]:
        """Returns the records in batches, those of one range in order.

        Raises:
            ValueError: The output is a shard's: ranges are read whole, with what is of others.
        """
        if self.output and self.output.shard:
            raise ValueError("A shard reads on one lane: ReadFasta passes over what is of others.")
        cut = beam.ParDo(_CutDoFn(self.output, self.range_bytes))
        return (
            files
            | "Spread files" >> beam.Reshuffle()
            | "Cut files" >> cut.with_output_types(FileRange)
            | "Spread ranges" >> beam.Reshuffle()
            | "Read ranges" >> beam.ParDo(_ReadRangesDoFn(self.output)).with_output_types(Item)
        )

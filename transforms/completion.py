"""When a file is finished: when as many of its records are settled as it has."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import apache_beam as beam
from apache_beam.coders import FastPrimitivesCoder
from apache_beam.transforms.userstate import ReadModifyWriteStateSpec

from transforms.errors import AccountingError
from transforms.items import EndOfFile, FinishedFile, Item, Settled
from transforms.lanes import check_window, key_by_lane, source_address

OpenFiles = dict[str, tuple[Any, ...]]
"""Files under way: (packed EndOfFile or None, rows, dead letters, names of parts)."""

_NEW = (None, 0, 0, ())


def settle(files: OpenFiles, item: Settled | EndOfFile) -> FinishedFile | None:
    """Adds an item to the files under way, in either order of arrival.

    Returns:
        The file, taken out, if this finishes it.

    Raises:
        AccountingError: More records of a file were settled than it has.
    """
    # A version of a file is a file of its own.
    key = f"{item.file_sha256} {item.source}"
    end, rows, dead, parts = files.get(key, _NEW)
    if isinstance(item, EndOfFile):
        end = item.pack()
    elif item.rows or item.dead_letters:
        rows, dead = rows + item.rows, dead + item.dead_letters
        parts = parts if item.part in parts else (*parts, item.part)
    else:  # it has failed, and no end comes, unless it is read anew: then nothing was counted yet
        for stale in [key for key in files if key.partition(" ")[2] == item.source]:
            del files[stale]
        return None
    files[key] = (end, rows, dead, parts)
    if end is None:
        return None
    whole = EndOfFile(*end)
    if rows + dead > whole.records:
        raise AccountingError(
            f"{whole.source} has {whole.records} records, but {rows} embedded and {dead} "
            "dead-lettered ones were committed. python -m pipeline.verify tells more."
        )
    if rows + dead < whole.records:
        return None
    del files[key]
    return FinishedFile(whole, rows, dead, tuple(sorted(parts)))


class _CompleteFilesDoFn(beam.DoFn):  # type: ignore[misc]
    # One dict of the open files: a state key for each file costs a millisecond and its memory.
    FILES = ReadModifyWriteStateSpec("files", FastPrimitivesCoder())

    def process(
        self, element: tuple[int, Item], files: Any = beam.DoFn.StateParam(FILES)
    ) -> Iterator[Item]:
        _, item = element
        if not isinstance(item, EndOfFile):
            yield item
        if not isinstance(item, Settled | EndOfFile):
            return
        open_files = files.read() or {}
        finished = settle(open_files, item)
        files.write(open_files)
        if finished:
            yield finished


@dataclass
class CompleteFiles(beam.PTransform):  # type: ignore[misc]
    """Counts settled records until they equal the file's, and sends the file on as finished.

    What settles records goes on too: the next step sees that time goes by.

    Attributes:
        lanes: Number of keys; 1 on a local run.
    """

    lanes: int = 1

    def expand(self, items: beam.PCollection[Item]) -> beam.PCollection[Item]:
        """Applies the step.

        Raises:
            ValueError: The items lie in windows, over which the records of a file may spread.
        """
        check_window(items, "CompleteFiles")
        return (
            items
            | "Key by lane" >> key_by_lane(self.lanes, source_address)
            | "Count settled"
            >> beam.ParDo(_CompleteFilesDoFn())
            .with_input_types(tuple[int, Item])
            .with_output_types(Item)
        )

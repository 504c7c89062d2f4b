"""A plain Beam line from FASTA to Parquet, record by record, to hold the frame of ours against.

Reads each file once, batches by tokens, makes up vectors, writes rows of file, id and vector, and
tells when a file is complete. It checks nothing, has no dead letters, no ``.pt``, no commits and no
report, and cannot go on from where it was killed. Records travel alone, as tuples.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from apache_beam.coders import FastPrimitivesCoder
from apache_beam.transforms.timeutil import TimeDomain
from apache_beam.transforms.userstate import (
    BagStateSpec,
    ReadModifyWriteStateSpec,
    TimerSpec,
    on_timer,
)
from apache_beam.transforms.window import GlobalWindow

from pipeline.runners import run_graph

BATCH_TOKENS = 32_768
PART_RECORDS = 4096
_END = GlobalWindow().max_timestamp()


class _Read(beam.DoFn):  # type: ignore[misc]
    """Yields (file, id, residues) for each record, and (file, records) at the end."""

    def process(self, path: str) -> Iterator[tuple[Any, ...]]:
        name, lines, records = "", list[str](), 0
        with gzip.open(path, "rt") if path.endswith(".gz") else open(path) as file:
            for line in file:
                if not line.startswith(">"):
                    lines.append(line.strip())
                    continue
                if records:
                    yield path, name, "".join(lines)
                name, lines, records = line[1:].split(None, 1)[0], [], records + 1
        yield path, name, "".join(lines)
        yield path, records


class _Batch(beam.DoFn):  # type: ignore[misc]
    HELD = BagStateSpec("batch", FastPrimitivesCoder())
    TOKENS = ReadModifyWriteStateSpec("tokens", FastPrimitivesCoder())
    END = TimerSpec("plain_batch_end", TimeDomain.WATERMARK)

    def process(
        self,
        element: tuple[int, tuple[Any, ...]],
        held: Any = beam.DoFn.StateParam(HELD),
        tokens: Any = beam.DoFn.StateParam(TOKENS),
        end: Any = beam.DoFn.TimerParam(END),
    ) -> Iterator[list[tuple[Any, ...]]]:
        _, item = element
        cost, before = len(item[-1]) + 2 if len(item) == 3 else 0, tokens.read() or 0
        if not before:
            end.set(_END)
        if before and before + cost > BATCH_TOKENS:
            yield list(held.read())
            held.clear()
            before = 0
        held.add(item)
        tokens.write(before + cost)

    @on_timer(END)
    def flush(self, held: Any = beam.DoFn.StateParam(HELD)) -> Iterator[list[tuple[Any, ...]]]:
        yield list(held.read())
        held.clear()


class _Embed(beam.DoFn):  # type: ignore[misc]
    """Turns the residues of each record into the bytes of a vector."""

    def __init__(self, width: int) -> None:
        self._width = width

    def process(self, batch: list[tuple[Any, ...]]) -> Iterator[tuple[Any, ...]]:
        for item in batch:
            if len(item) == 3:
                path, name, residues = item
                yield path, name, np.full(self._width, len(residues), np.float32).tobytes()
            else:
                yield item


class _Write(beam.DoFn):  # type: ignore[misc]
    """Writes rows; yields (file, rows, None) for what is written, and passes ends on."""

    HELD = BagStateSpec("rows", FastPrimitivesCoder())
    RECORDS = ReadModifyWriteStateSpec("records", FastPrimitivesCoder())
    END = TimerSpec("plain_part_end", TimeDomain.WATERMARK)

    def __init__(self, output: Path) -> None:
        self._output = output
        self._numbers = count()

    def process(
        self,
        element: tuple[int, tuple[Any, ...]],
        held: Any = beam.DoFn.StateParam(HELD),
        records: Any = beam.DoFn.StateParam(RECORDS),
        end: Any = beam.DoFn.TimerParam(END),
    ) -> Iterator[tuple[Any, ...]]:
        _, item = element
        if len(item) == 2:
            yield item
            return
        held.add(item)
        number = (records.read() or 0) + 1
        if number == 1:
            end.set(_END)
        if number == PART_RECORDS:
            yield from self._write(held)
            number = 0
        records.write(number)

    @on_timer(END)
    def flush(self, held: Any = beam.DoFn.StateParam(HELD)) -> Iterator[tuple[Any, ...]]:
        yield from self._write(held)

    def _write(self, held: Any) -> Iterator[tuple[Any, ...]]:
        rows = list(held.read())
        held.clear()
        if not rows:
            return
        sources, ids, vectors = zip(*rows, strict=True)
        values = pa.array(np.frombuffer(b"".join(vectors), np.float32))
        matrix = pa.FixedSizeListArray.from_arrays(values, len(values) // len(rows))
        table = pa.table({"source": sources, "id": ids, "embedding": matrix})
        path = self._output / f"{next(self._numbers)}.parquet"
        names = ["source", "id"]  # of vectors neither says anything
        pq.write_table(
            table, path, use_dictionary=names, write_statistics=names, compression="zstd"
        )
        yield from ((source, 1, None) for source in sources)


class _Complete(beam.DoFn):  # type: ignore[misc]
    OPEN = ReadModifyWriteStateSpec("open", FastPrimitivesCoder())

    def process(
        self, element: tuple[int, tuple[Any, ...]], held: Any = beam.DoFn.StateParam(OPEN)
    ) -> Iterable[str]:
        _, item = element
        files = held.read() or {}
        missing = files.pop(item[0], 0) + (item[1] if len(item) == 2 else -1)
        if missing:
            files[item[0]] = missing
        held.write(files)
        return () if missing else (item[0],)


def run_plain_line(paths: Iterable[Path], output: Path, width: int) -> None:
    """Runs the line on the engine that ours runs on.

    Args:
        paths: FASTA files, plain or gzip, each of one record or more.
        output: A folder, in which are then Parquet files and ``finished``, a line for each file
            that is complete.
        width: Of the vectors.
    """

    def build(pipeline: beam.Pipeline) -> None:
        finished = (
            pipeline
            | beam.Create([str(path) for path in paths])
            | "Read" >> beam.ParDo(_Read())
            | "Key for batches" >> beam.Map(lambda item: (0, item))
            | "Batch" >> beam.ParDo(_Batch())
            | "Embed" >> beam.ParDo(_Embed(width))
            | "Key for parts" >> beam.Map(lambda item: (0, item))
            | "Write" >> beam.ParDo(_Write(output))
            | "Key for files" >> beam.Map(lambda item: (0, item))
            | "Complete" >> beam.ParDo(_Complete())
        )
        _ = finished | "Tell" >> beam.ParDo(_Tell(output / "finished"))

    run_graph(build, ())


class _Tell(beam.DoFn):  # type: ignore[misc]
    def __init__(self, path: Path) -> None:
        self._path = path

    def process(self, source: str) -> None:
        with self._path.open("a") as file:
            file.write(f"{source}\n")

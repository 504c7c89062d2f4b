"""A source without an end: FASTA files as they come."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

import apache_beam as beam
from apache_beam.coders import FastPrimitivesCoder
from apache_beam.io.restriction_trackers import OffsetRange, OffsetRestrictionTracker
from apache_beam.io.watermark_estimators import ManualWatermarkEstimator
from apache_beam.transforms.core import RestrictionProvider
from apache_beam.transforms.userstate import ReadModifyWriteStateSpec
from apache_beam.transforms.window import TimestampedValue
from apache_beam.utils.timestamp import Duration, Timestamp

from transforms.inputs.finding import FastaFile, find_fasta
from transforms.inputs.looking import Looker, Memory
from transforms.inputs.stopping import is_end_requested, request_end, stop_requested
from transforms.output.commits import Output

TICK_SECONDS = 1.0
"""Longest time between two calls of the step that looks: a stop is heeded no later."""


@dataclass(frozen=True)
class Watched:
    """What is watched.

    Attributes:
        patterns: Files, globs and folders.
        root: The input root.
        output: Where the files are embedded to.
        poll_seconds: Time between two looks.
        stop_after: Time without anything to do that ends it; None for no end.
    """

    patterns: tuple[str, ...]
    root: str
    output: Output
    poll_seconds: float = 5.0
    stop_after: float | None = None


class _Tracker(OffsetRestrictionTracker):  # type: ignore[misc]
    """Keeps the ticks together: engines have two count side by side where one is slow."""

    def try_split(self, fraction_of_remainder: float) -> Any:
        return super().try_split(0) if fraction_of_remainder == 0 else None


class _TickProvider(RestrictionProvider):  # type: ignore[misc]
    """Ticks are numbered, without an end; a drain ends them where they are."""

    def initial_restriction(self, element: bytes) -> OffsetRange:
        return OffsetRange(0, sys.maxsize)

    def create_tracker(self, restriction: OffsetRange) -> _Tracker:
        return _Tracker(restriction)

    def restriction_size(self, element: bytes, restriction: OffsetRange) -> int:
        return 1

    def truncate(self, element: bytes, restriction: OffsetRange) -> None:
        return None


_TICKS = _TickProvider()
_WATERMARKS = ManualWatermarkEstimator.default_provider()


class _TickDoFn(beam.DoFn):  # type: ignore[misc]
    """Sends on a number now and then, until it is told to end.

    One number a call, and the rest of them is put off: so the engine sends on what has come of it
    and notes where this is. It sleeps here, since engines differ in how long they put off.
    """

    def __init__(self, output: Output, seconds: float) -> None:
        self._output = output
        self._seconds = seconds

    @beam.DoFn.unbounded_per_element()  # type: ignore[untyped-decorator]
    def process(
        self,
        element: bytes,
        tracker: Any = beam.DoFn.RestrictionParam(_TICKS),
        watermark: Any = beam.DoFn.WatermarkEstimatorParam(_WATERMARKS),
    ) -> Iterator[TimestampedValue]:
        numbers = tracker.current_restriction()
        if stop_requested() or is_end_requested(self._output):
            tracker.try_claim(numbers.stop - 1)
            return
        if not tracker.try_claim(numbers.start):
            return
        now = Timestamp.now()
        yield TimestampedValue((0, numbers.start), now)
        watermark.set_watermark(now)
        time.sleep(self._seconds)
        tracker.defer_remainder(Duration(0))


@lru_cache(maxsize=4)
def _looker(watched: Watched) -> Looker:
    """Returns the one of this process, whatever becomes of the instances of the step."""
    find = partial(find_fasta, watched.patterns, watched.root, are_coming=True)
    return Looker(find, watched.output, watched.poll_seconds)


class _LookDoFn(beam.DoFn):  # type: ignore[misc]
    MEMORY = ReadModifyWriteStateSpec("memory", FastPrimitivesCoder())

    def __init__(self, watched: Watched) -> None:
        self._watched = watched

    def process(
        self, element: tuple[int, int], memory: Any = beam.DoFn.StateParam(MEMORY)
    ) -> Iterable[FastaFile]:
        _, position = element
        packed = memory.read()
        remembered = Memory.unpack(packed) if packed else Memory()
        ready = _looker(self._watched).look(remembered, position)
        if (now := remembered.pack()) != packed:
            memory.write(now)
        stop_after, since = self._watched.stop_after, remembered.quiet_since
        if stop_after is not None and since is not None and time.time() - since >= stop_after:
            request_end(self._watched.output)
        return ready


@dataclass
class WatchFasta(beam.PTransform):  # type: ignore[misc]
    """Begins a pipeline with FASTA files as they come, each version of each once.

    A splittable DoFn counts; a stateful step looks at the folder and sends on what is complete
    (two looks in a row find it with the same size and time) and not finished yet. What it has to
    keep is what was sent on and has no outcome, and the broken files that are still there: some
    hundred bytes each, however many files there ever were. All else it asks the output, whose
    commit records also say what is finished by now; so files may be moved in with old times, moved
    away, and clocks need not agree. The process, not the state, holds a look and the outcomes that
    it has read, some hundred bytes a file.

    No more than 16 MiB or 1,024 files are under way at one time, or one larger file, since engines
    hold what they read; what comes meanwhile waits, in order of arrival.

    A file that has changed is sent on anew once its earlier version has an outcome and nothing
    that is under way shares a part with it; its old records are taken out first. What breaks this:
    a second job on the output, which the lock prevents; an engine that tries a bundle of WriteParts
    again after its parts were replaced for such a file, which then fails the job at completion, and
    the next start mends; a change that leaves size and time as they were, which is not seen.

    Attributes:
        watched: What is watched.
    """

    watched: Watched

    def expand(self, begin: beam.pvalue.PBegin) -> beam.PCollection[FastaFile]:
        """Returns the files."""
        watched = self.watched
        seconds = min(watched.poll_seconds, TICK_SECONDS)
        return (
            begin
            | "Begin" >> beam.Impulse()
            | "Tick"
            >> beam.ParDo(_TickDoFn(watched.output, seconds)).with_output_types(tuple[int, int])
            | "Look"
            >> beam.ParDo(_LookDoFn(watched))
            .with_input_types(tuple[int, int])
            .with_output_types(FastaFile)
        )

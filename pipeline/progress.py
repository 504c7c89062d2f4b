"""Progress in residues: a bar on a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from typing import TextIO

from tqdm import tqdm

from transforms import events

SECONDS_BETWEEN_LINES = 15.0


class Progress:
    """Listens to a run and shows how far it is.

    The residues of a file are known once it has been opened; those of the files still to come
    are reckoned from their bytes, so an ETA is there from the first file on and exact at the
    last.

    Args:
        total_bytes: Bytes of all files to be read.
        stream: Where to write; a bar if it is a terminal.
    """

    def __init__(self, total_bytes: int, stream: TextIO = sys.stderr) -> None:
        self._total_bytes = total_bytes
        self._stream = stream
        self._opened_bytes = 0
        self._opened_residues = 0
        self._done = 0
        self._start = self._shown = time.monotonic()
        self._bar: tqdm | None = None
        if stream.isatty():
            self._bar = tqdm(unit=" residues", unit_scale=True, file=stream, dynamic_ncols=True)

    def __call__(self, event: events.Event) -> None:
        """Takes note of an event."""
        match event:
            case events.FileOpened(size=size, residues=residues):
                self._opened_bytes += size
                self._opened_residues += residues
                self._advance(0)
            case (
                events.RecordsEmbedded(residues=residues) | events.RecordsSkipped(residues=residues)
            ):
                self._advance(residues)
            case events.RecordFailed(ordinal=int(), residues=residues, stage=stage):
                # What fails validation was counted when it was embedded.
                self._advance(residues if stage != "validate" else 0)

    @property
    def total(self) -> int:
        """Residues of the run, as far as is known."""
        if not self._opened_bytes:
            return 0
        rest = max(self._total_bytes - self._opened_bytes, 0)
        return self._opened_residues + rest * self._opened_residues // self._opened_bytes

    @property
    def done(self) -> int:
        """Residues of the records that have an outcome."""
        return self._done

    def _advance(self, residues: int) -> None:
        self._done += residues
        if self._bar is not None:
            self._bar.total = self.total
            self._bar.update(residues)
        elif time.monotonic() - self._shown >= SECONDS_BETWEEN_LINES:
            self._shown = time.monotonic()
            print(self._line(), file=self._stream, flush=True)

    def _line(self) -> str:
        return str(
            tqdm.format_meter(
                self._done,
                self.total,
                self._shown - self._start,
                unit=" residues",
                unit_scale=True,
                bar_format="{percentage:3.0f}% {n_fmt} of {total_fmt} residues, {rate_fmt}, "
                "{remaining} left",
            )
        )

    def close(self) -> None:
        """Leaves the terminal as it should be."""
        if self._bar is not None:
            self._bar.close()

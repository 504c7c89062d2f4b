"""Progress in residues: a bar on a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TextIO

from tqdm import tqdm

from pipeline.listening.tally import Tally
from transforms import events

SECONDS_BETWEEN_LINES = 15.0


@contextmanager
def showing(tally: Tally, quiet: bool) -> Iterator[None]:
    """Keeps a tally, and shows it unless it is to be quiet, within the ``with`` block."""
    with ExitStack() as stack:
        stack.enter_context(events.listening(tally))
        if not quiet:
            progress = Progress(tally)
            stack.callback(progress.close)
            stack.enter_context(events.listening(progress))
        yield


class Progress:
    """Shows how far a run is, whenever something happens.

    Args:
        tally: What is shown; it hears of an event before this does.
        stream: Where to write, by default stderr; a bar if it is a terminal.
    """

    def __init__(self, tally: Tally, stream: TextIO | None = None) -> None:
        self._tally = tally
        self._stream = stream or sys.stderr
        self._shown = tally.seconds
        self._bar: tqdm | None = None
        if self._stream.isatty():
            self._bar = tqdm(
                unit=" residues",
                unit_scale=True,
                file=self._stream,
                dynamic_ncols=True,
                smoothing=0,  # the mean speed, as the status tells it
            )

    def __call__(self, event: events.Event) -> None:
        """Shows what the tally has come to."""
        self.show()

    def show(self) -> None:
        """Shows what the tally has come to, at any moment."""
        if self._bar is not None:
            self._bar.total = self._tally.residues_total
            self._bar.initial = self._tally.residues_skipped  # which says nothing of the speed
            self._bar.update(self._tally.residues - self._bar.n)
        elif self._tally.seconds - self._shown >= SECONDS_BETWEEN_LINES:
            self._shown = self._tally.seconds
            print(self._line(), file=self._stream, flush=True)

    def _line(self) -> str:
        return str(
            tqdm.format_meter(
                self._tally.residues,
                self._tally.residues_total,
                self._shown,
                initial=self._tally.residues_skipped,
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

"""``--watch``: one run after another in one process, each over what has come since."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial

from pipeline.checks import Plan
from pipeline.continuing import Rounds
from pipeline.listening.file_outcomes import FileOutcomes
from pipeline.listening.progress import showing
from pipeline.listening.tally import Tally
from pipeline.options import RunConfig
from pipeline.watching.arrivals import Arrivals, Taken
from pipeline.watching.intake import Intake
from pipeline.watching.lookout import Lookout
from pipeline.watching.turns import Turn
from transforms import events
from transforms.inputs.arriving import Version
from transforms.inputs.finding import FastaFile, find_fasta
from transforms.inputs.stopping import clear_stop, request_stop
from transforms.output.commits import read_commits
from transforms.output.parts import of_round
from transforms.output.resuming import find_done, tidy
from transforms.text import counted

LEAST_TURN = 1.0
"""Seconds that a round has at least while others wait; else half the time between two looks. To
begin and to end takes a second or two more, so that nobody is held up for much longer than that."""

_TICK = 0.2  # seconds after which a signal is heeded at the latest

logger = logging.getLogger(__name__)


class Watch(Rounds):
    """Embeds what comes to a folder, round by round."""

    def __init__(self, config: RunConfig, plan: Plan, received: list[int]) -> None:
        super().__init__(config, plan, received)
        self._turn_seconds = max(config.poll_seconds / 2, LEAST_TURN)
        self._patience: dict[str, float] = {}  # with files that have got nowhere so far
        committed = read_commits(self._root)
        done, holders = find_done(self._root, committed)
        versions = {
            source: Version(record.size, record.mtime) if record else None
            for source, record in done.items()
        }
        self._lookout = Lookout(
            partial(find_fasta, config.inputs, plan.listing.root, are_coming=True),
            plan.listing,
            Arrivals(versions, holders),
            config.poll_seconds,
            config.stop_after,
        )
        self._intake = Intake(self._lookout)
        events.emit(events.RunStarted(plan.output.run, self._root, 0, 0))
        logger.info(
            "Watching for new files every %g s. Finished before: %s. Ctrl-C ends it.",
            config.poll_seconds,
            counted(sum(version is not None for version in versions.values()), "file") or "none",
        )

    @property
    def plan(self) -> Plan:
        """The plan with the files that there are now."""
        listing = self._lookout.listing
        return replace(self._plan, listing=listing, todo=listing.files)

    @property
    def is_over(self) -> bool:
        """Whether nothing has come for so long that it is to end."""
        return self._lookout.is_over

    def run(self) -> str | None:
        """Goes on until the end and returns what made it fail; None if nothing did."""
        with self._lookout:
            return super().run()

    def step(self) -> None:
        """Has a round if files wait, or else waits for a moment."""
        if taken := self._lookout.take():
            self._round(taken)
            self._report_is_due = True
        elif not self.write_due_report():
            self._lookout.wait(_TICK)

    def _round(self, taken: Taken) -> None:
        start = time.monotonic()
        self._number += 1
        output = of_round(self._plan.output, self._number)
        work = self._intake.find(taken, output)
        if not work.todo or self._received:
            return
        heard = FileOutcomes()
        first = work.todo[0].source
        patience = self._patience.get(first, self._turn_seconds) if taken.are_carried else None
        is_shared = len(work.todo) > 1
        turn = Turn(self._turn_seconds, patience, self._lookout.is_awaited, is_shared)
        with events.listening(heard), self._watched(work.todo, turn):
            self.embed_round(work.todo, output, work.is_begun)
        if work.must_tidy or heard.failed:
            tidy(self._root, output.run, read_commits(self._root))
        unfinished = self._settle(work.todo, heard)
        self._patience.pop(first, None)
        if patience and first in unfinished:
            # Twice as much if it got nowhere, so that it gets somewhere in the end.
            self._patience[first] = patience if turn.has_begun else 2 * patience
        done = counted(len(work.todo) - len(unfinished), "file") or "no file"
        self.end_round(start, done, heard.failed, counted(len(unfinished), "file"))

    @contextmanager
    def _watched(self, todo: Sequence[FastaFile], turn: Turn) -> Iterator[None]:
        """Shows progress, and lets the round make room for others; at its end readers may read."""
        self._tally = Tally(len(todo), sum(file.size for file in todo))
        with ExitStack() as stack:
            stack.callback(self._let_read)
            stack.callback(turn.close)
            stack.enter_context(showing(self._tally, self._config.quiet))
            stack.enter_context(events.listening(turn))
            self._lookout.turn = turn
            yield
            self._lookout.turn = None

    def _let_read(self) -> None:
        clear_stop()
        if self._received or self._is_lost:  # in this order: either may come in between
            request_stop()

    def _settle(self, todo: Sequence[FastaFile], heard: FileOutcomes) -> set[str]:
        """Takes note of what has become of the files of a round; returns those that are left."""
        finished = heard.finished.keys() - heard.failed.keys()
        unfinished = [f for f in todo if f.source not in finished and f.source not in heard.failed]
        self._lookout.settle(
            finished=[f for f in todo if f.source in finished],
            failed=[f for f in todo if f.source in heard.failed],
            unfinished=unfinished,
            slow=heard.begun,
        )
        return {file.source for file in unfinished}

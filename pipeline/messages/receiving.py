"""``--input_subscription``: rounds over what was pulled, acknowledged once it is committed.

The path of a message: it is pulled; the pull is written down in ``.spool/`` and synced; the graph
commits its records as those of a file; what has become of them is published, if that is asked for;
the message is noted as done; it is acknowledged; the pull is deleted. A kill before the pull is
written down leaves nothing, and the message comes again. After it the next start finishes the pull
first, under its name, and publishes it, perhaps once more; when the message comes again it is known
by then, and acknowledged without more.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Sequence
from dataclasses import replace
from math import inf

from pipeline.checks import Plan
from pipeline.continuing import Rounds
from pipeline.listening.file_outcomes import FileOutcomes
from pipeline.listening.tally import Tally
from pipeline.messages.publishing import DonePull, Topics
from pipeline.messages.pulling import leased, pull_round
from pipeline.messages.spool import Done, Spool
from pipeline.messages.subscription import Delivery, Subscription
from pipeline.messages.topic import UnpublishedError
from pipeline.options import RunConfig
from pipeline.runners import GraphError
from transforms import events, storage
from transforms.inputs.finding import FastaFile
from transforms.output.commits import read_commits
from transforms.output.locks import check_held, hold_parts
from transforms.output.parts import of_round
from transforms.output.removal import EVERYTHING, remove_records
from transforms.pulls import decode_pull
from transforms.text import counted

logger = logging.getLogger(__name__)


class Receiving(Rounds):
    """Embeds what is published.

    Args:
        config: What is asked for.
        plan: The output, its lock and the model, made ready; to do are the pulls that an earlier
            run has not finished.
        subscription: Where messages come from.
        topics: Where what has become of them is published to.
        received: Gets the signals that end it.
    """

    def __init__(
        self,
        config: RunConfig,
        plan: Plan,
        subscription: Subscription,
        topics: Topics,
        received: list[int],
    ) -> None:
        super().__init__(config, plan, received)
        self._subscription = subscription
        self._topics = topics
        self._spool = Spool(self._root)
        self._done = Done(self._root)
        self._has_begun = False
        self._last = plan.todo
        self._heard = FileOutcomes()
        self._quiet_since = inf  # until it was asked for messages once
        events.emit(events.RunStarted(plan.output.run, self._root, 0, 0))
        logger.info("Waiting for messages of %s. Ctrl-C ends it.", subscription.name)

    @property
    def plan(self) -> Plan:
        """The plan with the pulls that are not done."""
        listing = replace(self._plan.listing, files=self._spool.pulls())
        return replace(self._plan, listing=listing, todo=self._last)

    @property
    def is_over(self) -> bool:
        """Whether nothing has come for so long that it is to end."""
        stop_after = self._config.stop_after
        return stop_after is not None and time.monotonic() - self._quiet_since >= stop_after

    def step(self) -> None:
        """Finishes what an earlier run has left, and then has rounds over what comes."""
        try:
            self._go_on()
        except UnpublishedError as error:
            logger.warning("%s. The same command does it at its start.", error)

    def _go_on(self) -> None:
        if not self._has_begun:
            self._finish(self._plan.listing.files)
            self._has_begun = True
            return
        self.write_due_report()
        asked, wait = time.monotonic(), self._config.batch_wait
        pulled = pull_round(self._subscription, wait, lambda: bool(self._received))
        if pulled:
            self._take(pulled)
            self._quiet_since = time.monotonic()
        else:
            self._quiet_since = min(self._quiet_since, asked)
        # Without an answer nobody knows what waits there.
        is_cut_off = not pulled and not self._subscription.is_answering
        if is_cut_off or (self.is_over and not self._subscription.answers()):
            self._quiet_since = inf

    def _finish(self, left: Sequence[FastaFile]) -> None:
        """Finishes the pulls of an earlier run, whose deliveries are nobody's any more."""
        remove_lost(self._root, self._plan.output.run, {file.source for file in left})
        if self._plan.todo:
            self._embed(self._plan.todo, is_begun=True)
        if not left:
            return
        # A compaction would be free to merge what earlier runs have written.
        with hold_parts(self._root, self._plan.output.run):
            committed = read_commits(self._root)
            for file in left:
                record = committed.files[file.source]
                self._publish(DonePull(file, record.rows, record.dead_letters, record.parts))
                messages = decode_pull(file, storage.read_bytes(file.url))
                self._done.add(file, [message.key for message in messages])
                self._spool.remove(file)

    def _take(self, pulled: Sequence[Delivery]) -> None:
        """Embeds what is new, and acknowledges that and what is done already."""
        is_done = [each.message.key in self._done for each in pulled]
        if again := _ack_ids(pulled, is_done, True):
            self._subscription.acknowledge(again)
        ack_ids = _ack_ids(pulled, is_done, False)
        # Of one that was delivered twice each delivery is acknowledged.
        wanted = (each.message for each in pulled)
        new = {m.key: m for m, known in zip(wanted, is_done, strict=True) if not known}
        if not new:
            return
        with leased(self._subscription, ack_ids):
            check_held(self._root, self._plan.output.lock)
            file = self._spool.add(self._subscription.short_name, list(new.values()))
            self._embed((file,), is_begun=False)
            # Its parts are left alone: they are those of the latest round.
            finished, parts = self._heard.finished[file.source], tuple(self._heard.parts)
            self._publish(DonePull(file, finished.rows, finished.dead_letters, parts))
        # In this order, which bears a kill.
        self._done.add(file, new)
        self._subscription.acknowledge(ack_ids)
        self._spool.remove(file)

    def _embed(self, files: Sequence[FastaFile], is_begun: bool) -> None:
        start = time.monotonic()
        self._number += 1
        self._tally = Tally(len(files), sum(file.size for file in files))
        self._heard = FileOutcomes()
        with events.listening(self._tally), events.listening(self._heard):
            self.embed_round(files, of_round(self._plan.output, self._number), is_begun)
        if missing := [file.source for file in files if file.source not in self._heard.finished]:
            raise GraphError(f"{missing[0]} was read and has no outcome")
        self._last = tuple(files)
        self._report_is_due = True
        self.end_round(start, counted(len(files), "pull"), self._heard.failed)

    def _publish(self, pull: DonePull) -> None:
        self._topics.publish(pull, self._plan.output, lambda: bool(self._received) or self._is_lost)


def remove_lost(root: str, run: str, left: Collection[str]) -> None:
    """Takes out the records of pulls that can never be finished: their messages come again.

    There are some only where somebody has deleted what lies in ``.spool/``.

    Args:
        root: The output root.
        run: The run that does so.
        left: The pulls that will be finished.
    """
    with hold_parts(root, run):
        committed = read_commits(root)
        lost = committed.by_source().keys() - committed.files.keys() - set(left)
        if lost:
            remove_records(root, run, dict.fromkeys(lost, EVERYTHING))


def _ack_ids(pulled: Sequence[Delivery], is_done: Sequence[bool], wanted: bool) -> list[str]:
    return [each.ack_id for each, done in zip(pulled, is_done, strict=True) if done == wanted]

"""``--watch`` on an engine that streams: the graph as one job, with a source without an end."""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import replace
from functools import partial

from pipeline.checks import Plan
from pipeline.continuing import Continuing
from pipeline.graph import build
from pipeline.listening.progress import showing
from pipeline.options import RunConfig
from pipeline.runners import GraphError, run_graph
from transforms import events
from transforms.errors import ConfigurationError, LostError
from transforms.inputs.arriving import is_temporary
from transforms.inputs.finding import find_fasta
from transforms.inputs.stopping import request_end, withdraw_end
from transforms.inputs.watching import Watched, WatchFasta
from transforms.output.commits import read_commits
from transforms.output.locks import check_held
from transforms.output.resuming import tidy
from transforms.text import counted, printable

_TICK = 0.2  # seconds after which a signal is heeded at the latest

logger = logging.getLogger(__name__)


class StreamingWatch(Continuing):
    """Embeds what comes to a folder, in one job whose thread is not the one that heeds signals."""

    def __init__(self, config: RunConfig, plan: Plan, received: list[int]) -> None:
        super().__init__(config, plan, received)
        self._failure: Exception | None = None

    @property
    def plan(self) -> Plan:
        """The plan with the files that there are when it has ended."""
        return self._plan

    def run(self) -> str | None:
        """Runs the job to its end and returns what made it fail; None if nothing did."""
        start = time.monotonic()
        output = self._plan.output
        failure = None
        try:
            with (
                showing(self._tally, self._config.quiet),
                events.listening(_tell),
                events.listening(self._pace),
            ):
                self._run_job()
            check_held(self._root, output.lock)
            tidy(self._root, output.run, read_commits(self._root))
        except (GraphError, LostError, ConfigurationError, OSError) as error:
            failure = str(error)
        self._seconds = time.monotonic() - start
        try:
            self._plan = _listed(self._config, self._plan, bool(self._received or failure))
        except (ConfigurationError, OSError) as error:
            return failure or str(error)
        return failure

    def _run_job(self) -> None:
        """Runs it to its end.

        Raises:
            GraphError: It failed.
            OSError: The request to end cannot be written.
        """
        output = self._plan.output
        events.emit(events.RunStarted(output.run, output.root, 0, 0))
        logger.info(
            "Watching for new files every %g s, in one job. Ctrl-C ends it.",
            self._config.poll_seconds,
        )
        thread = threading.Thread(target=self._build_and_run, name="job", daemon=True)
        thread.start()
        try:
            while thread.is_alive() and not (self._received or self._is_lost):
                thread.join(_TICK)
            if thread.is_alive():
                request_end(output)
            while thread.is_alive():
                thread.join(_TICK)  # so that a second signal is heeded
        finally:
            withdraw_end(output)
        if self._failure:
            raise self._failure

    def _build_and_run(self) -> None:
        config, plan = self._config, self._plan
        watched = Watched(
            config.inputs,
            plan.listing.root,
            plan.output,
            config.poll_seconds,
            config.stop_after,
        )
        graph = partial(
            build,
            source=WatchFasta(watched),
            config=replace(plan.embed, max_batch_wait=config.batch_wait),
            output=plan.output,
            checkpoint_seconds=plan.checkpoint_seconds,
        )
        try:
            self._metrics |= run_graph(graph, (*config.beam_args, "--streaming"))
        except GraphError as error:
            self._failure = error


def _tell(event: events.Event) -> None:
    if isinstance(event, events.FileFinished):
        logger.info(
            "%s: %s, %s failed.",
            printable(event.source),
            counted(event.rows, "vector") or "no vectors",
            f"{event.dead_letters:,}",
        )


def _listed(config: RunConfig, plan: Plan, was_cut: bool) -> Plan:
    """Returns the plan with the files that there are now.

    Args:
        config: What was asked for.
        plan: The plan.
        was_cut: Whether the job may have left some undone. If not, what has no outcome came when
            it had ended already.
    """
    try:
        listing = find_fasta(config.inputs, plan.listing.root, are_coming=True)
    except ConfigurationError:  # the folder is away by now
        listing = plan.listing
    committed = read_commits(plan.output.root)
    known = committed.files.keys() | committed.failed_sources()
    files = tuple(
        file
        for file in listing.files
        if not is_temporary(file.source) and (was_cut or file.source in known)
    )
    return replace(plan, listing=replace(listing, files=files), todo=files)

"""``--watch`` on an engine that streams: the graph as one job, with a source without an end."""

from __future__ import annotations

import gc
import logging
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial

from pipeline.checks import Plan
from pipeline.draining import draining
from pipeline.ending import report_or_fail
from pipeline.graph import build
from pipeline.listening.pace import Pace
from pipeline.listening.progress import showing
from pipeline.listening.tally import Tally
from pipeline.options import RunConfig
from pipeline.run_report import Report, report_run
from pipeline.runners import GraphError, run_graph
from transforms import events
from transforms.errors import ConfigurationError, LostError
from transforms.inputs.arriving import is_temporary
from transforms.inputs.finding import find_fasta
from transforms.inputs.stopping import forget_end, request_end, request_stop
from transforms.inputs.watching import Watched, WatchFasta
from transforms.output.commits import read_commits
from transforms.output.locks import check_held
from transforms.output.resuming import tidy
from transforms.text import counted, printable

_TICK = 0.2  # seconds after which a signal is heeded at the latest

logger = logging.getLogger(__name__)


def stream(config: RunConfig, plan: Plan) -> tuple[Plan, Report, list[int]]:
    """Embeds what comes in one job, until it is told to stop, fails, or nothing comes.

    Args:
        config: What is asked for.
        plan: The output, its lock and the model, made ready.

    Returns:
        The plan with the files that there are, what has come of the job, and the signals that
        ended it.
    """
    start = time.monotonic()
    gc.freeze()  # libraries and model stay
    failure = None
    metrics: Mapping[str, int | str] = {}
    with ExitStack() as stack:
        received = stack.enter_context(draining(plan.output.root))
        job = _Job(config, plan, received)
        stack.enter_context(job.told())
        stack.enter_context(plan.lock.watched(job.tally.numbers, job.end))
        try:
            metrics = job.run()
            check_held(plan.output.root, plan.output.lock)
            tidy(plan.output.root, plan.output.run, read_commits(plan.output.root))
        except (GraphError, LostError, ConfigurationError, OSError) as error:
            failure = str(error)
    plan = _listed(config, plan, was_cut=bool(received or failure))
    seconds = time.monotonic() - start
    make = partial(report_run, plan, seconds, metrics, job.pace)
    return plan, report_or_fail(make, failure), received


class _Job:
    """A job in a thread of its own, so that signals are heeded.

    Args:
        config: What is asked for.
        plan: The output.
        received: Gets the signals that are to end it.
    """

    def __init__(self, config: RunConfig, plan: Plan, received: list[int]) -> None:
        self.tally = Tally(0, 0)
        self.pace = Pace()
        self._config = config
        self._plan = plan
        self._received = received
        self._is_to_end = threading.Event()
        self._metrics: Mapping[str, int | str] = {}
        self._failure: Exception | None = None

    def end(self) -> None:
        """Asks the source to end, in this process and on other machines."""
        request_stop()
        self._is_to_end.set()

    @contextmanager
    def told(self) -> Iterator[None]:
        """Tells of what happens, where it happens in this process."""
        with (
            showing(self.tally, self._config.quiet),
            events.listening(_tell),
            events.listening(self.pace),
        ):
            yield

    def run(self) -> Mapping[str, int | str]:
        """Runs it to its end and returns what it counted.

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
        thread = threading.Thread(target=self._run, name="job", daemon=True)
        thread.start()
        try:
            while thread.is_alive() and not (self._received or self._is_to_end.is_set()):
                thread.join(_TICK)
            if thread.is_alive():
                request_end(output)
            while thread.is_alive():
                thread.join(_TICK)  # so that a second signal is heeded
        finally:
            forget_end(output)
        if self._failure:
            raise self._failure
        return self._metrics

    def _run(self) -> None:
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
            self._metrics = run_graph(graph, (*config.beam_args, "--streaming"))
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

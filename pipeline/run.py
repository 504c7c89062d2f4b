"""One run: options, checks, graph, report, exit code."""

from __future__ import annotations

import gc
import io
import logging
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from types import FrameType
from typing import Any, NoReturn

from pipeline.checks import Plan, prepare
from pipeline.event_log import logging_events
from pipeline.graph import build
from pipeline.limits import DeadLetterGuard, check_limit
from pipeline.options import RunConfig, parse_options
from pipeline.progress import Progress
from pipeline.report import (
    Report,
    check_accounting,
    make_report,
    summarise,
    write_report,
)
from pipeline.resuming import tidy
from pipeline.runners import GraphError, run_graph
from pipeline.tally import Tally
from transforms import events, storage
from transforms.commits import has_configuration, read_commits
from transforms.errors import ConfigurationError
from transforms.locks import LostError, check_held
from transforms.reading import clear_stop, request_stop
from transforms.text import printable
from transforms.under_way import clear_notes

logger = logging.getLogger(__name__)

EXIT_OK, EXIT_FAILED, EXIT_USAGE, EXIT_DEAD_LETTERS = 0, 1, 2, 3


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Runs the command line and exits with its code."""
    for stream in (sys.stdout, sys.stderr):
        # An id may hold what the terminal cannot show.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        config = parse_options(argv)
        _set_up_logging(config)
        sys.exit(run(config))
    except ConfigurationError as error:
        _complain(str(error))
        sys.exit(EXIT_USAGE)
    except KeyboardInterrupt:
        print("Stopped before anything was embedded.", file=sys.stderr)
        sys.exit(128 + signal.SIGINT)


def run(config: RunConfig) -> int:
    """Does what a command line asks for, and tells a person about it.

    Returns:
        The exit code.

    Raises:
        ConfigurationError: Nothing can run as asked; nothing was changed.
    """
    check_limit(config.max_dead_letters, config.beam_args)
    with ExitStack() as held:
        held.enter_context(logging_events(config.event_log))
        try:
            plan = prepare(config, held)
        except OSError as error:
            logger.debug("The output cannot be made ready.", exc_info=True)
            raise ConfigurationError(
                f"{config.output} cannot be made ready ({error}). Free some space, or make it "
                "writable; then the same command goes on."
            ) from error
        _announce(plan, config.quiet)
        guard = DeadLetterGuard(config.max_dead_letters)
        with _watched(plan, config.quiet) as received, events.listening(guard):
            report = execute(plan, config.beam_args)
        report = replace(report, failure=report.failure or guard.sentence)
        code = _exit_code(report, received)
        try:
            if not plan.lock.is_lost():  # else it is another run's
                write_report(plan.output.root, report, code)
                storage.delete(storage.join(plan.output.root, storage.STAGING))  # empty by now
                if not report.failure:  # a device that broke has to be remembered
                    clear_notes(plan.output.root)
        except OSError as error:
            _complain(f"the report could not be written: {error}")
            code = EXIT_FAILED
        events.emit(
            events.RunEnded(
                plan.output.run,
                code,
                report.total("embedded"),
                report.dead_letters,
                round(report.seconds, 3),
            )
        )
    _tell(report, plan, code, config.quiet, was_too_much=guard.sentence is not None)
    return code


@contextmanager
def _watched(plan: Plan, quiet: bool) -> Iterator[list[int]]:
    """Shows progress and lets the heartbeat tell it; drains on a signal, or if the lock is lost.

    Yields:
        The signals received.
    """
    with ExitStack() as stack:
        tally = Tally(len(plan.todo), sum(file.size for file in plan.todo))
        stack.enter_context(events.listening(tally))
        if not quiet:
            progress = Progress(tally)
            stack.callback(progress.close)
            stack.enter_context(events.listening(progress))
        received = stack.enter_context(_draining(plan.output.root))
        # Within the draining, which lets readers read again at its end.
        stack.enter_context(plan.lock.watched(tally.numbers, request_stop))
        yield received


def execute(plan: Plan, beam_args: Sequence[str] = ()) -> Report:
    """Runs the graph over what is not finished and returns what the output then holds.

    Without anything to do no graph is run and no model loaded. A failure of the graph is part of
    the report: what was committed stays.
    """
    start = time.monotonic()
    metrics: dict[str, int | str] = {}
    failure = None
    if plan.todo:
        graph = partial(
            build,
            files=plan.todo,
            config=plan.embed,
            output=plan.output,
            checkpoint_seconds=plan.checkpoint_seconds,
        )
        # Libraries and model stay; the collector need not look through them again and again.
        gc.freeze()
        try:
            metrics = dict(run_graph(graph, beam_args))
            check_held(plan.output.root, plan.output.run)
            tidy(plan.output.root, plan.output.run, read_commits(plan.output.root))
        except (GraphError, LostError, OSError) as error:
            failure = str(error)
    return make_report(plan, time.monotonic() - start, metrics, failure)


def _exit_code(report: Report, received: Sequence[int]) -> int:
    if report.failure:
        return EXIT_FAILED
    if received and report.missing:
        return 128 + received[0]
    if check_accounting(report):
        return EXIT_FAILED
    return EXIT_DEAD_LETTERS if report.dead_letters else EXIT_OK


def _tell(report: Report, plan: Plan, code: int, quiet: bool, was_too_much: bool) -> None:
    if report.failure:
        _complain(report.failure)
    elif code == EXIT_FAILED:
        for sentence in check_accounting(report):
            _complain(sentence)
    if code in (EXIT_OK, EXIT_DEAD_LETTERS):
        if not quiet:
            print("\n".join(summarise(report, plan)))
        return
    root = printable(plan.output.root)
    if not has_configuration(plan.output.root):
        print(f"Put {root} back where it was, or begin anew.", file=sys.stderr)
        return
    advice = "The same command carries on from there."
    if was_too_much:
        advice = "Mend the input or raise --max_dead_letters; then it carries on from there."
    safe = f"{report.total('embedded'):,} vectors are safe in {root}"
    print(f"Stopped before the end; {safe}. {advice}", file=sys.stderr)


def _complain(text: str) -> None:
    print(f"error: {printable(text)}", file=sys.stderr)


def _announce(plan: Plan, quiet: bool) -> None:
    size = sum(file.size for file in plan.todo)
    events.emit(events.RunStarted(plan.output.run, plan.output.root, len(plan.todo), size))
    if quiet:
        return
    todo, done = len(plan.todo), len(plan.listing.files) - len(plan.todo)
    finished = f", {done:,} finished before" if done else ""
    print(f"{todo:,} file{'s' * (todo != 1)} to do{finished}.", file=sys.stderr)


def _set_up_logging(config: RunConfig) -> None:
    # Forced, because Beam sets up logging of its own when it is imported.
    logging.basicConfig(format="%(message)s", stream=sys.stderr, force=True)
    logging.getLogger().setLevel(logging.DEBUG if config.verbose else logging.ERROR)
    if not config.verbose:
        # What a worker raises is told in one line at the end; Beam would log it with its traceback.
        logging.getLogger("apache_beam").setLevel(logging.CRITICAL)
    if not config.quiet and not config.verbose:
        for name in ("pipeline", "transforms"):
            logging.getLogger(name).setLevel(logging.INFO)


@contextmanager
def _draining(root: str) -> Iterator[list[int]]:
    """Turns the first SIGINT, SIGTERM or SIGHUP into a drain; a second one ends the process.

    SIGHUP comes when a terminal is closed; under nohup it is ignored, and stays so.

    Yields:
        The signals received.
    """
    received: list[int] = []
    previous: dict[int, Any] = {}

    def drain(number: int, frame: FrameType | None) -> None:
        received.append(number)
        request_stop()
        # So that a second signal, which ends the process at once, is not taken for a death.
        clear_notes(root)
        print("Stopping: finishing what was read. Again to stop at once.", file=sys.stderr)
        for each in previous:
            signal.signal(each, signal.SIG_DFL)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_IGN:
            continue
        previous[number] = signal.signal(number, drain)
    try:
        yield received
    finally:
        for each, handler in previous.items():
            signal.signal(each, handler)
        clear_stop()

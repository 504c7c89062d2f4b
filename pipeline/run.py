"""One run: options, checks, graph, report, exit code."""

from __future__ import annotations

import io
import logging
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from types import FrameType
from typing import Any, NoReturn

from pipeline.checks import Plan, prepare
from pipeline.graph import build
from pipeline.options import RunConfig, parse_options
from pipeline.progress import Progress
from pipeline.report import (
    Report,
    check_accounting,
    make_report,
    summarise,
    write_report,
)
from pipeline.runners import GraphError, run_graph
from transforms import events, storage
from transforms.errors import ConfigurationError
from transforms.reading import clear_stop, request_stop

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
        print(f"error: {error}", file=sys.stderr)
        sys.exit(EXIT_USAGE)
    except KeyboardInterrupt:  # before there was anything to drain
        sys.exit(128 + signal.SIGINT)


def run(config: RunConfig) -> int:
    """Does what a command line asks for, and tells a person about it.

    Returns:
        The exit code.

    Raises:
        ConfigurationError: Nothing can run as asked; nothing was changed.
    """
    with ExitStack() as held:
        plan = prepare(config, held)
        if not config.quiet:
            _announce(plan)
        with _watched(plan, config.quiet) as received:
            report = execute(plan, config.beam_args)
        code = _exit_code(report, received)
        write_report(plan.output.root, report, code)
        storage.delete(storage.join(plan.output.root, storage.STAGING))  # empty by now
    _tell(report, plan, code, config.quiet)
    return code


@contextmanager
def _watched(plan: Plan, quiet: bool) -> Iterator[list[int]]:
    """Shows progress, and drains on a signal.

    Yields:
        The signals received.
    """
    with ExitStack() as stack:
        if not quiet:
            progress = Progress(sum(file.size for file in plan.todo))
            stack.callback(progress.close)
            stack.enter_context(events.listening(progress))
        yield stack.enter_context(_draining())


def execute(plan: Plan, beam_args: Sequence[str] = ()) -> Report:
    """Runs the graph over what is not finished and returns what the output then holds.

    Without anything to do no graph is run and no model loaded. A failure of the graph is part of
    the report: what was committed stays.
    """
    start = time.monotonic()
    metrics: dict[str, int] = {}
    failure = None
    if plan.todo:
        graph = partial(build, files=plan.todo, config=plan.embed, output=plan.output)
        try:
            metrics = dict(run_graph(graph, beam_args))
        except GraphError as error:
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


def _tell(report: Report, plan: Plan, code: int, quiet: bool) -> None:
    if report.failure:
        print(f"error: {report.failure}", file=sys.stderr)
    elif code == EXIT_FAILED:
        for sentence in check_accounting(report):
            print(f"error: {sentence}", file=sys.stderr)
    if code in (EXIT_OK, EXIT_DEAD_LETTERS):
        if not quiet:
            print("\n".join(summarise(report, plan)))
        return
    print(
        f"Stopped before the end; {report.total('embedded'):,} vectors are safe in "
        f"{plan.output.root}. The same command carries on from there.",
        file=sys.stderr,
    )


def _announce(plan: Plan) -> None:
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
def _draining() -> Iterator[list[int]]:
    """Turns the first SIGINT or SIGTERM into a drain; a second one ends the process at once.

    Yields:
        The signals received.
    """
    received: list[int] = []
    previous: dict[int, Any] = {}

    def drain(number: int, frame: FrameType | None) -> None:
        received.append(number)
        request_stop()
        print("Stopping: finishing what was read. Again to stop at once.", file=sys.stderr)
        for each in previous:
            signal.signal(each, signal.SIG_DFL)

    for number in (signal.SIGINT, signal.SIGTERM):
        previous[number] = signal.signal(number, drain)
    try:
        yield received
    finally:
        for each, handler in previous.items():
            signal.signal(each, handler)
        clear_stop()

"""One run: options, checks, graph, report, exit code."""

from __future__ import annotations

import gc
import logging
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from typing import NoReturn

from pipeline.attending import announce, attended, followed
from pipeline.checks import Plan, prepare
from pipeline.ending import exit_code, leave, report_or_fail, tell
from pipeline.listening.endpoint import check_endpoint, serving_metrics
from pipeline.listening.event_log import check_event_log, logging_events
from pipeline.listening.limits import DeadLetterGuard, check_limit
from pipeline.listening.pace import Pace
from pipeline.messages.publishing import open_topics
from pipeline.messages.rounds import check_receiving, receive
from pipeline.messages.subscription import open_subscription
from pipeline.options import RunConfig, command_line, parse_options
from pipeline.rounds import embed
from pipeline.run_report import Report, report_run
from pipeline.runners import GraphError, is_heard, is_in_this_process, is_of_engine
from pipeline.sharding.beginning import check_sharing, prepare_shard
from pipeline.sharding.gpus import run_on_gpus
from pipeline.sharding.run import run_shard
from pipeline.terminal import EXIT_USAGE, allow_any_text, complain
from pipeline.watching.rounds import check_watch, watch
from pipeline.watching.stream import stream
from transforms import events
from transforms.errors import ConfigurationError, LostError
from transforms.output.commits import read_commits
from transforms.output.resuming import tidy

logger = logging.getLogger(__name__)


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Runs the command line and exits with its code."""
    allow_any_text()
    try:
        config = parse_options(argv)
        _set_up_logging(config)
        if config.sharing.gpus:
            check_options(config)
            sys.exit(run_on_gpus(config, command_line(argv)))
        sys.exit(run(config))
    except ConfigurationError as error:
        complain(str(error))
        sys.exit(EXIT_USAGE)
    except KeyboardInterrupt as error:
        told = str(error) or "Stopped. What was committed stays; the same command carries on."
        print(told, file=sys.stderr)
        sys.exit(128 + signal.SIGINT)


def run(config: RunConfig) -> int:
    """Does what a command line asks for, and tells a person about it.

    Returns:
        The exit code.

    Raises:
        ConfigurationError: Nothing can run as asked; nothing was changed.
    """
    check_options(config)
    source = open_subscription(config.input_subscription) if config.input_subscription else None
    topics = open_topics(config, source) if source else None
    with ExitStack() as held:
        held.enter_context(logging_events(config.event_log))
        held.enter_context(serving_metrics(config.metrics_port, config.quiet))
        lock = held.enter_context(ExitStack())
        shard = config.sharing.shard
        try:
            plan = prepare_shard(config, shard, lock) if shard else prepare(config, lock)
        except OSError as error:
            logger.debug("The output cannot be made ready.", exc_info=True)
            raise ConfigurationError(
                f"{config.output} cannot be made ready ({error}). Free some space, or make it "
                "writable; then the same command goes on."
            ) from error
        except KeyboardInterrupt as error:
            raise KeyboardInterrupt("Stopped before anything was embedded.") from error
        if shard:
            return run_shard(config, plan, lock)
        guard = DeadLetterGuard(config.max_dead_letters)
        if config.watch:
            follow = watch if is_in_this_process(config.beam_args) else stream
            plan, report, received = follow(config, plan)
        elif source and topics:
            plan, report, received = receive(config, plan, source, topics)
        else:
            with events.listening(guard):
                report, received = _run_once(config, plan)
            report = replace(report, failure=report.failure or guard.sentence)
        code = leave(plan, report, exit_code(report, received))
    tell(report, plan, code, config.quiet, was_too_much=guard.sentence is not None)
    return code


def check_options(config: RunConfig) -> None:
    """Makes sure that options can be had on the engine that is asked for.

    Raises:
        ConfigurationError: One cannot.
    """
    check_limit(config.max_dead_letters, config.beam_args)
    check_endpoint(config.metrics_port, config.beam_args)
    check_event_log(config.event_log, config.output, config.beam_args)
    check_watch(config)
    check_receiving(config)
    check_sharing(config)


def _run_once(config: RunConfig, plan: Plan) -> tuple[Report, list[int]]:
    """Returns what has come of a run, and the signals that kept it from its end."""
    announce(plan, config.quiet)
    attend = attended if is_heard(config.beam_args) else followed
    with attend(plan, config.quiet) as received:
        report = execute(plan, config.beam_args)
    return report, received if report.missing else []


def execute(plan: Plan, beam_args: Sequence[str] = ()) -> Report:
    """Runs the graph over what is not finished and returns what the output then holds.

    Without anything to do no graph is run and no model loaded. A failure of the graph is part of
    the report, and so is an output that cannot be read: what was committed stays.
    """
    start = time.monotonic()
    metrics: dict[str, int | str] = {}
    failure = None
    pace = Pace()
    if plan.todo:
        # Libraries and model stay; the collector need not look through them again and again.
        gc.freeze()
        try:
            with events.listening(pace):
                metrics = embed(plan, beam_args)
            tidy(plan.output.root, plan.output.run, read_commits(plan.output.root))
        except (GraphError, LostError, OSError) as error:
            failure = str(error)
    seconds = time.monotonic() - start
    return report_or_fail(partial(report_run, plan, seconds, metrics, pace), failure)


def _set_up_logging(config: RunConfig) -> None:
    # Forced, because Beam sets up logging of its own when it is imported.
    logging.basicConfig(format="%(message)s", stream=sys.stderr, force=True)
    logging.getLogger().setLevel(logging.DEBUG if config.verbose else logging.ERROR)
    if not config.verbose:
        # What a worker raises is told in one line at the end; Beam would log it with its traceback.
        for name in ("apache_beam", "grpc"):
            logging.getLogger(name).setLevel(logging.CRITICAL)
        for handler in logging.getLogger().handlers:
            handler.addFilter(lambda record: not is_of_engine(record))
    if not config.quiet and not config.verbose:
        for name in ("pipeline", "transforms"):
            logging.getLogger(name).setLevel(logging.INFO)

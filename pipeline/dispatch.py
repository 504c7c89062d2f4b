"""Which way a run goes: once, going on with what comes, as a shard, or a shard on each GPU."""

from __future__ import annotations

import logging
import sys
from contextlib import ExitStack
from dataclasses import replace
from functools import partial

from pipeline.attending import announce, attended, followed
from pipeline.checks import Plan, prepare
from pipeline.continuing import go_on
from pipeline.ending import exit_code, leave, tell
from pipeline.engine_errors import is_of_engine
from pipeline.execution import execute
from pipeline.listening.endpoint import serving_metrics
from pipeline.listening.event_log import logging_events
from pipeline.listening.limits import DeadLetterGuard
from pipeline.messages.publishing import open_topics
from pipeline.messages.receiving import Receiving
from pipeline.messages.subscription import open_subscription
from pipeline.option_groups.where import check_where
from pipeline.options import RunConfig
from pipeline.run_report import Report
from pipeline.runners import is_heard, is_in_this_process
from pipeline.sharding.beginning import prepare_shard
from pipeline.sharding.gpus import run_on_gpus
from pipeline.sharding.run import run_shard
from pipeline.watching.rounds import Watch
from pipeline.watching.stream import StreamingWatch
from transforms import events
from transforms.errors import ConfigurationError

logger = logging.getLogger(__name__)


def dispatch(config: RunConfig) -> int:
    """Does what is asked for, tells a person about it, and returns the exit code.

    Raises:
        ConfigurationError: Nothing can run as asked; nothing was changed.
    """
    check_where(config)
    if config.gpus:
        return run_on_gpus(config)
    source = open_subscription(config.input_subscription) if config.input_subscription else None
    topics = open_topics(config, source) if source else None
    with ExitStack() as held:
        held.enter_context(logging_events(config.event_log, config.output))
        held.enter_context(serving_metrics(config.metrics_port, config.quiet))
        lock = held.enter_context(ExitStack())
        try:
            plan = prepare_shard(config, lock) if config.shard else prepare(config, lock)
        except OSError as error:
            logger.debug("The output cannot be made ready.", exc_info=True)
            raise ConfigurationError(
                f"{config.output} cannot be made ready ({error}). Free some space, or make it "
                "writable; then the same command goes on."
            ) from error
        except KeyboardInterrupt as error:
            raise KeyboardInterrupt("Stopped before anything was embedded.") from error
        if config.shard:
            return run_shard(config, plan, lock)
        guard = DeadLetterGuard(config.max_dead_letters)
        if config.watch:
            kind = Watch if is_in_this_process(config.beam_args) else StreamingWatch
            plan, report, received = go_on(plan, partial(kind, config, plan))
        elif source and topics:
            begin = partial(Receiving, config, plan, source, topics)
            plan, report, received = go_on(plan, begin)
        else:
            with events.listening(guard):
                report, received = _run_once(config, plan)
            report = replace(report, failure=report.failure or guard.sentence)
        code = leave(plan, report, exit_code(report, received))
    tell(report, plan, code, config.quiet, was_too_much=guard.sentence is not None)
    return code


def _run_once(config: RunConfig, plan: Plan) -> tuple[Report, list[int]]:
    """Returns what has come of a run, and the signals that kept it from its end."""
    announce(plan, config.quiet)
    attend = attended if is_heard(config.beam_args) else followed
    with attend(plan, config.quiet) as received:
        report = execute(plan, config.beam_args)
    return report, received if report.missing else []


def set_up_logging(config: RunConfig) -> None:
    """Lets our own words through to the terminal, and of Beam's what is asked for."""
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

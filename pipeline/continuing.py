"""A run that goes on with what comes, in rounds of the same graph or as one job."""

from __future__ import annotations

import logging
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from itertools import islice

from pipeline.checks import Plan
from pipeline.draining import draining
from pipeline.ending import exit_code, report_or_fail
from pipeline.execution import add_metrics, embed, frozen
from pipeline.failures import count_failed
from pipeline.listening.pace import Pace
from pipeline.listening.tally import Tally
from pipeline.options import RunConfig
from pipeline.run_report import Report, report_run, write_report
from pipeline.runners import GraphError
from transforms import events
from transforms.errors import ConfigurationError, LostError
from transforms.esm.checkpoints import find_checkpoint
from transforms.esm.under_way import clear_notes
from transforms.inputs.finding import FastaFile
from transforms.inputs.stopping import request_stop
from transforms.output.commits import Output
from transforms.output.locks import check_held
from transforms.text import counted, printable

FILES_TOLD = 5
"""Of how many failed files of a round a person is told by name."""

REPORT_PAUSE = 9
"""How many times longer than it takes to write the report it is not written again: all that the
output holds is read for it, so that with many files it would come to take all of the time."""

logger = logging.getLogger(__name__)


class Continuing(ABC):
    """A run that does not end with what there is.

    Args:
        config: What is asked for.
        plan: The output, its lock and the model, made ready.
        received: Gets the signals that end it.
    """

    def __init__(self, config: RunConfig, plan: Plan, received: list[int]) -> None:
        self._config = config
        self._plan = plan
        self._root = plan.output.root
        self._received = received
        self._is_lost = False
        self._tally = Tally(0, 0)
        self._seconds = 0.0
        self._metrics: dict[str, int | str] = {}
        self._pace = Pace()

    @property
    @abstractmethod
    def plan(self) -> Plan:
        """The plan with the files that there are now."""

    @abstractmethod
    def run(self) -> str | None:
        """Goes on until the end and returns what made it fail; None if nothing did."""

    def numbers(self) -> dict[str, float]:
        """Returns how far it is, or its last round was, for the heartbeat."""
        return self._tally.numbers()

    def lose(self) -> None:
        """Takes note that the lock is lost."""
        self._is_lost = True
        request_stop()

    def report(self, failure: str | None = None, is_last: bool = True) -> Report:
        """Reads from the output what has become of each file."""
        return report_run(self.plan, self._seconds, self._metrics, self._pace, failure, is_last)


class Rounds(Continuing):
    """What a watch and a subscription have in common on the local runner."""

    def __init__(self, config: RunConfig, plan: Plan, received: list[int]) -> None:
        super().__init__(config, plan, received)
        self._number = 0
        self._report_is_due = False
        self._report_after = 0.0

    @property
    @abstractmethod
    def is_over(self) -> bool:
        """Whether nothing has come for so long that it is to end."""

    @abstractmethod
    def step(self) -> None:
        """Does what is to be done now, or waits for a moment."""

    def run(self) -> str | None:
        """Has rounds until the end and returns what made them fail; None if nothing did."""
        try:
            while not (self._received or self._is_lost or self.is_over):
                self.step()
            if self._is_lost:
                check_held(self._root, self._plan.output.lock)
        except (GraphError, LostError, ConfigurationError, OSError) as error:
            return str(error)
        return None

    def write_due_report(self) -> bool:
        """Writes the report if something has come since the last one and that is long ago.

        Returns:
            Whether it was written.
        """
        start = time.monotonic()
        if not self._report_is_due or start < self._report_after:
            return False
        report = self.report(is_last=False)
        write_report(self._root, report, exit_code(report, []))
        now = time.monotonic()
        self._report_is_due = False
        self._report_after = now + REPORT_PAUSE * (now - start)
        return True

    def embed_round(self, todo: Sequence[FastaFile], output: Output, is_begun: bool) -> None:
        """Runs the graph over the files of a round; see :func:`pipeline.execution.embed`.

        Raises:
            ConfigurationError: The model is not what it was at the start.
        """
        self._check_model()
        plan = replace(self._plan, todo=tuple(todo), is_begun=is_begun, output=output)
        with events.listening(self._pace):
            add_metrics(self._metrics, embed(plan, self._config.beam_args))

    def _check_model(self) -> None:
        model, known = self._plan.embed.model, self._plan.checkpoint
        if find_checkpoint(known.model, known.revision).fingerprint != known.fingerprint:
            raise ConfigurationError(
                f"--model {model.model} has changed since this run began, and this output is "
                "bound to what it was. Put it back."
            )

    def end_round(self, start: float, done: str, failed: Mapping[str, str], left: str = "") -> None:
        """Takes note that a round is over, and tells of it.

        Args:
            start: When it began, by the monotonic clock.
            done: What is done, in words.
            failed: Files that could not be read, each with why, in a word.
            left: What is to be carried on, in words.
        """
        clear_notes(self._root)
        self._tally.stop()
        seconds = time.monotonic() - start
        self._seconds += seconds
        numbers = self._tally.numbers()
        logger.info(
            "%s done in %.1f s: %s, %s failed%s.",
            done,
            seconds,
            counted(int(numbers["records"]), "record") or "no record",
            count_failed(int(numbers["dead_letters"]), len(failed)) or "none",
            f"; {left} to be carried on" if left else "",
        )
        for source, reason in islice(failed.items(), FILES_TOLD):
            logger.warning("Failed: %s: %s. See dead_letters/.", printable(source), reason)
        if len(failed) > FILES_TOLD:
            logger.warning("Failed: %s more.", counted(len(failed) - FILES_TOLD, "file"))


def go_on(plan: Plan, begin: Callable[[list[int]], Continuing]) -> tuple[Plan, Report, list[int]]:
    """Goes on until it is told to stop, fails, or nothing comes.

    Args:
        plan: The output, its lock and the model, made ready.
        begin: Makes what goes on; it is given the list that gets the signals that end it.

    Returns:
        The plan with the files that there are, what has come of all rounds, and those signals.
    """
    with ExitStack() as stack:
        stack.enter_context(frozen())
        received = stack.enter_context(draining(plan.output.root))
        going = begin(received)
        stack.enter_context(plan.lock.watched(going.numbers, going.lose))
        failure = going.run()
        report = report_or_fail(going.report, failure)
    return going.plan, report, received

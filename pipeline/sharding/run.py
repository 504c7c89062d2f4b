"""``--shard I/N``: one of n runs on the same inputs and one output, each with a lock of its own.

A shard reads every file, embeds the records that fall to it, and commits them as parts like any
other run. What concerns the whole output it leaves to the one that ends last; see
:mod:`pipeline.sharding.finishing`.
"""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import dataclass

from pipeline.attending import announce, attended
from pipeline.checks import Plan
from pipeline.ending import tell_stopped
from pipeline.execution import embed
from pipeline.listening.file_outcomes import FileOutcomes
from pipeline.listening.limits import DeadLetterGuard
from pipeline.options import RunConfig
from pipeline.runners import GraphError
from pipeline.sharding.finishing import finish_output
from pipeline.terminal import (
    EXIT_DEAD_LETTERS,
    EXIT_FAILED,
    EXIT_OK,
    complain,
    say,
    say_all,
    say_aside,
)
from transforms import events
from transforms.errors import AccountingError, ConfigurationError, LostError
from transforms.esm.under_way import clear_notes
from transforms.output.division import ShardEnd, has_ended, note_end
from transforms.shares import Share, read_shares
from transforms.text import counted, printable


@dataclass(frozen=True)
class _Outcome:
    """What has come of a shard.

    Attributes:
        shares: What it has of each file.
        failed: The files that it could not read.
        missing: How many files have no outcome.
        failure: What stopped it; None if nothing did.
        received: The signals that it got.
    """

    shares: dict[str, Share]
    failed: tuple[str, ...]
    missing: int
    failure: str | None
    received: list[int]

    @property
    def has_ended(self) -> bool:
        return not (self.failure or self.missing)

    @property
    def code(self) -> int:
        if self.failure or (self.missing and not self.received):
            return EXIT_FAILED
        if self.missing:
            return 128 + self.received[0]
        return EXIT_DEAD_LETTERS if self.dead_letters else EXIT_OK

    @property
    def rows(self) -> int:
        return sum(share.rows for share in self.shares.values())

    @property
    def dead_letters(self) -> int:
        """Records and files."""
        return sum(share.dead_letters for share in self.shares.values()) + len(self.failed)


def run_shard(config: RunConfig, plan: Plan, lock: ExitStack) -> int:
    """Does the share of a shard, completes the output if it is the last one, and tells.

    Args:
        config: What is asked for.
        plan: What :func:`~pipeline.sharding.beginning.prepare_shard` has returned.
        lock: Holds the lock of the shard; closed when its share is done.

    Returns:
        The exit code.
    """
    guard = DeadLetterGuard(config.max_dead_letters)
    try:
        with lock:
            announce(plan, config.quiet)
            outcome = _run(plan, config, guard)
    except (ConfigurationError, OSError) as error:  # the output may be damaged by now
        complain(
            f"What the shard has done cannot be noted: {error}", "The same command carries on."
        )
        return EXIT_FAILED
    _tell(plan, outcome, config.quiet, was_too_much=guard.sentence is not None)
    if not outcome.has_ended:
        return outcome.code
    try:
        # By now the lock is free. Of several that end at one time, the last that comes here finds
        # the locks of all others free too.
        finished = finish_output(plan.output.root, only_if_ended=True)
    except (AccountingError, ConfigurationError, OSError) as error:
        complain(
            str(error),
            "The share is done, but the output is not complete: "
            f"python -m pipeline.finish {plan.output.root} tries again.",
        )
        return EXIT_FAILED
    if finished.faults:
        say_aside("\n".join(finished.in_words()))
    elif not config.quiet:
        say_all(finished.in_words())
    # What is missing is for others, unless none is left to come.
    return outcome.code if finished.missing else finished.code


def _run(plan: Plan, config: RunConfig, guard: DeadLetterGuard) -> _Outcome:
    root, shard = plan.output.root, plan.output.shard
    assert shard is not None
    heard = FileOutcomes()
    failure = None
    metrics: dict[str, int | str] = {}
    with events.listening(guard), events.listening(heard), attended(plan, config.quiet) as received:
        start = time.monotonic()
        if plan.todo:
            try:
                metrics = embed(plan, config.beam_args)
            except (ConfigurationError, GraphError, LostError, OSError) as error:
                failure = str(error)
        seconds = time.monotonic() - start
    shares = {share.source: share for _, share in read_shares(root, [shard])}
    outcome = _Outcome(
        shares=shares,
        failed=tuple(sorted(heard.failed.keys() - shares.keys())),
        missing=sum(
            file.source not in shares and file.source not in heard.failed for file in plan.todo
        ),
        failure=failure or guard.sentence,
        received=received,
    )
    if not failure:  # a device that broke has to be remembered
        clear_notes(root, shard.runs)
    if outcome.has_ended and shard.division and not has_ended(root, shard):
        end = ShardEnd(
            plan.output.run, round(seconds, 3), plan.embed.model.device, outcome.failed, metrics
        )
        note_end(root, shard, end)
    rows, dead, seconds = outcome.rows, outcome.dead_letters, round(seconds, 3)
    events.emit(events.RunEnded(plan.output.run, outcome.code, rows, dead, seconds))
    return outcome


def _tell(plan: Plan, outcome: _Outcome, quiet: bool, was_too_much: bool) -> None:
    root = printable(plan.output.root)
    if outcome.failure:
        complain(outcome.failure)
    elif not outcome.has_ended and not outcome.received:
        complain(f"{counted(outcome.missing, 'file')} of {plan.output.shard}: not finished")
    if outcome.has_ended:
        if not quiet:
            failed = f", {outcome.dead_letters:,} failed" * bool(outcome.dead_letters)
            say(
                f"{str(plan.output.shard).capitalize()} is done: "
                f"{counted(outcome.rows, 'vector') or 'no vectors'} from "
                f"{counted(len(outcome.shares), 'file') or 'no file'}{failed}."
            )
        return
    tell_stopped(f"what is committed in {root} is safe", was_too_much)

"""Completing an output that shards have made, from what they have noted.

Inputs are not read again and no model is needed: when all shards have noted a file, its ``.pt`` and
its record follow from the parts.
"""

from __future__ import annotations

import time
import uuid
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace

from pipeline.checks import Plan, make_output
from pipeline.ending import exit_code
from pipeline.failures import MOST_SHOWN
from pipeline.recorded import read_bound
from pipeline.run_report import Report, make_report, write_report
from pipeline.summary import in_words
from pipeline.terminal import EXIT_FAILED
from transforms import storage
from transforms.embed import EmbedConfig
from transforms.errors import ConfigurationError
from transforms.esm.checkpoints import Checkpoint
from transforms.esm.model import ModelConfig
from transforms.esm.under_way import clear_notes
from transforms.inputs.finding import Listing
from transforms.output.commits import Output, read_commits
from transforms.output.division import (
    Division,
    ShardEnd,
    describe_missing,
    end_division,
    look_at_shards,
    read_division,
    read_ends,
)
from transforms.output.joining import join_shares, write_whole
from transforms.output.lock_names import FINISH
from transforms.output.locks import HeldError, Lock, hold, hold_parts, hold_when_free
from transforms.output.removal import keep_last_failures
from transforms.output.resuming import tidy
from transforms.output.sweeping import sweep
from transforms.text import counted, printable

_MOST_FAULTS = 20

_RELEASED = "It has no shards any more: any run, or another number of shards, carries on."


@dataclass(frozen=True)
class Finished:
    """What has come of completing an output.

    Attributes:
        root: The output root.
        missing: What has still to be done by others, in words; empty for nothing.
        faults: Why files cannot be finished though their shards have ended.
        completed: How many files were finished now.
        summary: What a person reads of a complete output.
        code: The exit code.
    """

    root: str
    missing: str = ""
    faults: tuple[str, ...] = ()
    completed: int = 0
    summary: tuple[str, ...] = ()
    code: int = EXIT_FAILED

    def in_words(self) -> list[str]:
        """Returns the lines that a person reads."""
        root = printable(self.root)
        lines = list(self.summary)
        if self.completed and not self.summary:
            lines.append(f"{counted(self.completed, 'file')} finished.")
        if self.missing:
            lines.append(f"{root} is not complete. {self.missing}")
        elif self.faults:
            lines.append(f"{root} is not complete, though all shards have ended:")
        lines += [printable(fault, MOST_SHOWN) for fault in self.faults[:_MOST_FAULTS]]
        if len(self.faults) > _MOST_FAULTS:
            lines.append(f"and {len(self.faults) - _MOST_FAULTS:,} more")
        return lines


def finish_output(
    output: str,
    only_if_ended: bool = False,
    release: bool = False,
    sleep: Callable[[float], object] = time.sleep,
) -> Finished:
    """Completes an output that shards have made, as far as they have.

    Args:
        output: The output root.
        only_if_ended: Whether nothing is to be done as long as a shard has not ended.
        release: Whether the division is to end although something is missing.
        sleep: Waits for some seconds; replaced by tests.

    Raises:
        AccountingError: A record has no outcome or several.
        ConfigurationError: There is no such output, or, to release it, a shard is at work.
        OSError: Something cannot be read or written.
    """
    root = storage.absolute(output)
    configuration = read_bound(root)
    if only_if_ended and (missing := _find_missing(root)):
        return Finished(root, missing)
    run = f"{FINISH}-{uuid.uuid4().hex[:12]}"
    with hold_when_free(root, run, FINISH, sleep) as lock:
        division = read_division(root)
        plan = _make_plan(make_output(root, run, configuration), lock)
        if division is None:
            return _look_at_whole(plan)
        return _Finisher(plan, division, sleep).finish(release)


def _find_missing(root: str) -> str:
    division = read_division(root)
    missing = describe_missing(look_at_shards(root, division)) if division else ""
    return missing and (
        f"{missing}. The last one to end completes it, or python -m pipeline.finish {root}."
    )


def _look_at_whole(plan: Plan) -> Finished:
    """Tells of an output that is not divided, or not any more."""
    root = plan.output.root
    report = make_report(plan, 0.0, {})
    if report.unfinished:
        files = counted(len(report.unfinished), "file")
        return Finished(root, f"It has no shards, and {files} not finished: go on without --shard.")
    summary = [f"{printable(root)} is complete.", *in_words(report, plan)[1:]]
    return Finished(root, summary=tuple(summary), code=exit_code(report, []))


@dataclass
class _Finisher:
    plan: Plan
    division: Division
    sleep: Callable[[float], object]

    def finish(self, release: bool) -> Finished:
        root, start = self.plan.output.root, time.monotonic()
        # In this order: a shard that ends meanwhile is missing, though what it has done may count.
        missing = _find_missing(root)
        ends = read_ends(root, self.division)
        committed = read_commits(root)
        whole, faults = join_shares(root, self.division, committed, ends)
        write_whole(whole, committed, self.plan.output)
        is_over = False
        with ExitStack() as held:
            if release or not (missing or faults):
                try:
                    self._hold_all(held)
                    is_over = True
                except HeldError as error:
                    missing = f"A shard is at work ({error}). The last one to end completes it."
                    if release:
                        raise ConfigurationError(f"{missing} To release it, stop it.") from error
            is_whole = not (missing or faults)
            if is_over:
                self._clean_up(is_whole)
            report = self._report(ends, time.monotonic() - start)
            code = exit_code(report, []) if is_whole else EXIT_FAILED
            write_report(root, report, code)
            if is_over:
                end_division(root)
                with hold_parts(root, self.plan.output.run, self.sleep):  # it is empty by then
                    storage.delete(storage.join(root, storage.STAGING))
        summary: list[str] = []
        if is_whole:
            count = counted(self.division.count, "shard")
            summary = [f"The work of {count} is complete.", *in_words(report, self.plan)[1:]]
        elif is_over:
            missing = f"{missing or 'Some files are not finished.'} {_RELEASED}"
        return Finished(root, missing, tuple(faults), len(whole), tuple(summary), code)

    def _hold_all(self, held: ExitStack) -> None:
        """Keeps all shards from beginning.

        Raises:
            HeldError: One is at work.
        """
        for number in range(self.division.count):
            name = self.division.shard(number).name
            held.enter_context(hold(self.plan.output.root, self.plan.output.run, name))

    def _clean_up(self, is_whole: bool) -> None:
        """Takes away what does not count; only while no shard is at work."""
        root, run = self.plan.output.root, self.plan.output.run
        with hold_parts(root, run, self.sleep):
            keep_last_failures(root, run)
            sweep(root)
        if is_whole:
            tidy(root, run, read_commits(root))
            clear_notes(root)

    def _report(self, ends: Mapping[int, ShardEnd], seconds: float) -> Report:
        metrics: Counter[str] = Counter()
        for end in ends.values():
            metrics.update({n: count for n, count in end.metrics.items() if isinstance(count, int)})
        report = make_report(self.plan, seconds, dict(metrics))
        devices = sorted({end.device for end in ends.values() if end.device})
        shards = [{"shard": number, **asdict(end)} for number, end in sorted(ends.items())]
        more = {"device": ", ".join(devices), "shards": shards}
        return replace(report, details={**report.details, **more})


def _make_plan(output: Output, lock: Lock) -> Plan:
    """Returns what a report is made from, where nothing is to be embedded."""
    bound = dict(output.configuration)
    return Plan(
        listing=Listing(bound["input_root"], (), 0),
        todo=(),
        embed=EmbedConfig(model=ModelConfig(bound["model"], bound["revision"], bound["dtype"])),
        output=output,
        checkpoint=Checkpoint(
            bound["model"],
            bound["revision"],
            None,
            bound["dim"],
            bound["layers"],
            bound["fingerprint"],
        ),
        lock=lock,
    )

"""Completing an output that shards have made, from what they have noted.

Inputs are not read again and no model is needed: when all shards have noted a file, its ``.pt`` and
its record follow from the parts.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from typing import Any

from pipeline.checks import make_output
from pipeline.ending import exit_code
from pipeline.execution import add_metrics
from pipeline.failures import MOST_SHOWN
from pipeline.file_states import UNFINISHED
from pipeline.recorded import read_bound
from pipeline.run_report import Report, make_report, write_report
from pipeline.summary import tell_output
from pipeline.terminal import EXIT_FAILED
from transforms import storage
from transforms.errors import ConfigurationError
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
from transforms.output.holders import FINISH
from transforms.output.joining import join_shares, write_whole
from transforms.output.locks import HeldError, hold, hold_parts, hold_when_free
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
) -> Finished:
    """Completes an output that shards have made, as far as they have.

    Args:
        output: The output root.
        only_if_ended: Whether nothing is to be done as long as a shard has not ended.
        release: Whether the division is to end although something is missing.

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
    with hold_when_free(root, run, FINISH):
        division = read_division(root)
        made = make_output(root, run, configuration)
        if division is None:
            return _look_at_whole(made)
        return _Finisher(made, division).finish(release)


def _find_missing(root: str) -> str:
    division = read_division(root)
    missing = describe_missing(look_at_shards(root, division)) if division else ""
    if missing and read_division(root) != division:
        return _find_missing(root)  # another shard has completed it in this moment
    return missing and (
        f"{missing}. The last one to end completes it, or python -m pipeline.finish {root}."
    )


def _look_at_whole(output: Output) -> Finished:
    """Tells of an output that is not divided, or not any more."""
    listing = _no_inputs(output)
    report = make_report(output, listing, 0.0, {}, {})
    if unfinished := report.with_status(UNFINISHED):
        files = counted(len(unfinished), "file")
        told = f"It has no shards, and {files} not finished: go on without --shard."
        return Finished(output.root, told)
    summary = [f"{printable(output.root)} is complete.", *tell_output(report, output, listing)]
    return Finished(output.root, summary=tuple(summary), code=exit_code(report, []))


def _no_inputs(output: Output) -> Listing:
    return Listing(dict(output.configuration)["input_root"], (), 0)


@dataclass
class _Finisher:
    output: Output
    division: Division

    def finish(self, release: bool) -> Finished:
        root, start = self.output.root, time.monotonic()
        # In this order: a shard that ends meanwhile is missing, though what it has done may count.
        missing = _find_missing(root)
        ends = read_ends(root, self.division)
        committed = read_commits(root)
        whole, faults = join_shares(root, self.division, committed, ends)
        write_whole(whole, committed, self.output)
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
                with hold_parts(root, self.output.run):  # it is empty by then
                    storage.delete(storage.join(root, storage.STAGING))
        summary: list[str] = []
        if is_whole:
            count = counted(self.division.count, "shard")
            told = tell_output(report, self.output, _no_inputs(self.output))
            summary = [f"The work of {count} is complete.", *told]
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
            held.enter_context(hold(self.output.root, self.output.run, name))

    def _clean_up(self, is_whole: bool) -> None:
        """Takes away what does not count; only while no shard is at work."""
        root, run = self.output.root, self.output.run
        with hold_parts(root, run):
            keep_last_failures(root, run)
            sweep(root)
        if is_whole:
            tidy(root, run, read_commits(root))
            clear_notes(root)

    def _report(self, ends: Mapping[int, ShardEnd], seconds: float) -> Report:
        metrics: dict[str, int | str] = {}
        for end in ends.values():
            add_metrics(metrics, end.metrics)
        devices = sorted({end.device for end in ends.values() if end.device})
        details: dict[str, Any] = {
            "options": {},
            "device": ", ".join(devices),
            "toks_per_batch": "auto",
            "pace": None,
            "shards": [{"shard": number, **asdict(end)} for number, end in sorted(ends.items())],
        }
        listing = _no_inputs(self.output)
        return make_report(self.output, listing, seconds, metrics, details)

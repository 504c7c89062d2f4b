"""The report of the last run, held against what is committed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

from pipeline.file_states import FINISHED, find_states
from pipeline.verification.findings import Finding, remark
from transforms import storage
from transforms.output.commits import Commits
from transforms.output.reopened import REOPENED


class _Outcome(NamedTuple):
    """What is told of a file."""

    status: str
    read: int | None
    embedded: int
    dead_lettered: int

    def __str__(self) -> str:
        read = f", read {self.read}" if self.status == FINISHED else ""
        return f"{self.status}{read}, embedded {self.embedded}, dead-lettered {self.dead_lettered}"


def check_report(root: str, name: str, committed: Commits) -> Iterator[Finding]:
    """The report says of each file what is committed.

    After a kill there is none, or that of an earlier run; then it is not looked at.
    """
    url = storage.join(root, name)
    try:
        if not storage.exists(url):
            yield remark("report", f"{name}: is not there, as after a kill: not checked")
            return
        (found,) = storage.match(url)
        report = json.loads(storage.read_bytes(url))
    except (OSError, ValueError) as error:
        yield Finding("damaged", f"{name}: cannot be read ({error})")
        return
    # Where records have been taken out since, no part may tell.
    reopened = storage.match(storage.join(root, REOPENED))
    if _is_older(report, committed) or any(each.mtime > found.mtime for each in reopened):
        yield remark("report", f"{name}: is older than the last part, as after a kill: not checked")
        return
    yield from compare_report(name, report, committed)


def _is_older(report: Any, committed: Commits) -> bool:
    until = report.get("committed_until", "") if isinstance(report, dict) else ""
    return bool(committed.latest() > str(until))


def compare_report(name: str, report: Any, committed: Commits) -> Iterator[Finding]:
    """Holds the counts of a report against those of the commits."""
    try:
        told = {
            each["source"]: _Outcome(*(each[field] for field in _Outcome._fields))
            for each in report["files"]
        }
        sums = {
            "files": len(told),
            "read": sum(outcome.read or 0 for outcome in told.values()),
            "embedded": sum(outcome.embedded for outcome in told.values()),
            "dead_lettered": sum(outcome.dead_lettered for outcome in told.values()),
        }
        wrong = [what for what, value in sums.items() if report["totals"][what] != value]
    except (KeyError, TypeError) as error:
        yield Finding("damaged", f"{name}: is not as it must be ({error!r})")
        return
    if wrong:
        yield Finding("report", f"{name}: totals are not the sums of its files: {', '.join(wrong)}")
    # A run also tells of files of which nothing is committed yet.
    for file in find_states(committed, told):
        outcome = _Outcome(file.status, file.records, file.rows, file.dead_letters)
        if file.source not in told:
            yield Finding("report", f"{name}: does not tell of {file.source}")
        elif (said := told[file.source]) != outcome:
            yield Finding("report", f"{name}: {file.source}: {said}; but committed is: {outcome}")

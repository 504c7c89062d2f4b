"""The report of the last run, held against what is committed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, NamedTuple

from pipeline.verification.findings import Finding, remark
from transforms import storage
from transforms.output.commits import Commits
from transforms.output.reopened import REOPENED


class _Outcome(NamedTuple):
    """What is told of a file."""

    finished: bool
    read: int | None
    embedded: int
    dead_lettered: int

    def __str__(self) -> str:
        status = f"finished, read {self.read}" if self.finished else "not finished"
        return f"{status}, embedded {self.embedded}, dead-lettered {self.dead_lettered}"


def check_report(root: str, name: str, committed: Commits) -> Iterator[Finding]:
    """The report says of each file what is committed.

    After a kill there is none, or that of an earlier run; then it is not looked at.

    Args:
        root: The output root.
        name: The report.
        committed: What is committed.
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
    if _is_older(found.mtime, committed) or any(each.mtime > found.mtime for each in reopened):
        yield remark("report", f"{name}: is older than the last part, as after a kill: not checked")
        return
    yield from compare_report(name, report, committed)


def _is_older(mtime: float, committed: Commits) -> bool:
    # A second more, because the clock of a file system may lag.
    written = datetime.fromtimestamp(mtime + 1, UTC).isoformat().replace("+00:00", "Z")
    times = [part.time for part in committed.parts.values()]
    times += [file.time for file in committed.files.values()]
    return any(time > written for time in times)


def compare_report(name: str, report: Any, committed: Commits) -> Iterator[Finding]:
    """Holds the counts of a report against those of the commits.

    Args:
        name: The report.
        report: Its content.
        committed: What is committed.
    """
    try:
        told = {
            each["source"]: _Outcome(
                each["status"] == "finished", each["read"], each["embedded"], each["dead_lettered"]
            )
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
    held = _outcomes(committed)
    for source in sorted(told.keys() | held.keys()):
        # A run also tells of files of which nothing is committed yet.
        outcome = held.get(source, _Outcome(False, None, 0, 0))
        if source not in told:
            yield Finding("report", f"{name}: does not tell of {source}")
        elif told[source] != outcome:
            yield Finding(
                "report", f"{name}: {source}: {told[source]}; but committed is: {outcome}"
            )


def _outcomes(committed: Commits) -> dict[str, _Outcome]:
    parts_of = committed.by_source()
    outcomes = {}
    for source in parts_of.keys() | committed.files.keys():
        record = committed.files.get(source)
        held = [part.sources[source] for part in parts_of.get(source, ())]
        outcomes[source] = _Outcome(
            record is not None,
            record.records if record else None,
            sum(each.rows for each in held),
            sum(each.dead_letters for each in held),
        )
    return outcomes

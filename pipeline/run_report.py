"""What a run leaves behind for people and programs: the report, and the log of failures.

All of it is derived from the commit records and the parts, which are the truth.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, BinaryIO

from pipeline.checks import Plan
from pipeline.failures import Failures, count_failures, iterate_dead_letters
from pipeline.file_states import FAILED, UNFINISHED, FileState, find_states
from pipeline.listening.pace import Pace
from pipeline.outputs import FAILURES_LOG, REPORT, read_run_report
from pipeline.remarks import NUCLEOTIDES, find_seeming_nucleotides
from pipeline.settled import read_settled
from pipeline.shared_ids import count_sharing_an_id
from pipeline.versions import read_versions
from transforms import storage
from transforms.inputs.finding import Listing
from transforms.items import DeadLetter
from transforms.output.commits import Commits, Output
from transforms.output.reopened import read_reopened
from transforms.text import printable

MEASURED = (
    "options", "device", "toks_per_batch", "versions", "seconds", "metrics", "pace", "measured_in",
)  # fmt: skip
"""What a report tells of the work of a run, and of which run that is."""

# A "|" that stands where a separator of the failures log would: between blanks or at an edge.
_SEPARATOR_LIKE = re.compile(r"(?<![^ ])\||\|(?![^ ])")


@dataclass(frozen=True)
class Report:
    """The outcome of a run.

    Attributes:
        failure: What stopped it; None if nothing did.
        run: Its name.
        files: Its files and those of every earlier run on this output.
        urls: Where it read its files.
        failures: The dead letters of the output by kind, the most frequent first.
        missing: Its files that have no outcome, if it has ended.
        seconds: How long the run took.
        details: Configuration, versions, metrics and times; empty where the output cannot be read.
        committed: What all of this was read from.
        earlier: What the run before says of itself; empty where none does.
        nucleotides: Files that seem to hold nucleotides.
        sharing_an_id: Rows with an id that another one has too; None where that is not known.
    """

    failure: str | None = None
    run: str = ""
    files: tuple[FileState, ...] = ()
    urls: Mapping[str, str] = field(default_factory=dict)
    failures: tuple[Failures, ...] = ()
    missing: tuple[str, ...] = ()
    seconds: float = 0.0
    details: Mapping[str, Any] = field(default_factory=dict)
    committed: Commits = field(default_factory=lambda: Commits({}, {}))
    earlier: Mapping[str, Any] = field(default_factory=dict)
    nucleotides: tuple[str, ...] = ()
    sharing_an_id: int | None = None

    @property
    def rows(self) -> int:
        """How many rows the output holds."""
        return sum(file.rows for file in self.files)

    @property
    def dead_letters(self) -> int:
        """How many dead letters the output holds, those of whole files too."""
        return sum(kind.count for kind in self.failures)

    def with_status(self, status: str) -> list[FileState]:
        """Returns the files with a status."""
        return [file for file in self.files if file.status == status]


def make_report(
    output: Output,
    listing: Listing,
    seconds: float,
    metrics: Mapping[str, int | str],
    details: Mapping[str, Any],
    failure: str | None = None,
    is_last: bool = True,
) -> Report:
    """Reads from an output what has become of each file.

    Args:
        output: Where the run has written.
        listing: Its input files.
        seconds: How long it took.
        metrics: What the graph counted.
        details: What else is told of it, by the names of a report.
        failure: What stopped it.
        is_last: Whether it has ended; before, no file is missing, and ids are not counted, for
            all rows are read for it.
    """
    root = output.root

    def read(committed: Commits) -> tuple[Commits, tuple[Failures, ...]]:
        return committed, count_failures(iterate_dead_letters(root, committed))

    committed, failures = read_settled(root, read)
    urls = {file.source: file.url for file in listing.files}
    files = find_states(committed, urls.keys() | read_reopened(root, committed))
    unfinished = (file.source for file in files if file.status == UNFINISHED)
    earlier = read_run_report(root)
    return Report(
        failure=failure,
        run=output.run,
        files=files,
        urls=urls,
        failures=failures,
        missing=tuple(source for source in unfinished if is_last and source in urls),
        seconds=seconds,
        details={
            "run": output.run,
            "configuration": dict(output.configuration),
            "versions": read_versions(),
            "metrics": dict(sorted(metrics.items())),
            "passed_over_by_name": listing.passed_over,
            **details,
        },
        committed=committed,
        earlier=earlier,
        nucleotides=find_seeming_nucleotides(earlier, listing, {file.source for file in files}),
        sharing_an_id=count_sharing_an_id(root, committed) if is_last else None,
    )


def report_run(
    plan: Plan,
    seconds: float,
    metrics: Mapping[str, int | str],
    pace: Pace | None,
    failure: str | None = None,
    is_last: bool = True,
) -> Report:
    """Reads from the output of a run what has become of each file.

    Args:
        plan: What the run was to do.
        seconds: How long it took.
        metrics: What the graph counted.
        pace: What has listened to it; None where it is not heard.
        failure: What stopped it.
        is_last: As :func:`make_report` takes it.
    """
    model = plan.embed.model
    details = {
        "options": dict(plan.options),
        "device": model.device,
        "toks_per_batch": model.toks_per_batch or "auto",
        "pace": pace.as_json() if pace else None,
    }
    return make_report(plan.output, plan.listing, seconds, metrics, details, failure, is_last)


def check_accounting(report: Report) -> list[str]:
    """Returns a sentence for each file whose records do not add up."""
    return [
        f"{printable(file.source)}: read {file.records}, embedded {file.rows}, "
        f"dead-lettered {file.dead_letters}"
        for file in report.files
        if not file.adds_up
    ] + [f"{printable(source)}: not finished" for source in report.missing]


def write_report(root: str, report: Report, exit_code: int) -> None:
    """Writes ``run_report.json`` and ``extraction_failures.log``.

    What became of each file is told as of now. Of a run that gave the model nothing, what was
    measured stays that of the last one that did: the same command once more takes nothing away.
    """
    files = [_as_json(file, report) for file in report.files]
    counts = ("read", "residues", "embedded", "dead_lettered", "embedded_this_run")
    content = {
        "exit_code": exit_code,
        "failure": report.failure,
        "seconds": round(report.seconds, 3),
        "totals": {"files": len(files), "failed_files": len(report.with_status(FAILED))}
        | {name: sum(file[name] or 0 for file in files) for name in counts},
        **report.details,
        "measured_in": report.run,
        "committed_until": report.committed.latest(),
        NUCLEOTIDES: list(report.nucleotides),
        "sharing_an_id": report.sharing_an_id,
        "files": files,
    }
    earlier = report.earlier
    # Shards are measured one by one.
    was_measured = _has_passes(earlier) and "shards" not in {**earlier, **content}
    if was_measured and not _has_passes(content):
        content |= {name: earlier[name] for name in MEASURED if name in earlier}
    data = json.dumps(content, indent=1).encode()
    storage.publish(root, REPORT, lambda handle: handle.write(data))
    read_settled(
        root,
        lambda committed: storage.publish(root, FAILURES_LOG, partial(_write_log, root, committed)),
        report.committed,
    )


def _has_passes(report: Mapping[str, Any]) -> bool:
    """Tells whether the model was given anything: a file that failed is read by every run."""
    metrics = report.get("metrics")
    return isinstance(metrics, dict) and bool(metrics.get("passes"))


def _as_json(file: FileState, report: Report) -> dict[str, Any]:
    return {
        "source": file.source,
        "url": report.urls.get(file.source) or file.url,
        "status": file.status,
        "read": file.records,
        "residues": file.residues,
        "embedded": file.rows,
        "dead_lettered": file.dead_letters,
        "embedded_this_run": file.rows_of(report.run),
        "pt": file.pt,
    }


def _write_log(root: str, committed: Commits, handle: BinaryIO) -> None:
    for letter in iterate_dead_letters(root, committed):
        handle.write(f"{log_line(letter)}\n".encode())


def log_line(letter: DeadLetter) -> str:
    """Returns a line of ``extraction_failures.log``, in the format of the script we replace.

    It is one line of five fields, four times `` | `` between them, whatever an id or a file name
    holds: white space becomes one blank, what is not printable is escaped, and so is a ``|`` that
    would pass for a separator.
    """
    fields = (letter.time, letter.source, letter.id, letter.error_type, letter.message)
    shown = (printable(" ".join(field.split())) for field in fields)
    return " | ".join(_SEPARATOR_LIKE.sub(r"\|", field) for field in shown)

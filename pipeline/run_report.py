"""What a run leaves behind for people and programs: the report, and the log of failures.

All of it is derived from the commit records and the parts, which are the truth.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any, BinaryIO

from pipeline.checks import Plan
from pipeline.failures import (
    Failures,
    count_failures,
    iterate_dead_letters,
)
from pipeline.listening.pace import Pace
from pipeline.outputs import FAILURES_LOG, REPORT, read_run_report
from pipeline.remarks import (
    NUCLEOTIDES,
    count_sharing_an_id,
    find_suspects,
)
from pipeline.settled import read_settled
from pipeline.versions import read_versions
from transforms import storage
from transforms.items import DeadLetter
from transforms.output.commits import Commits, PartRecord
from transforms.output.parts import is_of_run
from transforms.output.reopened import read_reopened
from transforms.text import printable

MEASURED = (
    "options", "device", "toks_per_batch", "versions", "seconds", "metrics", "pace", "measured_in",
)  # fmt: skip
"""What a report tells of the work of a run, and of which run that is."""

# A "|" that stands where a separator of the failures log would: between blanks or at an edge.
_SEPARATOR_LIKE = re.compile(r"(?<![^ ])\||\|(?![^ ])")


@dataclass(frozen=True)
class FileOutcome:
    """What became of one input file.

    Attributes:
        source: Path below the input root.
        url: Where it was read.
        status: ``finished``, ``failed`` (could not be read to its end) or ``unfinished``.
        read: Records that it holds; None where that is not known.
        residues: Residues of those records; None where that is not known.
        embedded: Rows on disk.
        dead_lettered: Dead letters on disk, the file's own not counted.
        embedded_this_run: Rows that this run has added.
        pt: Path of its ``.pt`` below the output root; None without one.
    """

    source: str
    url: str
    status: str
    read: int | None
    residues: int | None
    embedded: int
    dead_lettered: int
    embedded_this_run: int
    pt: str | None


@dataclass(frozen=True)
class Report:
    """The outcome of a run.

    Attributes:
        files: The files of this run and of every earlier one on this output.
        failures: The dead letters of the output by kind, the most frequent first.
        missing: Input files of this run that have no outcome.
        seconds: How long the run took.
        failure: What stopped the graph; None if nothing did.
        details: Configuration, versions, metrics and times.
        committed: What all of this was read from.
        nucleotides: Files that seem to hold nucleotides.
        sharing_an_id: Rows with an id that another one has too; None where that is not known.
    """

    files: tuple[FileOutcome, ...]
    failures: tuple[Failures, ...]
    missing: tuple[str, ...]
    seconds: float
    failure: str | None
    details: Mapping[str, Any]
    committed: Commits = field(default_factory=lambda: Commits({}, {}))
    nucleotides: tuple[str, ...] = ()
    sharing_an_id: int | None = None

    def total(self, name: str) -> int:
        """Returns a count of :class:`FileOutcome`, summed over the files."""
        return sum(getattr(outcome, name) or 0 for outcome in self.files)

    @property
    def unfinished(self) -> tuple[FileOutcome, ...]:
        """The files that a run has begun, or is to do, and that have no outcome."""
        return tuple(outcome for outcome in self.files if outcome.status == "unfinished")

    @property
    def dead_letters(self) -> int:
        """How many dead letters the output holds, those of whole files too."""
        return sum(failures.count for failures in self.failures)

    @property
    def failed(self) -> tuple[FileOutcome, ...]:
        """The files that could not be read to their end."""
        return tuple(outcome for outcome in self.files if outcome.status == "failed")


def make_report(
    plan: Plan,
    seconds: float,
    metrics: Mapping[str, int | str],
    failure: str | None = None,
    pace: Pace | None = None,
) -> Report:
    """Reads from the output what became of each file.

    Args:
        plan: What the run was to do.
        seconds: How long it took.
        metrics: What the graph counted.
        failure: What stopped it.
        pace: What has listened to it; None where it is not heard.
    """

    def read(committed: Commits) -> tuple[Commits, tuple[Failures, ...]]:
        return committed, count_failures(iterate_dead_letters(plan.output.root, committed))

    committed, failures = read_settled(plan.output.root, read)
    urls = {file.source: file.url for file in plan.listing.files}
    parts_of = committed.by_source()
    reopened = read_reopened(plan.output.root, committed)
    sources = sorted(urls.keys() | committed.files.keys() | parts_of.keys() | reopened)
    failed = committed.failed_sources()
    files = tuple(
        _outcome(
            source,
            urls.get(source, ""),
            parts_of.get(source, ()),
            committed,
            failed,
            plan.output.run,
        )
        for source in sources
    )
    return Report(
        files=files,
        failures=failures,
        missing=tuple(o.source for o in files if o.source in urls and o.status == "unfinished"),
        seconds=seconds,
        failure=failure,
        details={
            "run": plan.output.run,
            "configuration": dict(plan.output.configuration),
            "options": dict(plan.options),
            "device": plan.embed.model.device,
            "toks_per_batch": plan.embed.model.toks_per_batch or "auto",
            "versions": read_versions(),
            "metrics": dict(sorted(metrics.items())),
            "pace": pace.as_json() if pace else None,
            "passed_over_by_name": plan.listing.passed_over,
        },
        committed=committed,
        nucleotides=find_suspects(plan.output.root, plan.listing, sources),
        sharing_an_id=count_sharing_an_id(plan.output.root, committed),
    )


def _outcome(
    source: str,
    url: str,
    parts: Sequence[PartRecord],
    committed: Commits,
    failed: set[str],
    run: str,
) -> FileOutcome:
    record = committed.files.get(source)
    status = "finished" if record else "failed" if source in failed else "unfinished"
    return FileOutcome(
        source=source,
        url=url or (record.url if record else ""),
        status=status,
        read=record.records if record else None,
        residues=record.residues if record else None,
        embedded=sum(part.sources[source].rows for part in parts),
        dead_lettered=sum(part.sources[source].dead_letters for part in parts),
        embedded_this_run=sum(
            part.sources[source].rows for part in parts if is_of_run(part.run, run)
        ),
        pt=record.pt if record else None,
    )


def check_accounting(report: Report) -> list[str]:
    """Returns a sentence for each file whose records do not add up."""
    return [
        f"{printable(o.source)}: read {o.read}, embedded {o.embedded}, "
        f"dead-lettered {o.dead_lettered}"
        for o in report.files
        if o.status == "finished" and o.read != o.embedded + o.dead_lettered
    ] + [f"{printable(source)}: not finished" for source in report.missing]


def write_report(root: str, report: Report, exit_code: int) -> None:
    """Writes ``run_report.json`` and ``extraction_failures.log``.

    What became of each file is told as of now. Of a run that gave the model nothing, what was
    measured stays that of the last one that did: the same command once more takes nothing away.
    """
    names = ("read", "residues", "embedded", "dead_lettered", "embedded_this_run")
    content = {
        "exit_code": exit_code,
        "failure": report.failure,
        "seconds": round(report.seconds, 3),
        "totals": {"files": len(report.files), "failed_files": len(report.failed)}
        | {name: report.total(name) for name in names},
        **report.details,
        "measured_in": report.details.get("run"),
        NUCLEOTIDES: list(report.nucleotides),
        "sharing_an_id": report.sharing_an_id,
        "files": [asdict(outcome) for outcome in report.files],
    }
    if not report.details.get("metrics"):
        earlier = read_run_report(root)
        # Shards are measured one by one.
        if earlier.get("metrics") and "shards" not in {**earlier, **content}:
            content |= {name: earlier[name] for name in MEASURED if name in earlier}
    data = json.dumps(content, indent=1).encode()
    storage.publish(root, REPORT, lambda handle: handle.write(data))
    read_settled(
        root,
        lambda committed: storage.publish(root, FAILURES_LOG, partial(_write_log, root, committed)),
        report.committed,
    )


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

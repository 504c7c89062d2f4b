"""What a verification finds in an output, and how a person and a program are told."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from transforms.text import counted, printable

_NAMED = 3  # of several things, those that a sentence names

_ADVICE = """\
A .pt that is damaged or stale is written again by the next run once it is deleted. What differs
in embeddings/, dead_letters/ or commits/ has to be put back from a copy, or --overwrite makes it
anew."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something in an output that is to be told.

    Attributes:
        kind: Short class, e.g. ``digest`` or ``order``.
        message: A sentence that names file, part and record.
        is_fault: False for a remark: what could not be checked, or what the next run mends.
    """

    kind: str
    message: str
    is_fault: bool = True


def remark(kind: str, message: str) -> Finding:
    """Returns a finding that is no fault."""
    return Finding(kind, message, is_fault=False)


def place(source: str, ordinal: int) -> str:
    """Returns how a record is named in a sentence."""
    return f"{source}, record {ordinal + 1:,}"


def some(things: Sequence[object], total: int | None = None) -> str:
    """Returns the first of several things, and how many more there are.

    Args:
        things: The things, or the first of them.
        total: How many there are in all; None for as many as are given.
    """
    shown = ", ".join(str(thing) for thing in things[:_NAMED])
    more = (len(things) if total is None else total) - _NAMED
    return shown + (f" and {more:,} more" if more > 0 else "")


@dataclass
class Findings:
    """Sentences by kind, at most so many of each."""

    most: int
    counts: Counter[str] = field(default_factory=Counter)
    shown: dict[str, list[str]] = field(default_factory=dict)

    def add(self, finding: Finding) -> None:
        """Counts a finding, and keeps its sentence unless there are enough of its kind."""
        self.counts[finding.kind] += 1
        shown = self.shown.setdefault(finding.kind, [])
        if len(shown) < self.most:
            shown.append(finding.message)

    def lines(self) -> list[str]:
        """Returns what a person reads."""
        lines = []
        for kind, shown in self.shown.items():
            lines += [f"  {kind}: {printable(message)}" for message in shown]
            if more := self.counts[kind] - len(shown):
                lines.append(f"  {kind}: and {more:,} more")
        return lines

    def as_json(self) -> list[dict[str, Any]]:
        """Returns what a program reads."""
        return [
            {"kind": kind, "count": self.counts[kind], "messages": shown}
            for kind, shown in self.shown.items()
        ]


@dataclass
class Result:
    """What came of a verification.

    Attributes:
        root: The output.
        seed: What drew the sample.
        faults: What differs.
        remarks: What could not be checked, or what the next run mends.
        rows: Rows that are committed.
        parts: The parts in which they lie.
        files: Finished files.
        sampled: Vectors that were computed again.
    """

    root: str
    seed: int
    faults: Findings
    remarks: Findings
    rows: int = 0
    parts: int = 0
    files: int = 0
    sampled: int = 0

    def in_words(self) -> list[str]:
        """Returns the lines that a person reads."""
        counts = f"{_number(self.rows, 'row')} in {_number(self.parts, 'part')}, "
        counts += _number(self.files, "finished file")
        total = sum(self.faults.counts.values())
        if not total:
            lines = [f"{counts}: everything agrees."]
        else:
            lines = [f"{counts}: {_number(total, 'difference')}:", *self.faults.lines(), _ADVICE]
        if self.sampled:
            computed = f"{_number(self.sampled, 'vector')} computed again"
            lines.append(f"{computed}, drawn at random; --seed {self.seed} draws the same ones.")
        if self.remarks.counts:
            lines += ["Not checked, or left for the next run:", *self.remarks.lines()]
        return lines

    def as_json(self) -> str:
        """Returns what a program reads."""
        return json.dumps(
            {
                "output": self.root,
                "agrees": not self.faults.counts,
                "rows": self.rows,
                "parts": self.parts,
                "files": self.files,
                "sampled": self.sampled,
                "seed": self.seed,
                "differences": self.faults.as_json(),
                "remarks": self.remarks.as_json(),
            },
            indent=1,
        )


def _number(count: int, thing: str) -> str:
    return counted(count, thing) or f"0 {thing}s"

"""What an output holds and who is at work in it, read without disturbing anybody.

Memory holds the commit records, which are small, and of the dead letters one at a time. Nothing
here needs the model's libraries, which take seconds to load.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from transforms import storage
from transforms.commits import (
    DEAD_LETTERS,
    PT,
    Commits,
    PartRecord,
    read_commits,
    read_configuration,
)
from transforms.errors import ConfigurationError
from transforms.holders import Holder, State, read_holders, state_of
from transforms.reopened import read_reopened

LOOKS, SECONDS_BETWEEN_LOOKS = 10, 0.05
"""How often an output is looked at, if a run takes files away while they are being read."""


@dataclass(frozen=True, slots=True)
class FileStatus:
    """What is committed of one input file.

    Attributes:
        source: Path below the input root.
        status: ``finished``, ``failed`` (could not be read to its end) or ``unfinished``.
        records: Records that it holds; None where that is not known.
        rows: Rows on disk.
        dead_letters: Dead letters on disk, the file's own not counted.
        pt: Path of its ``.pt`` below the output root; None without one.
        pt_there: Whether that file is there.
    """

    source: str
    status: str
    records: int | None
    rows: int
    dead_letters: int
    pt: str | None
    pt_there: bool


@dataclass(frozen=True, slots=True)
class Reason:
    """Dead letters of one kind, the first of them as an example.

    Attributes:
        stage: Step that failed.
        error_type: Short class of the failure.
        count: How many there are.
        source: File of the first.
        ordinal: Its position there; None for the whole file.
        id: Its id.
        message: What is said of it.
    """

    stage: str
    error_type: str
    count: int
    source: str
    ordinal: int | None
    id: str
    message: str


@dataclass(frozen=True, slots=True)
class Overview:
    """An output at one moment.

    Attributes:
        root: The output root.
        configuration: What its rows are computed with; empty before the first run gets to work.
        holders: Who holds its locks, or held them last.
        states: What is known of each of these, in the same order.
        parts: How many parts are committed.
        files: The files of which something is committed, sorted by source.
        reasons: Why records and files failed, the most frequent first.
        gone: Committed files that are not there.
    """

    root: str
    configuration: Mapping[str, Any]
    holders: tuple[Holder, ...]
    states: tuple[State, ...]
    parts: int
    files: tuple[FileStatus, ...]
    reasons: tuple[Reason, ...]
    gone: tuple[str, ...]

    def count(self, status: str) -> int:
        """Returns how many files have a status."""
        return sum(file.status == status for file in self.files)


def look(output: str, sleep: Callable[[float], object] = time.sleep) -> Overview:
    """Reads what an output holds.

    A run may replace parts meanwhile. What is missing is looked for again in new records.

    Args:
        output: The output root.
        sleep: Waits for some seconds; replaced by tests.

    Raises:
        ConfigurationError: There is no output, or it cannot be read.
    """
    root = storage.absolute(output)
    for _ in range(LOOKS - 1):
        try:
            seen = _look(root)
        except FileNotFoundError:
            pass  # replaced between two looks: the records say by what
        else:
            if not seen.gone:
                return seen
        sleep(SECONDS_BETWEEN_LOOKS)
    try:
        return _look(root)
    except OSError as error:
        raise ConfigurationError(f"Cannot read {root} ({error.strerror or error}).") from error


def _look(root: str) -> Overview:
    configuration, holders = read_configuration(root), tuple(read_holders(root))
    if configuration is None and not holders:
        raise ConfigurationError(f"{root} is not the output of a run.")
    committed = read_commits(root)
    parts = sorted(committed.parts.values(), key=lambda part: part.time)
    reasons = _Reasons(committed)
    for part in parts:
        reasons.add(root, part)
    return Overview(
        root=root,
        configuration=configuration or {},
        holders=holders,
        states=tuple(state_of(holder) for holder in holders),
        parts=len(parts),
        files=tuple(_files(root, committed)),
        reasons=reasons.found(),
        gone=tuple(reasons.gone),
    )


def _files(root: str, committed: Commits) -> Iterator[FileStatus]:
    rows: Counter[str] = Counter()
    dead: Counter[str] = Counter()
    for part in committed.parts.values():
        for source, held in part.sources.items():
            rows[source] += held.rows
            dead[source] += held.dead_letters
    failed = committed.failed_sources()
    there = {found.url for found in storage.match(storage.join(root, PT) + "/")}
    for source in sorted(rows.keys() | committed.files.keys() | read_reopened(root, committed)):
        record = committed.files.get(source)
        pt = record.pt if record else None
        yield FileStatus(
            source=source,
            status="finished" if record else "failed" if source in failed else "unfinished",
            records=record.records if record else None,
            rows=rows[source],
            dead_letters=dead[source],
            pt=pt,
            pt_there=pt is not None and storage.join(root, *pt.split("/")) in there,
        )


class _Reasons:
    """Counts dead letters by their reason."""

    def __init__(self, committed: Commits) -> None:
        self.gone: list[str] = []
        self._finished = committed.files.keys()
        self._counts: Counter[tuple[str, str]] = Counter()
        self._first: dict[tuple[str, str], dict[str, Any]] = {}
        self._failed: dict[str, dict[str, Any]] = {}

    def add(self, root: str, part: PartRecord) -> None:
        """Counts those of a part; parts come in the order of their times."""
        if part.dead_letters is None:
            return
        url = storage.join(root, DEAD_LETTERS, part.dead_letters)
        try:
            for line in _lines(url):
                letter = json.loads(line)
                if letter["ordinal"] is not None:
                    self._count(letter)
                elif letter["source"] not in self._finished:
                    # Of a file that was tried several times the last failure counts.
                    self._failed[letter["source"]] = letter
        except FileNotFoundError:
            self.gone.append(f"{DEAD_LETTERS}/{part.dead_letters}")
        except (ValueError, KeyError, TypeError) as error:
            raise ConfigurationError(f"{url} is damaged. Put it back from a copy.") from error

    def _count(self, letter: dict[str, Any]) -> None:
        reason = letter["stage"], letter["error_type"]
        self._counts[reason] += 1
        self._first.setdefault(reason, letter)

    def found(self) -> tuple[Reason, ...]:
        """Returns the reasons, the most frequent first."""
        for letter in self._failed.values():
            self._count(letter)
        self._failed.clear()
        names = ("source", "ordinal", "id", "message")
        return tuple(
            Reason(*reason, count, **{name: self._first[reason][name] for name in names})
            for reason, count in self._counts.most_common()
        )


def _lines(url: str) -> Iterator[bytes]:
    rest = b""
    for chunk in storage.open_chunks(url):
        *lines, rest = (rest + chunk).split(b"\n")
        yield from lines
    if rest:
        yield rest

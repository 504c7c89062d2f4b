"""Which parts of an output are merged with which.

Beside a run that is at work only those are that it needs no more: a bundle that is tried again
writes its own parts again, and of a file that is not finished the run reads what was committed.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

from transforms.errors import ConfigurationError
from transforms.output.commits import PartRecord
from transforms.output.holders import RUN, is_gone, read_holder
from transforms.output.parts import is_of_run
from transforms.output.sweeping import MERGED

MOST_BYTES = 512 << 20
"""Bytes of the files that become one, whatever the number of their records."""


@dataclass(frozen=True)
class AtWork:
    """A run that is at work, and what it needs.

    Attributes:
        run: Its name; empty if none is.
        writing: The runs, itself and the latest of its rounds, whose parts it may write again.
    """

    run: str = ""
    writing: frozenset[str] = frozenset()

    def is_of_it(self, part: PartRecord) -> bool:
        """Tells whether it, or a round of it, has written a part."""
        return bool(self.run) and is_of_run(part.run, self.run)

    def spares(self, part: PartRecord, finished: Collection[str]) -> bool:
        """Tells whether it does not need a part."""
        if not self.run:
            return True
        if part.run in self.writing and not part.part.startswith(MERGED):
            return False
        # Of a file that could not be read nothing but that is known, and asked for.
        return all(
            source in finished or not (held.rows or held.dead_letters)
            for source, held in part.sources.items()
        )


def find_at_work(root: str, parts: Iterable[PartRecord] = ()) -> AtWork:
    """Finds out whether a run is at work.

    Exact for who holds the parts: a run that begins waits for them, before it looks what it needs.

    Args:
        root: The output root.
        parts: Those among which its latest round is looked for.

    Raises:
        ConfigurationError: It cannot be known.
        OSError: The lock file cannot be read.
    """
    holder = read_holder(root, RUN)
    # One on another machine that has not let go may be suspended: clocks are not gone by.
    if holder is None or holder.released or is_gone(holder):
        return AtWork()
    if not holder.run:
        raise ConfigurationError(
            f"Who is at work in {root} cannot be known: {holder}. Give the command again when a "
            "run has ended there; each notes who it is anew."
        )
    rounds = [part for part in parts if AtWork(holder.run).is_of_it(part)]
    latest = max(rounds, key=lambda part: part.time, default=None)
    return AtWork(holder.run, frozenset([holder.run, latest.run if latest else holder.run]))


def count_records(part: PartRecord) -> int:
    """Returns how many rows and dead letters a part holds."""
    return sum(h.rows + h.dead_letters + h.failed for h in part.sources.values())


def find_groups(
    parts: Iterable[PartRecord], sizes: Mapping[str, int], at_work: AtWork, rows: int
) -> list[list[PartRecord]]:
    """Finds the parts that become one each, in the order of their time.

    Args:
        parts: Those that may be merged.
        sizes: Bytes of the data files, by name.
        at_work: The run that is at work.
        rows: Records up to which parts are merged.
    """
    in_time = sorted(parts, key=lambda part: (part.time, part.part))
    # A run counts its rows by its parts.
    its_own = [part for part in in_time if at_work.is_of_it(part)]
    others = [part for part in in_time if not at_work.is_of_it(part)]
    groups = [*_cut(others, sizes, rows), *_cut(its_own, sizes, rows)]
    return [group for group in groups if len(group) > 1]


def _cut(
    parts: Iterable[PartRecord], sizes: Mapping[str, int], rows: int
) -> Iterator[list[PartRecord]]:
    """Cuts parts into groups of no more than so many rows and bytes, and one version of a file."""
    group: list[PartRecord] = []
    records = data = 0
    versions: dict[str, str] = {}
    for part in parts:
        more, bytes_more = count_records(part), size_of(part, sizes)
        if group and (
            records + more > rows
            or data + bytes_more > MOST_BYTES
            or any(versions.get(s, h.sha256) != h.sha256 for s, h in part.sources.items())
        ):
            yield group
            group, versions, records, data = [], {}, 0, 0
        group.append(part)
        records, data = records + more, data + bytes_more
        versions |= {source: held.sha256 for source, held in part.sources.items()}
    yield group


def size_of(part: PartRecord, sizes: Mapping[str, int]) -> int:
    """Returns the bytes of a part's data files, as far as they are there."""
    return sum(sizes.get(name, 0) for name in (part.embeddings, part.dead_letters) if name)

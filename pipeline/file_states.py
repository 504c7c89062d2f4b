"""What has become of each input file, as the commits of an output tell it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from transforms.output.commits import Commits, PartRecord
from transforms.output.parts import is_of_run

STATES = FINISHED, FAILED, UNFINISHED = "finished", "failed", "unfinished"
"""All records of a file have an outcome; it could not be read to its end; neither is so yet."""


@dataclass(frozen=True, slots=True)
class FileState:
    """What is committed of one input file.

    Attributes:
        source: Path below the input root.
        status: One of :data:`STATES`.
        rows: Rows on disk.
        dead_letters: Dead letters on disk, the file's own not counted.
        records: Records that it holds; None unless it is finished.
        residues: Residues of those records; None unless it is finished.
        pt: Path of its ``.pt`` below the output root; None without one.
        url: Where it was read; empty unless it is finished.
        parts: The parts that hold anything of it.
    """

    source: str
    status: str = UNFINISHED
    rows: int = 0
    dead_letters: int = 0
    records: int | None = None
    residues: int | None = None
    pt: str | None = None
    url: str = ""
    parts: tuple[PartRecord, ...] = ()

    @property
    def adds_up(self) -> bool:
        """Whether each record has one outcome; of a file that is not finished none need have."""
        return self.status != FINISHED or self.records == self.rows + self.dead_letters

    def rows_of(self, run: str) -> int:
        """Returns the rows that a run has added."""
        parts = (part for part in self.parts if is_of_run(part.run, run))
        return sum(part.sources[self.source].rows for part in parts)


def find_states(committed: Commits, more: Iterable[str] = ()) -> tuple[FileState, ...]:
    """Returns what has become of each file, in order of name.

    Args:
        committed: What an output has committed.
        more: Files that are told of although nothing of them may be committed.
    """
    parts_of, failed = committed.by_source(), committed.failed_sources()
    states = []
    for source in sorted({*parts_of, *committed.files, *more}):
        record = committed.files.get(source)
        parts = tuple(parts_of.get(source, ()))
        held = [part.sources[source] for part in parts]
        states.append(
            FileState(
                source=source,
                status=FINISHED if record else FAILED if source in failed else UNFINISHED,
                rows=sum(each.rows for each in held),
                dead_letters=sum(each.dead_letters for each in held),
                records=record.records if record else None,
                residues=record.residues if record else None,
                pt=record.pt if record else None,
                url=record.url if record else "",
                parts=parts,
            )
        )
    return tuple(states)

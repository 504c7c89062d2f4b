"""What an input holds, read by the very steps of a run."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from pipeline.failures import FailureKinds
from pipeline.planning.work import Schedule
from pipeline.shared_ids import SharedIds
from transforms import events
from transforms.inputs.finding import FastaFile
from transforms.inputs.reading import in_batches, look_again, read_items
from transforms.items import DeadLetter, EndOfFile, Item, Protein
from transforms.output.committed import short_digest
from transforms.residues import ResiduePolicy, check_residues

MOST_NAMED = 3
"""Dead letters of one kind that are named."""

MOST_SAMPLED = 1024
"""Records that are kept to see what they take on disk."""


@dataclass
class FileSurvey:
    """What one file holds.

    Attributes:
        source: Path below the input root.
        url: Where it was read.
        size: Its bytes.
        readable: Whether it can be read to its end.
        read: Records that it holds; 0 if it cannot be read.
        residues: Residues of those records.
        to_embed: How many of them would be embedded.
        dead_lettered: How many would be dead-lettered.
    """

    source: str
    url: str
    size: int
    readable: bool = False
    read: int = 0
    residues: int = 0
    to_embed: int = 0
    dead_lettered: int = 0


class Sample:
    """Every n-th record, n being such that there are never too many."""

    def __init__(self) -> None:
        self.held: list[Protein] = []
        self._step = 1
        self._seen = 0

    def add(self, proteins: Sequence[Protein]) -> None:
        """Takes the next records, or passes them over."""
        for protein in proteins[-self._seen % self._step :: self._step]:
            self.held.append(replace(protein, sequence=""))  # which is not written
        self._seen += len(proteins)
        if len(self.held) > MOST_SAMPLED:
            self.held = self.held[::2]
            self._step *= 2


@dataclass
class Survey:
    """What the input holds.

    Attributes:
        files: Each file.
        lengths: How many records that would be embedded have so many residues.
        truncated: How many of them are given to the model in part.
        residues_used: Residues that it is given.
        refused: The dead letters.
        sample: Some of the records.
        digests: The beginning of the SHA-256 of each record's sequence. These 8 bytes a record
            and those of its id are all that grows with the input, beside the files.
        ids: The ids of records.
    """

    files: list[FileSurvey] = field(default_factory=list)
    lengths: Counter[int] = field(default_factory=Counter)
    truncated: int = 0
    residues_used: int = 0
    refused: FailureKinds = field(default_factory=lambda: FailureKinds(MOST_NAMED))
    sample: Sample = field(default_factory=Sample)
    digests: array[int] = field(default_factory=lambda: array("Q"))
    ids: SharedIds = field(default_factory=SharedIds)

    def total(self, name: str) -> int:
        """Returns a count of :class:`FileSurvey`, summed over the files."""
        return sum(getattr(file, name) for file in self.files)

    def count_duplicates(self) -> int:
        """Returns how many records have the sequence of one before them."""
        held = np.frombuffer(self.digests, np.uint64)
        return len(held) - len(np.unique(held))

    def add_proteins(self, proteins: Sequence[Protein]) -> None:
        """Takes note of records to be embedded of the file that is last in the list."""
        self.files[-1].to_embed += len(proteins)
        self.lengths.update(len(protein.sequence) for protein in proteins)
        self.truncated += sum(each.residues_used < len(each.sequence) for each in proteins)
        self.residues_used += sum(protein.residues_used for protein in proteins)
        self.digests.extend(short_digest(protein.sequence_sha256) for protein in proteins)
        self.ids.add(protein.id for protein in proteins)
        self.sample.add(proteins)

    def add(self, item: Item) -> None:
        """Takes note of another item of that file."""
        file = self.files[-1]
        match item:
            case DeadLetter(ordinal=ordinal):
                self.refused.add(item)
                if ordinal is None:
                    file.readable = False
                else:
                    file.dead_lettered += 1
            case EndOfFile(records=records, residues=residues):
                file.readable, file.read, file.residues = True, records, residues


def survey(
    files: Iterable[FastaFile],
    policy: ResiduePolicy,
    schedules: Sequence[Schedule] = (),
    hear: Callable[[events.Event], None] = lambda event: None,
) -> Survey:
    """Reads files as a run does, up to the model.

    Args:
        files: The files.
        policy: The residue policy.
        schedules: Get what comes of the records.
        hear: Is told how many records have passed.
    """
    seen = Survey()
    for file in files:
        seen.files.append(FileSurvey(file.source, file.url, file.size))
        for batch in in_batches(read_items(look_again(file))):
            items = [
                check_residues(item, policy) if isinstance(item, Protein) else item
                for item in batch.items
            ]
            for schedule in schedules:
                schedule.add(items)
            proteins = [item for item in items if isinstance(item, Protein)]
            seen.add_proteins(proteins)
            for item in items:
                if not isinstance(item, Protein):
                    seen.add(item)
            residues = sum(len(protein.sequence) for protein in proteins)
            hear(events.RecordsEmbedded(len(proteins), residues))
    for schedule in schedules:
        schedule.close()
    return seen

"""Which of n independent runs embeds a record: the one that its sequence falls to."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

from transforms.errors import ConfigurationError
from transforms.inputs.fasta import FastaRecord

_DIGEST_BYTES = 8
"""Of the SHA-256; more than any number of shards needs."""

_RUN = re.compile(r"shard-(\d+)-of-(\d+)-")


@dataclass(frozen=True, slots=True)
class Shard:
    """One of n runs that divide the records of the same inputs among them.

    Attributes:
        number: Which one, from 0.
        count: How many there are.
        division: Name of the division of the output that it belongs to; empty before it is known.
    """

    number: int
    count: int
    division: str = ""

    def __post_init__(self) -> None:
        if not 0 <= self.number < self.count:
            raise ConfigurationError(
                f"There is no shard {self.number} of {self.count}: they count from 0, so the last "
                f"of {self.count} is {self.count - 1}/{self.count}."
            )

    def __str__(self) -> str:
        return f"shard {self.number} of {self.count}"

    @property
    def option(self) -> str:
        """As ``--shard`` takes it."""
        return f"{self.number}/{self.count}"

    @property
    def name(self) -> str:
        """How its lock is named; the names of its runs begin with it and a hyphen."""
        return f"shard-{self.number}-of-{self.count}"

    @property
    def runs(self) -> str:
        """How the names of all its runs begin, and of no other shard's."""
        return f"{self.name}-"

    def holds(self, record: FastaRecord) -> bool:
        """Tells whether a record falls to it.

        That goes by the sequence alone, as it stands in the file: the same whatever other files and
        records there are, and identical sequences fall to one shard, which computes them once. A
        sequence that is too long to be held goes by its length.
        """
        text = f"{record.length}" if record.sequence is None else record.sequence
        digest = hashlib.sha256(text.encode()).digest()[:_DIGEST_BYTES]
        return int.from_bytes(digest, "big") % self.count == self.number

    def may_find(self, run: str) -> bool:
        """Tells whether records that fall to it may lie in the parts of a run.

        In those of another shard of as many they do not, of whatever division: so a shard need not
        read what all others have committed.
        """
        found = _RUN.match(run)
        return not found or int(found[2]) != self.count or int(found[1]) == self.number

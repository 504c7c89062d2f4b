"""What one shard has of each input file, where an unsharded run would write its ``.pt``.

A shard cannot finish a file of which others have records. It notes how many fall to it, once all of
them have an outcome; when all shards have noted a file, it is finished from these notes.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import apache_beam as beam

from transforms import storage
from transforms.esm_pt import SECONDS_PER_RECORD, announce_finished
from transforms.items import FinishedFile, Item, Settled
from transforms.output.commits import COMMITS, FILES_PER_RECORD, Output
from transforms.output.division import shares_of
from transforms.output.file_counts import FileCounts, counts_of
from transforms.output.json_records import read_json, write_json
from transforms.output.shards import Shard
from transforms.passing import ActOnKinds, act_on_kinds


@dataclass(frozen=True, slots=True)
class Share(FileCounts):
    """That the records of a file that fall to a shard, which alone are counted, have an outcome."""


def write_shares(root: str, shard: Shard, shares: Iterable[Share]) -> None:
    """Notes what a shard has of some files."""
    name = f"{shares_of(shard)}{uuid.uuid4().hex[:12]}.json"
    write_json(root, f"{COMMITS}/{name}", {"files": list(shares)})


def read_shares(root: str, shards: Iterable[Shard]) -> Iterator[tuple[int, Share]]:
    """Yields what shards have noted, each with the number of its shard."""
    folder = storage.join(root, COMMITS)
    numbers = {shares_of(shard): shard.number for shard in shards}
    for name in storage.list_names(folder):
        number = numbers.get("".join(name.rpartition("-")[:2]))
        if number is not None:
            for share in read_json(storage.join(folder, name), _shares):
                yield number, share


def _shares(content: Any) -> list[Share]:
    return [Share(**fields) for fields in content["files"]]


class _WriteSharesDoFn(ActOnKinds):
    kinds = (FinishedFile, Settled)

    def __init__(self, output: Output, shard: Shard) -> None:
        self._output = output
        self._shard = shard

    def start_bundle(self) -> None:
        self._held: list[FinishedFile] = []
        self._written = time.monotonic()

    def act(self, item: FinishedFile | Settled) -> Iterable[Item]:  # type: ignore[override]
        if isinstance(item, FinishedFile):
            self._held.append(item)
        is_due = time.monotonic() - self._written >= SECONDS_PER_RECORD
        if is_due or len(self._held) >= FILES_PER_RECORD:
            self._write()
        return (item,)

    def finish_bundle(self) -> None:
        self._write()

    def _write(self) -> None:
        if self._held:
            write_shares(
                self._output.root, self._shard, [Share(**counts_of(file)) for file in self._held]
            )
        announce_finished(self._held)
        self._held = []
        self._written = time.monotonic()


@dataclass
class WriteShares(beam.PTransform):  # type: ignore[misc]
    """Notes of each file that all its records that fall to a shard have an outcome.

    Attributes:
        output: Where to write.
        shard: The shard.
    """

    output: Output
    shard: Shard

    def expand(self, items: beam.PCollection[Item]) -> beam.PCollection[Item]:
        """Applies the step."""
        return items | act_on_kinds(_WriteSharesDoFn(self.output, self.shard))

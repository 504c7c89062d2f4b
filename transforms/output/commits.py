"""What has been committed: the records in ``commits/``, which are the truth about an output.

``output.json``     what every row of the output was computed with; written by the first run
``part-*.json``     what a part holds; written last, it is the part's commit
``files-*.json``    finished input files, several to a record

Everything that reads an output goes by these records: a data file that none of them names does
not count, nor does a part that the record of another one replaces.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import count
from typing import Any

from transforms import storage
from transforms.errors import damaged
from transforms.output.fetching import fetch_all
from transforms.output.file_counts import FileCounts
from transforms.output.json_records import read_json, write_json
from transforms.output.shards import Shard

EMBEDDINGS, DEAD_LETTERS, COMMITS, PT = "embeddings", "dead_letters", "commits", "pt"

INPUTS, MESSAGES = "inputs", "messages"
"""What the configuration of an output says whose inputs are messages, and no files."""

FILES_PER_RECORD = 256
"""Finished files that share a ``files-*.json`` at the most."""


@dataclass(frozen=True, slots=True)
class Output:
    """Where a run writes, and what it says about its rows.

    Attributes:
        root: The output root.
        run: Name of this run, drawn anew at every start; parts are named by it.
        model: The model as the user named it.
        revision: The resolved hub commit, or the fingerprint of a model without one.
        configuration: What every row of the output is computed with.
        pt: Whether ``_ESM.pt`` files are written.
        pt_order: ``input`` for FASTA order, ``length`` for the longest first.
        lock: Who holds the lock, without which nothing is committed; empty for no lock.
        shard: The shard that writes; None for a run that does everything.
    """

    root: str
    run: str
    model: str
    revision: str
    configuration: tuple[tuple[str, Any], ...] = ()
    pt: bool = True
    pt_order: str = "input"
    lock: str = ""
    shard: Shard | None = None

    @property
    def of_messages(self) -> bool:
        """Whether its inputs are messages: then each row says of which it is."""
        return (INPUTS, MESSAGES) in self.configuration


@dataclass(frozen=True, slots=True)
class PartSource:
    """What a part holds of one input file.

    Attributes:
        sha256: The version of the file; empty where it could not be read.
        rows: Embedded records.
        dead_letters: Failed records.
        failed: Whether the part holds a dead letter of the whole file.
    """

    sha256: str
    rows: int
    dead_letters: int
    failed: bool = False


@dataclass(frozen=True, slots=True)
class PartRecord:
    """The commit of a part.

    Attributes:
        part: Name of the part.
        run: The run that wrote it.
        embeddings: Name of its file in ``embeddings/``; None without rows.
        dead_letters: Name of its file in ``dead_letters/``; None without dead letters.
        time: When its records were committed, ISO 8601 in UTC.
        sources: What it holds of each input file.
        replaces: Names of the parts that do not count any more, since this one does.
    """

    part: str
    run: str
    embeddings: str | None
    dead_letters: str | None
    time: str
    sources: Mapping[str, PartSource]
    replaces: tuple[str, ...] = ()

    @property
    def rows(self) -> int:
        """How many embedded records it holds."""
        return sum(held.rows for held in self.sources.values())


@dataclass(frozen=True, slots=True)
class FileRecord(FileCounts):
    """A finished input file, of which all records count.

    Attributes:
        parts: The parts in which they lie.
        pt: Path of its ``_ESM.pt`` below the output root; None without one.
        pt_sha256: SHA-256 of that file; None without one.
        time: When it was finished, ISO 8601 in UTC; of two records of one file the later counts.
    """

    parts: tuple[str, ...]
    pt: str | None
    pt_sha256: str | None
    time: str = ""


@dataclass(frozen=True, slots=True)
class Commits:
    """All that an output has committed.

    Attributes:
        parts: Part records by name, in order of name.
        files: Finished files by source.
    """

    parts: Mapping[str, PartRecord]
    files: Mapping[str, FileRecord]

    def by_source(self, but_not_of_run: str = "") -> dict[str, list[PartRecord]]:
        """Returns the parts that hold anything of each file, those of one run left out."""
        parts_of: dict[str, list[PartRecord]] = {}
        for part in self.parts.values():
            for source in part.sources if part.run != but_not_of_run else ():
                parts_of.setdefault(source, []).append(part)
        return parts_of

    def latest(self) -> str:
        """Returns when the last of all this was committed; an empty text for nothing."""
        times = [each.time for each in self.parts.values()]
        return max(times + [each.time for each in self.files.values()], default="")

    def parts_with_rows(self) -> list[PartRecord]:
        """Returns the parts that hold embedded records."""
        return [part for part in self.parts.values() if part.embeddings]

    def sources_with_failure(self) -> set[str]:
        """Returns the files of which a part holds the dead letter of the whole file."""
        return {s for part in self.parts.values() for s in part.sources if part.sources[s].failed}

    def failed_sources(self) -> set[str]:
        """Returns the files that could not be read and have not been finished since."""
        return self.sources_with_failure() - self.files.keys()


def write_part_record(root: str, record: PartRecord) -> None:
    """Commits a part; one of the same name is replaced."""
    write_json(root, f"{COMMITS}/{record.part}.json", record)


def write_file_records(root: str, name: str, records: Iterable[FileRecord]) -> None:
    """Writes the records of finished files under ``commits/files-<name>.json``."""
    write_json(root, f"{COMMITS}/files-{name}.json", {"files": list(records)})


def add_file_records(root: str, prefix: str, records: Sequence[FileRecord]) -> None:
    """Adds records of finished files to those that there are; of two of a file the later counts."""
    for start in range(0, len(records), FILES_PER_RECORD):
        name = f"{prefix}-{uuid.uuid4().hex[:12]}"
        write_file_records(root, name, records[start : start + FILES_PER_RECORD])


def read_part_record(root: str, part: str) -> PartRecord:
    """Returns the commit record of a part; a record of another is as good as damaged."""
    record = read_json(_record_url(root, part), _part_record)
    if record.part != part:
        raise damaged(_record_url(root, part))
    return record


def find_part_record(root: str, part: str) -> PartRecord | None:
    """Returns the commit record of a part, or None where that does not count any more."""
    try:
        return read_part_record(root, part)
    except OSError:
        if has_part_record(root, part):
            raise
        return None


def read_file_records(root: str, name: str) -> list[FileRecord]:
    """Returns what one ``files-*.json`` holds."""
    return read_json(storage.join(root, COMMITS, name), _file_records)


def read_commits(root: str) -> Commits:
    """Returns all that an output has committed and that nothing has replaced."""
    parts = read_all_parts(root)
    replaced = replaced_by(parts)
    files: dict[str, FileRecord] = {}
    for _, records in _read_file_records(root):
        for record in records:
            known = files.get(record.source)
            if known is None or known.time <= record.time:
                if not replaced.keys().isdisjoint(record.parts):
                    current = {replaced.get(name, name) for name in record.parts}
                    record = replace(record, parts=tuple(sorted(current)))
                files[record.source] = record
    return Commits({n: part for n, part in parts.items() if n not in replaced}, files)


def delete_part_record(root: str, part: str) -> None:
    """Makes a part count no more; its data files are for ``sweep``."""
    storage.delete(_record_url(root, part))


def has_part_record(root: str, part: str) -> bool:
    """Tells whether a part is committed."""
    return storage.exists(_record_url(root, part))


def delete_file_records(
    root: str, sources: Collection[str], names: Collection[str] | None = None
) -> None:
    """Makes files count as unfinished; with names only in these ``files-*.json``."""
    for name, records in _read_file_records(root):
        if names is not None and name not in names:
            continue
        kept = [record for record in records if record.source not in sources]
        if not kept:
            storage.delete(storage.join(root, COMMITS, name))
        elif len(kept) < len(records):
            write_file_records(root, name.removeprefix("files-").removesuffix(".json"), kept)


def _record_url(root: str, part: str) -> str:
    return storage.join(root, COMMITS, f"{part}.json")


def read_all_parts(root: str) -> dict[str, PartRecord]:
    """Returns all part records in order of name, those of replaced parts too.

    Parts may be replaced meanwhile. A listing may miss a new record, for being too early, and an
    old one that it replaces, for being too late. The old one was in the listing before: so this
    ends with a listing that lacks nothing of the one before. That there is more in it is no
    reason to go on, else it need not end while parts are added.
    """
    records: dict[str, PartRecord] = {}
    for listing in count():
        names = _list_parts(root)
        has_lost = not names >= records.keys()
        found = dict(fetch_all(root, names - records.keys(), partial(find_part_record, root)))
        known = {**records, **found}
        records = {name: record for name in names if (record := known[name]) is not None}
        # What went between listing and reading has a successor that may not be in the listing.
        if listing and not has_lost and len(records) == len(names):
            break
    return dict(sorted(records.items()))


def _list_parts(root: str) -> set[str]:
    names = storage.list_names(storage.join(root, COMMITS))
    return {name.removesuffix(".json") for name in names if name.startswith("part-")}


def replaced_by(parts: Mapping[str, PartRecord]) -> dict[str, str]:
    """Returns the parts that do not count any more, each with the one that does instead."""
    replaced = {old for part in parts.values() for old in part.replaces}
    counting = (part for part in parts.values() if part.part not in replaced)
    # A part names all that it replaces, also those that were replaced before.
    return {old: part.part for part in counting for old in part.replaces}


def _read_file_records(root: str) -> Iterator[tuple[str, list[FileRecord]]]:
    """Yields the name and the content of each ``files-*.json``."""
    names = [n for n in storage.list_names(storage.join(root, COMMITS)) if n.startswith("files-")]
    yield from fetch_all(root, names, partial(read_file_records, root))


def _file_records(content: Any) -> list[FileRecord]:
    return [FileRecord(**{**each, "parts": tuple(each["parts"])}) for each in content["files"]]


def _part_record(fields: Any) -> PartRecord:
    sources = {source: PartSource(**held) for source, held in fields["sources"].items()}
    return PartRecord(
        **{**fields, "sources": sources, "replaces": tuple(fields.get("replaces", ()))}
    )

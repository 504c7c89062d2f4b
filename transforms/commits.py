"""What has been committed: the records in ``commits/``, which are the truth about an output.

``output.json``     what every row of the output was computed with; written by the first run
``part-*.json``     what a part holds; written last, it is the part's commit
``files-*.json``    finished input files, several to a record

Everything that reads an output goes by these records: a data file that none of them names does
not count.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from transforms import storage
from transforms.errors import ConfigurationError

EMBEDDINGS, DEAD_LETTERS, COMMITS, PT = "embeddings", "dead_letters", "commits", "pt"
_CONFIGURATION = f"{COMMITS}/output.json"


@dataclass(frozen=True, slots=True)
class Output:
    """Where a run writes, and what it says about its rows.

    Attributes:
        root: The output root.
        run: Name of this run, drawn anew at every start.
        model: The model as the user named it.
        revision: The resolved hub commit, or the fingerprint of a model without one.
        configuration: What every row of the output is computed with.
        pt: Whether ``_ESM.pt`` files are written.
        pt_order: ``input`` for FASTA order, ``length`` for the longest first.
    """

    root: str
    run: str
    model: str
    revision: str
    configuration: tuple[tuple[str, Any], ...] = ()
    pt: bool = True
    pt_order: str = "input"


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
        time: When it was committed, ISO 8601 in UTC.
        sources: What it holds of each input file.
    """

    part: str
    run: str
    embeddings: str | None
    dead_letters: str | None
    time: str
    sources: Mapping[str, PartSource]


@dataclass(frozen=True, slots=True)
class FileRecord:
    """A finished input file.

    Attributes:
        source: Path of the file below the input root.
        url: Where it was read.
        size: Its bytes.
        mtime: When it was last changed, seconds since the epoch.
        sha256: SHA-256 of its bytes.
        records: How many records it holds.
        residues: How many residues those have.
        rows: How many records were embedded.
        dead_letters: How many were dead-lettered.
        parts: The parts in which they lie.
        pt: Path of its ``_ESM.pt`` below the output root; None without one.
        pt_sha256: SHA-256 of that file; None without one.
    """

    source: str
    url: str
    size: int
    mtime: float
    sha256: str
    records: int
    residues: int
    rows: int
    dead_letters: int
    parts: tuple[str, ...]
    pt: str | None
    pt_sha256: str | None


@dataclass(frozen=True, slots=True)
class Commits:
    """All that an output has committed.

    Attributes:
        parts: Part records by name, in order of name.
        files: Finished files by source.
    """

    parts: Mapping[str, PartRecord]
    files: Mapping[str, FileRecord]

    def parts_of(self, source: str, but_not_of_run: str = "") -> list[PartRecord]:
        """Returns the parts that hold records of a file, those of one run left out."""
        return [
            part
            for part in self.parts.values()
            if source in part.sources and part.run != but_not_of_run
        ]

    def failed_sources(self) -> set[str]:
        """Returns the files that could not be read and have not been finished since."""
        failed = {
            source
            for part in self.parts.values()
            for source, held in part.sources.items()
            if held.failed
        }
        return failed - self.files.keys()


def write_part_record(root: str, record: PartRecord) -> None:
    """Commits a part; one of the same name is replaced."""
    _write_json(root, f"{COMMITS}/{record.part}.json", dataclasses.asdict(record))


def write_file_records(root: str, name: str, records: Iterable[FileRecord]) -> None:
    """Writes the records of finished files under ``commits/files-<name>.json``."""
    files = [dataclasses.asdict(record) for record in records]
    _write_json(root, f"{COMMITS}/files-{name}.json", {"files": files})


def write_configuration(root: str, configuration: Mapping[str, Any]) -> None:
    """Binds an output to what its rows are computed with."""
    _write_json(root, _CONFIGURATION, configuration)


def read_configuration(root: str) -> dict[str, Any] | None:
    """Returns what an output is bound to; None for a new one."""
    url = storage.join(root, *_CONFIGURATION.split("/"))
    return _read_json(url) if storage.exists(url) else None


def read_part_record(root: str, part: str) -> PartRecord:
    """Returns the commit record of a part."""
    return _part_record(_read_json(storage.join(root, COMMITS, f"{part}.json")))


def read_commits(root: str) -> Commits:
    """Returns all that an output has committed."""
    folder = storage.join(root, COMMITS)
    parts: dict[str, PartRecord] = {}
    files: dict[str, FileRecord] = {}
    for name in storage.list_names(folder):
        if name.startswith("part-"):
            record = _part_record(_read_json(storage.join(folder, name)))
            parts[record.part] = record
        elif name.startswith("files-"):
            for fields in _read_json(storage.join(folder, name))["files"]:
                files[fields["source"]] = FileRecord(**{**fields, "parts": tuple(fields["parts"])})
    return Commits(parts, files)


def sweep(root: str) -> None:
    """Removes what a killed run left half done: staged files and data files without a commit.

    Only for a run that has the output to itself, before it writes anything.
    """
    storage.delete(storage.join(root, storage.STAGING))
    parts = read_commits(root).parts.values()
    named = {name for part in parts for name in (part.embeddings, part.dead_letters)}
    for folder in (storage.join(root, EMBEDDINGS), storage.join(root, DEAD_LETTERS)):
        for name in storage.list_names(folder):
            if name.startswith("part-") and name not in named:
                storage.delete(storage.join(folder, name))


def _part_record(fields: dict[str, Any]) -> PartRecord:
    sources = {source: PartSource(**held) for source, held in fields["sources"].items()}
    return PartRecord(**{**fields, "sources": sources})


def _read_json(url: str) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads(storage.read_bytes(url))
    except ValueError as error:
        raise ConfigurationError(
            f"{url} is damaged. Put it back from a copy, or give another --output."
        ) from error
    return content


def _write_json(root: str, name: str, content: Mapping[str, Any]) -> None:
    data = json.dumps(content, indent=1).encode()
    storage.publish(root, name, lambda handle: handle.write(data))

"""What is left to do in an output that earlier runs have begun."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from transforms import storage
from transforms.commits import Commits, FileRecord, PartSource
from transforms.committed import read_dead_letters
from transforms.errors import ConfigurationError
from transforms.finding import FastaFile, stem
from transforms.removal import (
    ALL_FAILURES,
    ALL_RECORDS,
    EVERYTHING,
    FILE_FAILURE,
    Removal,
    remove_records,
    reopen_files,
)
from transforms.under_way import PROCESS_DIED


@dataclass(frozen=True)
class Work:
    """What a run has to do.

    Attributes:
        todo: The files to be read.
        reopened: Files that were finished and are so no longer.
        removals: Committed records that do not count any more, by file.
    """

    todo: tuple[FastaFile, ...]
    reopened: frozenset[str] = frozenset()
    removals: Mapping[str, Removal] = field(default_factory=dict)


def find_work(
    root: str, files: Sequence[FastaFile], committed: Commits, retry_failed: bool = False
) -> Work:
    """Finds out which files are still to be embedded, and what of earlier runs does not count.

    A file is recognised by size and time, else by its content. One that has changed is embedded
    anew as a whole: none of its old records counts.

    Args:
        root: The output root.
        files: The input files.
        committed: What the output holds.
        retry_failed: Whether dead letters are tried again.

    Raises:
        ConfigurationError: A file that was embedded cannot be read now, or the ``.pt`` of one
            would take the name of another's.
    """
    known = {stem(source): source for source in committed.files}
    held_of: dict[str, list[PartSource]] = {}
    for part in committed.parts.values():
        for source, held in part.sources.items():
            held_of.setdefault(source, []).append(held)
    todo: list[FastaFile] = []
    removals: dict[str, Removal] = {}
    for file in files:
        other = known.get(stem(file.source), file.source)
        if other != file.source:
            raise ConfigurationError(
                f"{file.url} would get the same .pt as {other}, which this output holds already. "
                "Rename one of them or give another --output."
            )
        record = committed.files.get(file.source)
        removal = _find_removal(file, record, held_of.get(file.source, ()), retry_failed)
        if removal != Removal():
            removals[file.source] = removal
        is_reopened = removal not in (Removal(), FILE_FAILURE)
        if record is None or is_reopened or not _has_pt(root, record):
            todo.append(file)
    reopened = {file.source for file in todo if file.source in removals}
    return Work(tuple(todo), frozenset(reopened), removals)


def _find_removal(
    file: FastaFile, record: FileRecord | None, held: Sequence[PartSource], retry_failed: bool
) -> Removal:
    """Returns what of a file's committed records does not count."""
    if record is None and not held:
        return Removal()
    failed = any(each.failed for each in held)
    has_records = any(each.rows or each.dead_letters for each in held)
    versions = {record.sha256} if record else {each.sha256 for each in held}
    if record and (record.size, record.mtime) == (file.size, file.mtime):
        current = record.sha256
    else:
        current = _sha256(file, must_be_readable=record is not None or has_records)
    if versions != {current}:
        return EVERYTHING
    if failed and has_records and not record:
        return EVERYTHING  # it changed while it was read
    if retry_failed and (failed or any(each.dead_letters for each in held)):
        return ALL_FAILURES
    return FILE_FAILURE if failed and record else Removal()


def _has_pt(root: str, record: FileRecord) -> bool:
    return record.pt is None or storage.exists(storage.join(root, *record.pt.split("/")))


def _sha256(file: FastaFile, must_be_readable: bool) -> str:
    """Returns the digest of a file; an empty one, as in its dead letter, if it is unreadable."""
    digest = hashlib.sha256()
    try:
        for chunk in storage.open_chunks(file.url):
            digest.update(chunk)
    except OSError as error:
        if not must_be_readable:
            return ""
        raise ConfigurationError(
            f"{file.url} was embedded before and cannot be read now "
            f"({error.strerror or error}). Make it readable or leave it out."
        ) from error
    return digest.hexdigest()


def apply(root: str, run: str, work: Work) -> None:
    """Takes out of an output what does not count any more.

    A kill in between costs nothing: what is left to take out is found again by the next run.
    """
    if work.removals:
        reopen_files(root, work.reopened)
        remove_records(root, run, work.removals)


def tidy(root: str, run: str, committed: Commits) -> None:
    """Takes out of an output, at the end of a run, what the run has shown not to count.

    That is the records of a file that changed while it was read, of which only its dead letter
    stays, and the dead letter of a file that could be read in the end.
    """
    remove_records(root, run, dict(_find_leftovers(committed)))


def _find_leftovers(committed: Commits) -> Iterator[tuple[str, Removal]]:
    failed = {
        source
        for part in committed.parts.values()
        for source, held in part.sources.items()
        if held.failed
    }
    for source in failed:
        yield source, FILE_FAILURE if source in committed.files else ALL_RECORDS


def failed_urls(input_root: str, committed: Commits) -> tuple[str, ...]:
    """Returns where the files lie that have dead letters, or are one."""
    sources = {
        source
        for part in committed.parts.values()
        for source, held in part.sources.items()
        if held.dead_letters or held.failed
    }
    return tuple(storage.join(input_root, *source.split("/")) for source in sorted(sources))


def holds_condemned(root: str, committed: Commits) -> bool:
    """Tells whether a record that kills the process is among the dead letters."""
    return any(
        letter.error_type == PROCESS_DIED
        for part in committed.parts.values()
        for source, held in part.sources.items()
        if held.dead_letters
        for letter in read_dead_letters(root, part, source)
    )

"""What is left to do in an output that earlier runs have begun."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from transforms import storage
from transforms.errors import ConfigurationError
from transforms.esm.under_way import PROCESS_DIED
from transforms.inputs.collisions import check_name, find_names
from transforms.inputs.finding import FastaFile
from transforms.naming import stem
from transforms.output.commits import PT, Commits, FileRecord, PartSource
from transforms.output.committed import read_dead_letters
from transforms.output.locks import hold_parts
from transforms.output.removal import (
    ALL_FAILURES,
    ALL_RECORDS,
    EVERYTHING,
    FILE_FAILURE,
    Removal,
    remove_records,
    reopen_files,
)
from transforms.output.reopened import note_reopened, read_reopened, settle_reopened
from transforms.output.touched import note_touched

_LISTED_AT_ONCE = 1000  # names that an object store returns in one answer


@dataclass(frozen=True)
class Work:
    """What a run has to do.

    Attributes:
        todo: The files to be read.
        reopened: Files that were finished, or lose records, and are to be finished anew.
        removals: Committed records that do not count any more, by file.
        touched: Records of finished files that have another time now and the same content.
    """

    todo: tuple[FastaFile, ...]
    reopened: frozenset[str] = frozenset()
    removals: Mapping[str, Removal] = field(default_factory=dict)
    touched: tuple[FileRecord, ...] = ()

    @property
    def changed(self) -> list[str]:
        """Files that are embedded anew as a whole, for their content is another."""
        return [source for source, removal in self.removals.items() if removal == EVERYTHING]


def raise_refusal(_: FastaFile, error: ConfigurationError) -> None:
    """Lets one file that cannot be taken keep the run from beginning."""
    raise error


def find_work(
    root: str,
    files: Sequence[FastaFile],
    committed: Commits,
    retry_failed: bool = False,
    unchanged: Collection[str] = (),
    refuse: Callable[[FastaFile, ConfigurationError], None] = raise_refusal,
) -> Work:
    """Finds out which files are still to be embedded, and what of earlier runs does not count.

    A file is recognised by size and time, else by its content. One that has changed is embedded
    anew as a whole: none of its old records counts.

    Args:
        root: The output root.
        files: The input files.
        committed: What the output holds.
        retry_failed: Whether dead letters are tried again.
        unchanged: Unfinished files with the size and time that they had when their records were
            committed. Whether their content is the same shows as they are read.
        refuse: What is done about a file that cannot be taken: one that was embedded and cannot
            be read now, or whose ``.pt`` would take the name of another's. If it returns, the
            file is passed over.

    Raises:
        ConfigurationError: By default, of such a file.
    """
    held_of = {
        source: [part.sources[source] for part in parts]
        for source, parts in committed.by_source().items()
    }
    known = find_names(committed)
    pts = _find_pts(root, committed, [file.source for file in files])
    todo: list[FastaFile] = []
    removals: dict[str, Removal] = {}
    touched: list[FileRecord] = []
    for file in files:
        record, here = committed.files.get(file.source), held_of.get(file.source, [])
        try:
            check_name(file, known)
            trusted = file.source in unchanged
            removal = _find_removal(file, record, here, retry_failed, trusted)
        except ConfigurationError as error:
            refuse(file, error)
            continue
        if removal != Removal():
            removals[file.source] = removal
        if removal in (Removal(), FILE_FAILURE) and record and _is_whole(record, here, pts):
            if record.mtime != file.mtime:
                touched.append(replace(record, mtime=file.mtime))
            continue
        todo.append(replace(file, sha256=_version_kept(here, removal)))
    reopened = {
        file.source for file in todo if file.source in removals or file.source in committed.files
    }
    return Work(tuple(todo), frozenset(reopened), removals, tuple(touched))


def find_done(root: str, committed: Commits) -> tuple[dict[str, FileRecord | None], set[str]]:
    """Finds out which files need not be looked at as long as their size and time stay.

    Returns:
        For every file of which the output holds anything, its record if it is finished and whole,
        else None; and those that hold their name, which are all but those that failed.
    """
    parts_of = committed.by_source()
    done: dict[str, FileRecord | None] = {}
    holders: set[str] = set()
    pts = _find_pts(root, committed, committed.files)
    for source in (*committed.files, *parts_of):
        record = committed.files.get(source)
        held = [part.sources[source] for part in parts_of.get(source, ())]
        if record or _count(held):
            holders.add(source)
        done[source] = record if record and _is_done(record, held, pts) else None
    return done, holders


def _is_done(record: FileRecord, held: Sequence[PartSource], pts: Collection[str]) -> bool:
    as_it_was = FastaFile(record.url, record.source, record.size, record.mtime)
    needs_nothing = _find_removal(as_it_was, record, held) == Removal()
    return needs_nothing and _is_whole(record, held, pts)


def _find_removal(
    file: FastaFile,
    record: FileRecord | None,
    held: Sequence[PartSource],
    retry_failed: bool = False,
    is_unchanged: bool = False,
) -> Removal:
    """Returns what of a file's committed records does not count."""
    if record is None and not held:
        return Removal()
    failed = any(each.failed for each in held)
    has_records = _count(held) > 0
    versions = {each.sha256 for each in held if not record or each.rows or each.dead_letters}
    if record:
        versions.add(record.sha256)
    if record and (record.size, record.mtime) == (file.size, file.mtime):
        current = record.sha256
    elif is_unchanged and not record and not failed and len(versions) == 1:
        (current,) = versions
    else:
        current = digest_of(file, must_be_readable=record is not None or has_records)
    if versions != {current} or (record and _count(held) > record.records):
        return EVERYTHING
    if failed and has_records and not record:
        return EVERYTHING  # it changed while it was read
    if retry_failed and (failed or any(each.dead_letters for each in held)):
        return ALL_FAILURES
    return FILE_FAILURE if failed and record else Removal()


def _version_kept(held: Sequence[PartSource], removal: Removal) -> str:
    """Returns the version of a file's records that still count; empty without any."""
    kept = {
        each.sha256
        for each in held
        if (each.rows and not removal.rows) or (each.dead_letters and not removal.dead_letters)
    }
    return "".join(kept)  # of several versions none would count


def _count(held: Sequence[PartSource]) -> int:
    """Returns how many records of a file lie in parts."""
    return sum(each.rows + each.dead_letters for each in held)


def _is_whole(record: FileRecord, held: Sequence[PartSource], pts: Collection[str]) -> bool:
    """Tells whether a finished file has all its records and its ``.pt``, which is one of some."""
    return (record.pt is None or record.pt in pts) and _count(held) == record.records


def _find_pts(root: str, committed: Commits, sources: Collection[str]) -> set[str]:
    """Returns which ``.pt`` of finished files are there, as paths below the output root."""
    records = [committed.files[source] for source in sources if source in committed.files]
    wanted = {record.pt for record in records if record.pt}
    # On an object store a request each: hours for a million files, so they are listed instead.
    if storage.is_local(root) or len(wanted) * _LISTED_AT_ONCE <= len(committed.files):
        return {pt for pt in wanted if storage.exists(storage.join(root, pt))}
    there = {found.url for found in storage.match(storage.join(root, PT) + "/")}
    return {pt for pt in wanted if storage.join(root, pt) in there}


def digest_of(file: FastaFile, must_be_readable: bool) -> str:
    """Returns the digest of a file; an empty one, as in its dead letter, if it is unreadable.

    Raises:
        ConfigurationError: It is unreadable and must not be.
    """
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


def apply(root: str, run: str, work: Work, is_at_rest: bool = True) -> None:
    """Takes out of an output what does not count any more, and notes the new times of files.

    A kill in between costs nothing: what is left to take out is found again by the next run.
    Only for a run that holds the parts; from here on a compaction leaves those of unfinished
    files alone.

    Args:
        root: The output root.
        run: The run that does so.
        work: What it has to do.
        is_at_rest: See :func:`~transforms.output.removal.remove_records`.
    """
    if work.reopened:
        note_reopened(root, work.reopened)
        reopen_files(root, work.reopened)
    if work.removals:
        remove_records(root, run, work.removals, is_at_rest)
    note_touched(root, run, work.touched)


def tidy(root: str, run: str, committed: Commits) -> None:
    """Takes out of an output, at the end of a run, what the run has shown not to count.

    That is the records of a file that changed while it was read, of which only its dead letter
    stays, and the dead letter of a file that could be read in the end.
    """
    removals = dict(_find_leftovers(committed))
    # It may have been all but finished by a run that was killed; unless the name is another's now.
    held = {stem(source) for source in committed.files}
    reopened = [s for s, what in removals.items() if what == ALL_RECORDS and stem(s) not in held]
    with hold_parts(root, run):
        reopen_files(root, reopened)
        remove_records(root, run, removals)
    settle_reopened(root, committed)


def _find_leftovers(committed: Commits) -> Iterator[tuple[str, Removal]]:
    for source in committed.sources_with_failure():
        yield source, FILE_FAILURE if source in committed.files else ALL_RECORDS


def failed_urls(root: str, input_root: str, committed: Commits) -> tuple[str, ...]:
    """Returns where the files lie that have dead letters, or are one, or were being tried again."""
    sources = read_reopened(root, committed) | {
        source
        for part in committed.parts.values()
        for source, held in part.sources.items()
        if held.dead_letters or held.failed
    }
    return tuple(storage.join(input_root, source) for source in sorted(sources))


def holds_condemned(root: str, committed: Commits) -> bool:
    """Tells whether a record that kills the process is among the dead letters."""
    return any(
        letter.error_type == PROCESS_DIED
        for part in committed.parts.values()
        for source, held in part.sources.items()
        if held.dead_letters
        for letter in read_dead_letters(root, part, source)
    )

"""Files in an output that no commit names."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pipeline.verification.findings import Finding, remark
from pipeline.verification.pts import DamagedPtError, load_pt
from transforms import storage
from transforms.naming import failures_name, pt_name
from transforms.output.commits import COMMITS, DEAD_LETTERS, EMBEDDINGS, PT, Commits
from transforms.output.division import (
    DIVISION,
    ENDS,
    SHARES,
    describe_missing,
    look_at_shards,
    read_division,
)
from transforms.output.reopened import REOPENED, read_reopened


def list_below(root: str, folder: str) -> list[str]:
    """Returns the paths of all files below a folder of an output, relative to the output."""
    start = storage.join(root, folder, "")
    return [f"{folder}/{found.url.removeprefix(start)}" for found in storage.match(start)]


def find_strays(root: str, committed: Commits) -> Iterator[Finding]:
    """Yields every file in the folders of an output that is not of it."""
    for folder in (EMBEDDINGS, DEAD_LETTERS, COMMITS):
        yield from check_committed(list_below(root, folder), committed)
    yield from check_per_file(root, list_below(root, PT), committed)
    if (division := read_division(root)) is not None:
        missing = describe_missing(look_at_shards(root, division)) or "all have ended"
        yield remark("shards", f"its {division.count} shards have not completed it: {missing}")
    for source in sorted(read_reopened(root, committed)):
        yield remark("reopened", f"{source}: was to be embedded anew, and is not finished")
    for name in list_below(root, storage.STAGING):
        yield remark("leftover", f"{name}: half written by a killed run; the next removes it")


def check_committed(names: Iterable[str], committed: Commits) -> Iterator[Finding]:
    """Data files and commit records are those of the parts and of nothing else."""
    parts = committed.parts.values()
    wanted = {
        f"{COMMITS}/output.json",
        REOPENED,
        DIVISION,
        *(f"{COMMITS}/{part.part}.json" for part in parts),
    }
    wanted |= {f"{EMBEDDINGS}/{part.embeddings}" for part in parts}
    wanted |= {f"{DEAD_LETTERS}/{part.dead_letters}" for part in parts}
    replaced = {old for part in parts for old in part.replaces}
    for name in names:
        folder, _, rest = name.partition("/")
        is_note = (
            folder == COMMITS and rest.startswith(("files-", ENDS, SHARES)) and "/" not in rest
        )
        if name in wanted or is_note:
            continue
        part = rest.removesuffix(".json") if folder == COMMITS else rest.rpartition("-")[0]
        if part in replaced:
            yield remark("leftover", f"{name}: {part} was replaced; the next run removes it")
        elif part.startswith("part-") and folder != COMMITS:
            yield Finding(
                "stray",
                f"{name}: no commit names it, but a reader that takes every file does not know; "
                "the next run removes it",
            )
        else:
            yield Finding("stray", f"{name}: no commit names it")


def check_per_file(root: str, names: Iterable[str], committed: Commits) -> Iterator[Finding]:
    """What lies below ``pt/`` belongs to a finished file, or to one that a kill left unfinished."""
    finished = {name(source) for source in committed.files for name in (pt_name, failures_name)}
    begun, failed = set(), set()
    for part in committed.parts.values():
        for source, held in part.sources.items():
            names_of = {pt_name(source), failures_name(source)}
            if held.rows or held.dead_letters:
                begun |= names_of
            else:
                failed |= names_of
    for name in names:
        if name in finished:
            continue
        if name in begun:
            yield remark("leftover", f"{name}: its file is not finished; a run writes it anew")
        elif name in failed:
            yield Finding("stray", f"{name}: its file could not be read, so it should have none")
        elif _is_empty_pt(root, name):
            yield remark("leftover", f"{name}: is empty, as is that of an empty file; a run knows")
        else:
            yield Finding("stray", f"{name}: belongs to no file of this output")


def _is_empty_pt(root: str, name: str) -> bool:
    """Tells whether this is what an empty file gets: of that, no part holds anything."""
    try:
        pt = load_pt(root, name)
    except (DamagedPtError, OSError):
        return False
    return not pt.ids and not pt.vectors

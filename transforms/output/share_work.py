"""What is left to do for one shard of an output."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace

from transforms.errors import ConfigurationError
from transforms.inputs.collisions import check_name, find_names
from transforms.inputs.finding import FastaFile
from transforms.output.commits import Commits
from transforms.output.resuming import digest_of
from transforms.shares import Share


def find_share(
    root: str, files: Sequence[FastaFile], committed: Commits, shares: Mapping[str, Share]
) -> tuple[FastaFile, ...]:
    """Finds out which files still hold records that a shard has to embed.

    Nothing is taken out of the output, for that is of all shards: a file that has changed since any
    of them read it is refused.

    Args:
        root: The output root.
        files: The input files.
        committed: What the output holds.
        shares: What the shard has noted, by file.

    Raises:
        ConfigurationError: A file has changed, or its ``.pt`` would take the name of another's.
    """
    versions = defaultdict(set)
    for part in committed.parts.values():
        for source, held in part.sources.items():
            if held.rows or held.dead_letters:
                versions[source].add(held.sha256)
    known = find_names(committed)
    todo = []
    for file in files:
        check_name(file, known)
        done = committed.files.get(file.source) or shares.get(file.source)
        held_versions = {done.sha256} if done else versions[file.source]
        if done and (done.size, done.mtime) == (file.size, file.mtime):
            continue
        if held_versions and held_versions != {digest_of(file, must_be_readable=True)}:
            raise ConfigurationError(
                f"{file.url} has changed since records of it were embedded, and a shard must not "
                "take out what others have embedded. Put it back as it was; or, to embed it anew, "
                f"end all shards, then `python -m pipeline.finish {root} --release`, and go on "
                "without --shard."
            )
        if not done:
            todo.append(replace(file, sha256="".join(held_versions)))
    return tuple(todo)

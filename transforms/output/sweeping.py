"""Taking away what does not count: what was replaced, and what a kill left half done."""

from __future__ import annotations

from collections.abc import Iterable

from transforms import storage
from transforms.output.commits import (
    DEAD_LETTERS,
    EMBEDDINGS,
    PartRecord,
    delete_part_record,
    read_all_parts,
    replaced_by,
)
from transforms.output.division import shares_of
from transforms.output.shards import Shard

MERGED = "part-merged-"
"""How the names of parts begin that were merged of others."""


def sweep(root: str) -> None:
    """Removes what a killed run or compaction left half done.

    That is staged files, parts that were replaced, and data files without a commit. Only for a
    run that has the output to itself, while neither it nor a compaction writes anything.
    """
    storage.delete(storage.join(root, storage.STAGING))
    sweep_parts(root)


def sweep_shard(root: str, shard: Shard) -> None:
    """Removes what killed runs of a shard left half done, and nothing that is another's.

    Only for one that holds the lock of the shard and the parts; other shards may be at work.
    """
    own = f"part-{shard.runs}", shares_of(shard)
    staging = storage.join(root, storage.STAGING)
    for name in storage.list_names(staging):
        if name.startswith(own):
            storage.delete(storage.join(staging, name))
    sweep_parts(root, own[0])


def sweep_merges(root: str) -> None:
    """Removes what a killed compaction left half done, but for what it had staged.

    Only for one that holds the parts; a run may write parts of its own meanwhile.
    """
    sweep_parts(root, MERGED)


def delete_replaced(
    root: str, replaced: Iterable[PartRecord], named: Iterable[str | None] = ()
) -> None:
    """Deletes parts that another one has replaced.

    Args:
        root: The output root.
        replaced: The parts, the oldest first: none must outlive the one that replaced it.
        named: Data files that stay, for a part that counts names them too.
    """
    kept = set(named)
    for part in replaced:
        # The data first: a record that is left by a kill tells what else has to go.
        for folder, name in ((EMBEDDINGS, part.embeddings), (DEAD_LETTERS, part.dead_letters)):
            if name is not None and name not in kept:
                storage.delete(storage.join(root, folder, name))
        delete_part_record(root, part.part)


def sweep_parts(root: str, prefix: str = "part-") -> None:
    """Removes replaced parts, and data files that no commit names.

    Only for who holds the parts.

    Args:
        root: The output root.
        prefix: How the names of the data files begin; nothing writes such files meanwhile.
    """
    parts = read_all_parts(root)
    gone = replaced_by(parts).keys()
    counting = [part for name, part in parts.items() if name not in gone]
    named = {name for part in counting for name in (part.embeddings, part.dead_letters)}
    replaced = [part for name, part in parts.items() if name in gone]
    delete_replaced(root, sorted(replaced, key=lambda part: part.time), named)
    for folder in (storage.join(root, EMBEDDINGS), storage.join(root, DEAD_LETTERS)):
        for name in storage.list_names(folder):
            if name.startswith(prefix) and name not in named:
                storage.delete(storage.join(folder, name))

"""The names of locks on an output: who holds which."""

from __future__ import annotations

from transforms.output.shards import Shard

RUN = "all"
"""The lock of a run that is no shard."""

COMPACT = "compact"
"""That of a compaction, from its beginning to its end."""

FINISH = "finish"
"""That of whoever completes an output; others wait for it."""

PARTS = "parts"
"""That of whoever takes parts away: a run at its start and end, a compaction."""


def lock_name(shard: Shard | None) -> str:
    """Returns the name of the lock that a run holds."""
    return shard.name if shard else RUN

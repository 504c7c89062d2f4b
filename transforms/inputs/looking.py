"""Looking for files to embed while a job goes on: which are due, and which have come through.

Nothing is remembered of a file that is finished: the output knows it. What has to survive a worker
is what was sent on and has no outcome yet, so that nothing is sent on twice, and what the output
does not tell: which version of a file failed. That is :class:`Memory`, the cursor of the source.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from transforms.dead_letters import file_failed
from transforms.errors import ConfigurationError
from transforms.inputs.arriving import Sight, Version, refusal, version_of
from transforms.inputs.finding import FastaFile, Listing
from transforms.naming import stem
from transforms.output.commits import Commits, Output, read_commits
from transforms.output.locks import check_held, hold_parts
from transforms.output.outcomes import Outcomes
from transforms.output.parts import of_round, part_name, write_part
from transforms.output.removal import Removal
from transforms.output.resuming import apply, find_work
from transforms.warn_once import WarnOnce

FLYING_BYTES, FLYING_FILES = 1 << 24, 1024
"""What is sent on and not finished, unless it is one file: an engine holds all that is read."""

TICK_BYTES, TICK_FILES = 1 << 22, 256
"""What is sent on at one time: an engine sends on what it reads of these files all at once."""

logger = logging.getLogger(__name__)


@dataclass
class Memory:
    """What the source must not forget; as large as what is under way and what is broken.

    Attributes:
        looked: When the last look was, seconds since the epoch.
        quiet_since: Since when there is nothing to do; None while there is something.
        flying: Files that were sent on and have no outcome yet.
        settled: Files that are there and need nothing, although none of that version is finished:
            those that failed or were refused, and those that were touched.
    """

    looked: float = 0.0
    quiet_since: float | None = None
    flying: dict[str, Version] = field(default_factory=dict)
    settled: dict[str, Version] = field(default_factory=dict)

    def pack(self) -> tuple[Any, ...]:
        """Returns plain values."""
        held = ({s: tuple(v) for s, v in each.items()} for each in (self.flying, self.settled))
        return (self.looked, self.quiet_since, *held)

    @classmethod
    def unpack(cls, values: tuple[Any, ...]) -> Memory:
        """Rebuilds it from what :meth:`pack` returned."""
        looked, quiet_since, *held = values
        flying, settled = ({s: Version(*v) for s, v in each.items()} for each in held)
        return cls(looked, quiet_since, flying, settled)


class Looker:
    """Says which files are to be read now.

    Not for several threads at once. What it holds beside a Memory is for speed, or costs one more
    look: another one may go on with the Memory.

    Args:
        find: Lists the files that there are.
        output: Where they are embedded to.
        poll_seconds: Time between two looks.
        clock: Seconds since the epoch; replaced by tests.
    """

    def __init__(
        self,
        find: Callable[[], Listing],
        output: Output,
        poll_seconds: float,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._find = find
        self._output = output
        self._poll_seconds = poll_seconds
        self._clock = clock
        self._sight = Sight()
        self._outcomes = Outcomes(output.root)
        self._behind: dict[str, set[str]] = {}  # files that wait, and for which
        self._warn = WarnOnce(logger)

    def look(self, memory: Memory, position: int) -> list[FastaFile]:
        """Returns the files whose turn it is, and takes note of them in the memory.

        Called more often than the folder is looked at. A look that fails is logged, and changes
        nothing: the next one may work.

        Args:
            memory: What came of the calls before.
            position: Number of this call; one that is repeated has the same.

        Raises:
            LostError: The lock of the output is another run's by now.
            OSError: The output cannot be read or written.
        """
        if memory.flying:
            self._outcomes.refresh()
            self._land(memory)
        # Not if the clock was set back, either.
        if not 0 <= self._clock() - memory.looked < self._poll_seconds:
            self._look_at_folder(memory)
        ready = self._take_in(self._take(memory), memory, position)
        memory.flying.update((file.source, version_of(file)) for file in ready)
        if not self._is_quiet(memory):
            memory.quiet_since = None
        elif memory.quiet_since is None:
            memory.quiet_since = self._clock()
        return ready

    def _land(self, memory: Memory) -> None:
        for source in tuple(memory.flying):
            # What it had before it was sent on was taken out, so either is of this version.
            if self._outcomes.finished(source):
                del memory.flying[source]
            elif self._outcomes.has_failed(source):
                memory.settled[source] = memory.flying.pop(source)

    def _look_at_folder(self, memory: Memory) -> None:
        memory.looked = self._clock()
        try:
            listing = self._find()
        # Whatever the client of an object store raises: a job outlives its network.
        except Exception as error:
            self._warn(f"{error} It is looked for again in {self._poll_seconds:g} s.")
            memory.quiet_since = None
            return
        for sentence in listing.unnamed:
            self._warn(sentence)
        self._sight.look(listing.files)
        seen = self._sight.seen
        memory.settled = {s: v for s, v in memory.settled.items() if s in seen}

    def _is_due(self, file: FastaFile, memory: Memory) -> bool:
        source, version = file.source, version_of(file)
        return (
            source not in memory.flying
            and memory.settled.get(source) != version
            and self._outcomes.finished(source) != version
        )

    def _is_quiet(self, memory: Memory) -> bool:
        return not memory.flying and not any(
            self._is_due(file, memory) for file in self._sight.seen.values()
        )

    def _take(self, memory: Memory) -> list[FastaFile]:
        """Returns what may be sent on now, in order of arrival: a large one is not overtaken."""
        taken: list[FastaFile] = []
        size = 0
        flying = sum(version.size for version in memory.flying.values())
        for file in self._sight.complete.values():
            if not self._is_due(file, memory) or self._waits(file.source, memory):
                continue
            are_many = len(memory.flying) + len(taken) >= FLYING_FILES or len(taken) >= TICK_FILES
            is_much = flying + size + file.size > FLYING_BYTES or size + file.size > TICK_BYTES
            if are_many or (is_much and (taken or memory.flying)):
                break
            taken.append(file)
            size += file.size
        return taken

    def _waits(self, source: str, memory: Memory) -> bool:
        if not self._behind.get(source, set()) & memory.flying.keys():
            self._behind.pop(source, None)
        return source in self._behind

    def _take_in(
        self, taken: Sequence[FastaFile], memory: Memory, position: int
    ) -> list[FastaFile]:
        """Turns away what no output can take, and finds out what is left to do of the rest."""
        holders = {stem(source): source for source in memory.flying} if taken else {}
        refused: list[tuple[FastaFile, str, str]] = []
        fit: list[FastaFile] = []
        for file in taken:
            holder = holders.get(stem(file.source)) or self._outcomes.holder(file.source)
            if reason := refusal(file, holder, self._output.pt):
                refused.append((file, *reason))
            else:
                holders[stem(file.source)] = file.source
                fit.append(file)
        self._refuse(refused, memory, position)
        new = [file for file in fit if not self._outcomes.is_known(file.source)]
        known = [file for file in fit if self._outcomes.is_known(file.source)]
        return new + (self._reopen(known, memory) if known else [])

    def _refuse(
        self, refused: Sequence[tuple[FastaFile, str, str]], memory: Memory, position: int
    ) -> None:
        letters = []
        if refused:
            self._outcomes.refresh()  # it may have been refused before, while nothing was under way
        for file, error_type, message in refused:
            memory.settled[file.source] = version_of(file)
            if not self._outcomes.has_failed(file.source):
                letters.append(file_failed(file.source, error_type, message))
        if letters:
            # Under a name of its own: the job's parts are numbered by the graph.
            of_letters = of_round(self._output, 0)
            write_part(part_name(of_letters.run, 0, position), letters, of_letters)

    def _reopen(self, known: Sequence[FastaFile], memory: Memory) -> list[FastaFile]:
        """Takes out of the output what does not count any more, and returns what is to be read.

        A file that shares a part with one that is under way waits for that one: its completion
        needs the part as it is.
        """
        root = self._output.root
        if self._output.lock:
            check_held(root, self._output.lock)
        committed = read_commits(root)
        unfit: set[str] = set()

        def refuse(file: FastaFile, error: ConfigurationError) -> None:
            unfit.add(file.source)
            self._warn(f"{error} Its vectors stay; it is looked at again when it changes.")

        work = find_work(root, known, committed, refuse=refuse)
        todo = {file.source: file for file in work.todo}
        removals = dict(work.removals)
        for source in todo:
            if self._outcomes.has_failed(source):  # so that the next outcome can be told from it
                removals[source] = replace(removals.get(source, Removal()), failure=True)
        behind = _files_in_the_way(committed, removals, memory.flying)
        self._behind |= behind
        removals = {s: removal for s, removal in removals.items() if s not in behind}
        reopened = frozenset(work.reopened - behind.keys())
        still = replace(work, todo=(), reopened=reopened, removals=removals)
        with hold_parts(root, self._output.run):
            apply(root, self._output.run, still, is_at_rest=False)
        self._outcomes.forget({*removals, *work.reopened} - behind.keys())
        for file in known:
            if file.source in unfit or not (file.source in todo or file.source in behind):
                memory.settled[file.source] = version_of(file)
        return [file for file in todo.values() if file.source not in behind]


def _files_in_the_way(
    committed: Commits, removals: Mapping[str, Removal], flying: Iterable[str]
) -> dict[str, set[str]]:
    """Returns the files whose parts are needed as they are, each with those that need them."""
    parts_of = committed.by_source()
    needed: dict[str, set[str]] = {}
    for source in flying:
        for part in parts_of.get(source, ()):
            needed.setdefault(part.part, set()).add(source)
    behind: dict[str, set[str]] = {}
    for source, removal in removals.items():
        for part in parts_of.get(source, ()):
            if part.part in needed and removal.touches(part.sources[source]):
                behind.setdefault(source, set()).update(needed[part.part])
    return behind

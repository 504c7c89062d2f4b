"""The dead letters of an output: which count, and how many there are of each kind."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from transforms.items import DeadLetter
from transforms.output.commits import DEAD_LETTERS, Commits
from transforms.output.committed import read_all_dead_letters
from transforms.text import counted, printable

MOST_SHOWN = 500
"""Characters of a name or a message that a person is shown."""


@dataclass(frozen=True)
class Failures:
    """The dead letters of one kind.

    Attributes:
        count: How many there are.
        examples: The first of them, at least one, without their sequences.
    """

    count: int
    examples: tuple[DeadLetter, ...]

    @property
    def first(self) -> DeadLetter:
        """Returns the first of them."""
        return self.examples[0]


def iterate_dead_letters(
    root: str, committed: Commits, gone: list[str] | None = None
) -> Iterator[DeadLetter]:
    """Yields the dead letters of an output, from one part after the other.

    Args:
        root: The output root.
        committed: What it has committed.
        gone: Gets the paths of files that are not there; None if there must be none.

    Raises:
        ConfigurationError: A file is damaged.
        FileNotFoundError: A file is not there, and that is not asked for.
    """
    failed: dict[str, DeadLetter] = {}
    for part in sorted(committed.parts.values(), key=lambda part: part.time):
        if part.dead_letters is None:
            continue
        try:
            letters = read_all_dead_letters(root, part.dead_letters)
        except FileNotFoundError:
            if gone is None:
                raise
            gone.append(f"{DEAD_LETTERS}/{part.dead_letters}")
            continue
        for letter in letters:
            if letter.ordinal is not None:
                yield letter
            else:
                failed[letter.source] = letter
    # Of a file that was tried several times the last failure counts, and only until it is read.
    yield from (letter for source, letter in failed.items() if source not in committed.files)


class FailureKinds:
    """Counts dead letters by stage and type as they go by.

    Args:
        examples: How many of each kind are kept.
    """

    def __init__(self, examples: int = 1) -> None:
        self._examples = examples
        self._counts: Counter[tuple[str, str]] = Counter()
        self._first: defaultdict[tuple[str, str], list[DeadLetter]] = defaultdict(list)

    def add(self, letter: DeadLetter) -> None:
        """Takes note of a dead letter."""
        kind = letter.stage, letter.error_type
        self._counts[kind] += 1
        if len(self._first[kind]) < self._examples:
            self._first[kind].append(replace(letter, sequence=None))

    def all(self) -> tuple[Failures, ...]:
        """Returns the kinds, the most frequent first."""
        kinds = self._counts.most_common()
        return tuple(Failures(count, tuple(self._first[kind])) for kind, count in kinds)


def count_failures(letters: Iterable[DeadLetter], examples: int = 1) -> tuple[Failures, ...]:
    """Counts dead letters as :class:`FailureKinds` does."""
    kinds = FailureKinds(examples)
    for letter in letters:
        kinds.add(letter)
    return kinds.all()


def count_failed(records: int, files: int) -> str:
    """Returns e.g. ``2 records and 1 file``; empty for none."""
    return " and ".join(filter(None, (counted(records, "record"), counted(files, "file"))))


def tell_kinds(kinds: Iterable[Failures]) -> Iterator[str]:
    """Yields a line on each kind of failure, and one on each example where there are several."""
    for kind in kinds:
        named = f"{kind.first.error_type} ({kind.first.stage})"
        told = [
            f"{name_failed(each.source, each.ordinal, each.id)}: {_shown(each.message)}"
            for each in kind.examples
        ]
        yield f"  {kind.count:,} {_shown(named)}, the first: {told[0]}"
        yield from (f"    {each}" for each in told[1:])


def name_failed(source: str, ordinal: int | None, record_id: str) -> str:
    """Returns how a failed record, or with ``ordinal`` None a file, is named in a sentence."""
    names = [source] if ordinal is None else [source, record_id or "no id"]
    return ", ".join(map(_shown, names))


def _shown(text: str) -> str:
    return printable(text, MOST_SHOWN)

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


def count_failures(letters: Iterable[DeadLetter], examples: int = 1) -> tuple[Failures, ...]:
    """Counts dead letters by stage and type, the most frequent kind first.

    Args:
        letters: The dead letters.
        examples: How many of each kind are kept.
    """
    counts: Counter[tuple[str, str]] = Counter()
    first: defaultdict[tuple[str, str], list[DeadLetter]] = defaultdict(list)
    for letter in letters:
        kind = letter.stage, letter.error_type
        counts[kind] += 1
        if len(first[kind]) < examples:
            first[kind].append(replace(letter, sequence=None))
    return tuple(Failures(count, tuple(first[kind])) for kind, count in counts.most_common())


def count_failed(records: int, files: int) -> str:
    """Returns e.g. ``2 records and 1 file``; empty for none."""
    return " and ".join(filter(None, (counted(records, "record"), counted(files, "file"))))


def describe_failed(source: str, ordinal: int | None, record_id: str, message: str) -> str:
    """Returns which record, or with ``ordinal`` None which file, has failed, and why."""
    return f"{name_failed(source, ordinal, record_id)}: {printable(message, MOST_SHOWN)}"


def name_failed(source: str, ordinal: int | None, record_id: str) -> str:
    """Returns how a failed record, or with ``ordinal`` None a file, is named in a sentence."""
    names = [source] if ordinal is None else [source, record_id or "no id"]
    return ", ".join(printable(name, MOST_SHOWN) for name in names)

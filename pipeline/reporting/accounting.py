"""Whether every record that was read has an outcome, file by file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.overview import FileStatus
from transforms.text import counted

MOST_FILES = 100
"""Files that a page lists."""


@dataclass(frozen=True, slots=True)
class Accounting:
    """The counts of an output.

    Attributes:
        read: Records of its finished files.
        embedded: Of these, how many have a row.
        dead_lettered: And how many have failed.
        wrong: Finished files of which that does not add up.
        finished: How many files are finished.
        failed: How many could not be read to their end.
        unfinished: How many have no outcome yet.
        embedded_so_far: Rows of those.
    """

    read: int
    embedded: int
    dead_lettered: int
    wrong: tuple[FileStatus, ...]
    finished: int
    failed: int
    unfinished: int
    embedded_so_far: int

    @property
    def verdict(self) -> str:
        """Returns ``good`` where all adds up, ``bad`` where something does not, else ``open``."""
        if self.wrong:
            return "bad"
        return "good" if self.finished and not (self.failed or self.unfinished) else "open"

    def sentences(self, thing: str) -> list[str]:
        """Returns what a person is told.

        Args:
            thing: What a file is called.
        """
        told = []
        if self.finished and not self.wrong:
            told.append(
                f"Every record is accounted for: {self.read:,} read = {self.embedded:,} embedded + "
                f"{self.dead_lettered:,} dead-lettered, in {counted(self.finished, thing)}."
            )
        elif self.wrong:
            verb = "does" if len(self.wrong) == 1 else "do"
            told.append(
                f"{counted(len(self.wrong), thing)} {verb} not add up: read is not embedded + "
                "dead-lettered. python -m pipeline.verify tells what is wrong."
            )
        if self.failed:
            told.append(f"{counted(self.failed, thing)} could not be read to the end.")
        if self.unfinished:
            told.append(
                f"{counted(self.unfinished, thing)} not finished yet, with "
                f"{counted(self.embedded_so_far, 'protein') or 'nothing'} embedded so far."
            )
        return told or ["Nothing is committed yet."]


def adds_up(file: FileStatus) -> bool:
    """Tells whether the records of a file have one outcome each; of one not finished none can."""
    return file.status != "finished" or file.records == file.rows + file.dead_letters


def account(files: Sequence[FileStatus]) -> Accounting:
    """Adds up the records of files."""
    finished = [file for file in files if file.status == "finished"]
    others = [file for file in files if file.status == "unfinished"]
    return Accounting(
        read=sum(file.records or 0 for file in finished),
        embedded=sum(file.rows for file in finished),
        dead_lettered=sum(file.dead_letters for file in finished),
        wrong=tuple(file for file in finished if not adds_up(file)),
        finished=len(finished),
        failed=sum(file.status == "failed" for file in files),
        unfinished=len(others),
        embedded_so_far=sum(file.rows for file in others),
    )


def of_most_interest(files: Sequence[FileStatus], most: int = MOST_FILES) -> list[FileStatus]:
    """Returns the files that a page lists: what is wrong first, and then the largest."""

    def rank(file: FileStatus) -> tuple[bool, bool, bool, int, str]:
        is_fine = file.status == "finished"
        return adds_up(file), is_fine, not file.dead_letters, -file.rows, file.source

    return sorted(files, key=rank)[:most]

"""Whether every record that was read has an outcome, file by file."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.file_states import FAILED, FINISHED, UNFINISHED, FileState
from transforms.text import counted

MOST_FILES = 100
"""Files that a page lists."""


def judge(files: Sequence[FileState]) -> str:
    """Returns ``good`` where all adds up, ``bad`` where something does not, else ``open``."""
    if not all(file.adds_up for file in files):
        return "bad"
    return "good" if files and all(file.status == FINISHED for file in files) else "open"


def account(files: Sequence[FileState], thing: str) -> list[str]:
    """Returns in sentences what has become of the records of files.

    Args:
        files: The files.
        thing: What a file is called.
    """
    finished, failed, unfinished = (
        [file for file in files if file.status == status]
        for status in (FINISHED, FAILED, UNFINISHED)
    )
    told = []
    if wrong := sum(not file.adds_up for file in finished):
        told.append(
            f"{counted(wrong, thing)} {'does' if wrong == 1 else 'do'} not add up: read is not "
            "embedded + dead-lettered. python -m pipeline.verify tells what is wrong."
        )
    elif finished:
        told.append(
            f"Every record is accounted for: {sum(f.records or 0 for f in finished):,} read = "
            f"{sum(f.rows for f in finished):,} embedded + "
            f"{sum(f.dead_letters for f in finished):,} dead-lettered, in "
            f"{counted(len(finished), thing)}."
        )
    if failed:
        told.append(f"{counted(len(failed), thing)} could not be read to the end.")
    if unfinished:
        rows = sum(file.rows for file in unfinished)
        told.append(
            f"{counted(len(unfinished), thing)} not finished yet, with "
            f"{counted(rows, 'protein') or 'nothing'} embedded so far."
        )
    return told or ["Nothing is committed yet."]


def of_most_interest(files: Sequence[FileState], most: int = MOST_FILES) -> list[FileState]:
    """Returns the files that a page lists: what is wrong first, and then the largest."""

    def rank(file: FileState) -> tuple[bool, bool, bool, int, str]:
        is_fine = file.status == FINISHED
        return file.adds_up, is_fine, not file.dead_letters, -file.rows, file.source

    return sorted(files, key=rank)[:most]

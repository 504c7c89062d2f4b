"""New times of finished files whose content is the same: else each run would read them whole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from transforms import storage
from transforms.output.commits import COMMITS, FileRecord, add_file_records, delete_file_records
from transforms.times import now

_TOUCHED = "touched-"


def note_touched(root: str, run: str, records: Sequence[FileRecord]) -> None:
    """Notes new times, in place of those that were noted before.

    Args:
        root: The output root.
        run: The run that does so. The names are not of it: who follows it counts the files that it
            finishes.
        records: What is to count of each file.
    """
    if not records:
        return
    names = storage.list_names(storage.join(root, COMMITS))
    before = {name for name in names if name.startswith(f"files-{_TOUCHED}")}
    time = now("microseconds")
    add_file_records(root, f"{_TOUCHED}{run}", [replace(each, time=time) for each in records])
    # Or they would be as many as there are runs. A kill before this leaves some for the next time.
    delete_file_records(root, {each.source for each in records}, before)

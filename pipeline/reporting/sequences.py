"""The sequences of some rows, which an output does not hold: from its input files, if they last."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from transforms import storage
from transforms.inputs.finding import FastaFile
from transforms.inputs.reading import read_items
from transforms.items import EndOfFile, Protein
from transforms.output.commits import FileRecord
from transforms.text import sized

MOST_BYTES = 64 << 20
"""Of input files that are read; a report is to take seconds."""


class NoSequencesError(LookupError):
    """They cannot be had; it says why, as a part of a sentence."""


def read_sequences(rows: Sequence[tuple[str, int]], files: Mapping[str, FileRecord]) -> list[str]:
    """Returns the sequence of each row as its file has it, in upper case.

    Args:
        rows: File and place in it of each.
        files: The finished files of the output, by name.

    Raises:
        NoSequencesError: A file is not finished, not there or not the one that was embedded, or
            they are too large.
    """
    wanted: defaultdict[str, dict[int, int]] = defaultdict(dict)
    for row, (source, ordinal) in enumerate(rows):
        wanted[source][ordinal] = row
    if missing := wanted.keys() - files.keys():
        raise NoSequencesError(f"{min(missing)} is not finished, or is no file")
    total = sum(files[source].size for source in wanted)
    if total > MOST_BYTES:
        raise NoSequencesError(f"the input files have more than {sized(MOST_BYTES)}")
    found = [""] * len(rows)
    for source, places in sorted(wanted.items()):
        _read_file(files[source], places, found)
    return found


def _read_file(file: FileRecord, places: Mapping[int, int], found: list[str]) -> None:
    _check_is_there(file)
    item = None
    for item in read_items(FastaFile(file.url, file.source, file.size, file.mtime)):
        if isinstance(item, Protein) and item.ordinal in places:
            found[places[item.ordinal]] = item.sequence.upper()
    if not isinstance(item, EndOfFile) or item.file_sha256 != file.sha256:
        raise NoSequencesError(f"{file.source} is no more what was embedded")


def _check_is_there(file: FileRecord) -> None:
    try:
        seen = storage.look_up(file.url)
    except (OSError, ValueError):
        seen = None
    # The size too: what is no ordinary file might have no end.
    if seen is None or not 0 < seen.size == file.size:
        raise NoSequencesError(f"{file.source} is no more where it was, or has changed")

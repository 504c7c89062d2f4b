"""What is known of a file that has come: whether it is complete, and can be taken at all."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import replace
from math import inf
from typing import NamedTuple

from transforms.errors import ConfigurationError
from transforms.inputs.collisions import check_pt_names
from transforms.inputs.finding import FastaFile

_UNFINISHED_ENDINGS = (".tmp", ".temp", ".part", ".partial", ".filepart", ".crdownload", "~")


class Version(NamedTuple):
    """By what a file is known again."""

    size: int
    mtime: float


def version_of(file: FastaFile) -> Version:
    """Returns the version of a file."""
    return Version(file.size, file.mtime)


def is_temporary(source: str) -> bool:
    """Tells whether a name, of a file or a folder that it lies in, is that of something unfinished.

    Hidden ones are, and those that copying programs and browsers use until a file is whole.
    """
    return any(
        name.startswith(".") or name.lower().endswith(_UNFINISHED_ENDINGS)
        for name in source.split("/")
    )


def refusal(file: FastaFile, holder: str, has_pt: bool) -> tuple[str, str] | None:
    """Returns why no output can take a file: the type of the error and the message.

    Args:
        file: The file.
        holder: The source that holds the name that the file would get in the output.
        has_pt: Whether the output has ``.pt`` files.
    """
    if holder != file.source:
        message = f"{file.url} would get the same .pt as {holder}, which came first: rename it"
        return "name_taken", message
    try:
        check_pt_names([file] if has_pt else [])
    except ConfigurationError as error:
        return "name_too_long", str(error)
    return None


class Sight:
    """What two looks in a row have found: a file of the same size and time in both is complete.

    A file that is new came between this look and the one before: at its own time, if that may be.

    Attributes:
        seen: Every file of the last look.
        complete: Those that are complete, in order of arrival.
    """

    def __init__(self) -> None:
        self.seen: Mapping[str, FastaFile] = {}
        self.complete: Mapping[str, FastaFile] = {}
        self._looked = inf

    def look(self, files: Iterable[FastaFile]) -> None:
        """Takes note of a look: all files that there are."""
        now: dict[str, FastaFile] = {}
        complete: dict[str, FastaFile] = {}
        for file in files:
            source, known = file.source, self.seen.get(file.source)
            if is_temporary(source):
                continue
            if known is not None and version_of(known) == version_of(file):
                now[source] = complete[source] = known
            else:
                came = min(max(file.mtime, self._looked), file.complete)
                now[source] = replace(file, complete=came)
        earlier = {source: complete[source] for source in self.complete if source in complete}
        self.seen, self.complete, self._looked = now, earlier | complete, time.time()

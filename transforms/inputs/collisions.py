"""Inputs that cannot be written, for their names in the output are taken or too long."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from transforms.errors import ConfigurationError
from transforms.inputs.finding import FastaFile
from transforms.naming import PER_FILE, failures_name, stem
from transforms.output.commits import Commits

MAX_NAME_BYTES = 255
"""What file systems take."""


def check_names(files: Iterable[FastaFile]) -> None:
    """Makes sure that no two files would be written under one name.

    Raises:
        ConfigurationError: Two would.
    """
    for collision in find_collisions(files):
        raise ConfigurationError(collision)


def find_collisions(files: Iterable[FastaFile]) -> Iterator[str]:
    """Yields a sentence for each file that would be written under the name of an earlier one."""
    named: dict[str, FastaFile] = {}
    for file in files:
        other = named.setdefault(stem(file.source), file)
        if other is not file:
            yield (
                f"{other.url} and {file.url} would both be written as {stem(file.source)}: "
                "rename one of them, or give them in two runs with an output of their own"
            )


def check_pt_names(files: Iterable[FastaFile]) -> None:
    """Makes sure that each file's ``.pt`` and failures can have their names.

    They may be too long for file systems, or lie in what may be another file's ``.pt``.

    Raises:
        ConfigurationError: They cannot.
    """
    for file in files:
        name = failures_name(file.source).rpartition("/")[2]
        if (size := len(name.encode())) > MAX_NAME_BYTES:
            raise ConfigurationError(
                f"The failures of {file.url} would have a name of {size} bytes, and a file system "
                f"takes {MAX_NAME_BYTES}. Shorten its name, or give --sinks parquet."
            )
        for folder in file.source.split("/")[:-1]:
            if folder.endswith(PER_FILE):
                raise ConfigurationError(
                    f"{file.url} lies in a folder that is called as a .pt may be. Rename {folder}, "
                    "or give --sinks parquet."
                )


def find_names(committed: Commits) -> dict[str, str]:
    """Returns the files that hold the name of a ``.pt``, by that name."""
    known = {
        stem(source): source
        for part in committed.parts.values()
        for source, held in part.sources.items()
        if held.rows or held.dead_letters
    }
    return known | {stem(source): source for source in committed.files}


def check_name(file: FastaFile, known: Mapping[str, str]) -> None:
    """Makes sure that the ``.pt`` of a file is not another one's.

    Args:
        file: The file.
        known: What :func:`find_names` returned.

    Raises:
        ConfigurationError: It is.
    """
    if (holder := known.get(stem(file.source), file.source)) != file.source:
        raise ConfigurationError(
            f"{file.url} would get the same .pt as {holder}, which this output holds already. "
            "Rename one of them or give another --output."
        )

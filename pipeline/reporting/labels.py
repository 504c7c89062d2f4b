"""Labels that a user gives to records, as a table."""

from __future__ import annotations

import codecs
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from transforms import storage
from transforms.errors import ConfigurationError
from transforms.text import nearest


@dataclass(frozen=True, slots=True)
class Labels:
    """What some records are labelled with.

    Attributes:
        column: What the table calls it.
        by_id: The label of each id; an empty one counts as none.
    """

    column: str
    by_id: Mapping[str, str]

    def of(self, ids: Sequence[str], accessions: Sequence[str | None]) -> list[str | None]:
        """Returns the label of each record, by its id or else its accession; None for none."""
        pairs = zip(ids, accessions, strict=True)
        return [self.by_id.get(name) or self.by_id.get(other or "") for name, other in pairs]


def read_labels(path: str, column: str | None, wanted: Collection[str]) -> Labels:
    """Reads labels from a table with tabs between its columns, ids in the first one.

    Memory holds the labels that are wanted, however long the table is.

    Args:
        path: The table, on any file system that Beam knows; UTF-8, with a line of names first.
        column: Name of the column with the labels; None for the second one.
        wanted: The ids of which labels are wanted.

    Raises:
        ConfigurationError: There is no such table or column, or it names nothing that is wanted.
    """
    try:
        chunks = storage.open_chunks(storage.absolute(path))
        lines = _lines(codecs.iterdecode(chunks, "utf-8-sig"))
        names = next(lines, "").split("\t")
        at = _find_column(path, column, names)
        rows = (line.split("\t") for line in lines)
        by_id = {
            row[0]: row[at].strip()
            for row in rows
            if row[0] in wanted and len(row) > at and row[at].strip()
        }
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else None
        raise ConfigurationError(
            f"--labels {path} cannot be read ({reason or error}). Give a table in UTF-8 with tabs."
        ) from error
    if not by_id:
        raise ConfigurationError(
            f"--labels {path} has no {names[at]} for any of the ids of the output. Its first "
            "column must hold them as the FASTA does: the first word of the header."
        )
    return Labels(names[at], by_id)


def _find_column(path: str, column: str | None, names: Sequence[str]) -> int:
    if column is None and len(names) > 1:
        return 1
    if column in names[1:]:
        return names.index(column, 1)
    if not names[1:]:
        raise ConfigurationError(
            f"--labels {path}: no column beside that of the ids. Are there tabs between them?"
        )
    meant = nearest(column or "", names[1:])
    advice = f"Did you mean {meant}?" if meant else f"There are: {', '.join(names[1:])}."
    raise ConfigurationError(f"--labels {path}: no column {column} after the first. {advice}")


def _lines(texts: Iterable[str]) -> Iterator[str]:
    r"""Yields lines without their end, which is ``\n`` or ``\r\n``."""
    rest = ""
    for text in texts:
        *whole, rest = (rest + text).split("\n")
        yield from (line.removesuffix("\r") for line in whole)
    if rest:
        yield rest.removesuffix("\r")

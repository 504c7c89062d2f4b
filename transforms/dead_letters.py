"""How a step turns a failure into a dead letter, and tells the listeners of the run."""

from __future__ import annotations

import json
from collections.abc import Iterable
from hashlib import sha256
from typing import Any

from transforms import events
from transforms.inputs.fasta import MAX_RECORD_RESIDUES
from transforms.items import DeadLetter, Protein
from transforms.times import now

_OF_MESSAGES = ("message_id", "publish_time", "attributes")


def record_failed(
    protein: Protein,
    stage: str,
    error_type: str,
    message: str,
    attempts: int = 1,
    unheld: int = 0,
) -> DeadLetter:
    """Returns the dead letter of one record, which the listeners are told of.

    Args:
        protein: The record, as the failing step got it.
        stage: The step: ``read``, ``residues``, ``inference`` or ``validate``.
        error_type: Short class of the failure, e.g. ``invalid_residue``.
        message: One sentence for a person.
        attempts: How often the step was tried.
        unheld: Residues of a sequence that is too long to be held, and that the record lacks.
    """
    length = unheld or len(protein.sequence)
    return _announce(
        DeadLetter(
            source=protein.source,
            ordinal=protein.ordinal,
            id=protein.id,
            description=protein.description,
            sequence=None if unheld or length > MAX_RECORD_RESIDUES else protein.sequence,
            length=length,
            sequence_sha256="" if unheld else sha256(protein.sequence.encode()).hexdigest(),
            file_sha256=protein.file_sha256,
            stage=stage,
            error_type=error_type,
            message=message,
            attempts=attempts,
            time=now(),
            message_id=protein.message_id,
            publish_time=protein.publish_time,
            attributes=protein.attributes,
        )
    )


def file_failed(
    source: str, error_type: str, message: str, file_sha256: str = "", attempts: int = 1
) -> DeadLetter:
    """Returns the dead letter of a file that could not be read to its end.

    Args:
        source: Path of the file below the input root.
        error_type: Short class of the failure, e.g. ``truncated``.
        message: One sentence for a person; it names the file and the place in it.
        file_sha256: SHA-256 of the file's bytes; empty where they could not be read.
        attempts: How often the reading was tried where it failed.
    """
    return _announce(
        DeadLetter(
            source=source,
            ordinal=None,
            id="",
            description="",
            sequence=None,
            length=0,
            sequence_sha256="",
            file_sha256=file_sha256,
            stage="read",
            error_type=error_type,
            message=message,
            attempts=attempts,
            time=now(),
        )
    )


def _announce(letter: DeadLetter) -> DeadLetter:
    """Tells the listeners of a dead letter, and returns it."""
    events.emit(
        events.RecordFailed(
            source=letter.source,
            ordinal=letter.ordinal,
            id=letter.id,
            residues=letter.length,
            stage=letter.stage,
            error_type=letter.error_type,
            message=letter.message,
        )
    )
    return letter


def address(letter: DeadLetter) -> tuple[str, int]:
    """Returns by what dead letters are sorted: that of a whole file comes before its records'."""
    return letter.source, -1 if letter.ordinal is None else letter.ordinal


def encode_dead_letters(letters: Iterable[DeadLetter]) -> bytes:
    """Returns JSON Lines, one dead letter a line; without the fields of a message if of a file."""
    return b"".join(json.dumps(_fields(letter)).encode() + b"\n" for letter in letters)


def _fields(letter: DeadLetter) -> dict[str, Any]:
    fields = zip(DeadLetter.__slots__, letter.pack(), strict=True)
    return {name: value for name, value in fields if value or name not in _OF_MESSAGES}


def decode_dead_letters(data: bytes) -> tuple[DeadLetter, ...]:
    """Returns the dead letters that :func:`encode_dead_letters` wrote."""
    return tuple(DeadLetter(**json.loads(line)) for line in data.splitlines())

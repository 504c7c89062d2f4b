"""The residue policy: what a sequence may hold, and what is done about the rest.

The model knows one token for each of the 20 amino acids and U, Z, O, B and X. Everything else
must be dealt with before the model, openly: a tokenizer that swallows or merges an unknown
letter gives a wrong vector under a right name.
"""

from __future__ import annotations

import hashlib
import re
import string
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, get_args

import apache_beam as beam

from transforms.dead_letters import record_failed
from transforms.errors import ConfigurationError, RecordError
from transforms.items import DeadLetter, Item, Protein
from transforms.passing import ActOnKinds, act_on_kinds

ALLOWED_RESIDUES = "ACDEFGHIKLMNPQRSTVWYUZOBX"
"""The 20 amino acids and U, Z, O, B and X, each with a token of its own."""

Residues = Literal["clean", "strict"]
LongSequences = Literal["truncate", "reject", "window"]

_ALLOWED = ALLOWED_RESIDUES.encode()
# ASCII alone: Unicode would make an I of a dotless i, which is no amino acid letter.
_UPPER = str.maketrans(string.ascii_lowercase, string.ascii_uppercase)
_FORBIDDEN = re.compile(f"[^{ALLOWED_RESIDUES}]")


@dataclass(frozen=True, slots=True)
class ResiduePolicy:
    """What is done with residues that the model does not know and with long sequences.

    Attributes:
        residues: ``clean`` upper-cases, drops one terminal ``*`` and maps J to X, and refuses
            whatever is then not allowed; ``strict`` refuses anything that is not allowed as
            it is written.
        long_sequences: ``truncate`` gives the model the first ``truncation_seq_length``
            residues; ``reject`` refuses longer sequences; ``window`` gives it all of them, in
            windows of that many.
        truncation_seq_length: Residues that the model is given at the most, at one time.
    """

    residues: Residues = "clean"
    long_sequences: LongSequences = "truncate"
    truncation_seq_length: int = 1024

    def __post_init__(self) -> None:
        if self.residues not in get_args(Residues):
            raise ConfigurationError(f"--residues is clean or strict, not {self.residues!r}.")
        if self.long_sequences not in get_args(LongSequences):
            raise ConfigurationError(
                f"--long_sequences is truncate, reject or window, not {self.long_sequences!r}."
            )
        if self.truncation_seq_length < 1:
            raise ConfigurationError(
                f"--truncation_seq_length must be at least 1, not {self.truncation_seq_length}."
            )


class ResidueError(RecordError):
    """A sequence that the policy refuses."""


def clean_sequence(sequence: str) -> tuple[str, str]:
    """Brings a sequence into the model's alphabet where that loses nothing.

    Returns:
        The sequence and what was changed, in words; both as they came for a sequence that
        needs nothing.
    """
    changes = []
    if (upper := sequence.translate(_UPPER)) != sequence:
        sequence = upper
        changes.append("upper-cased")
    if sequence.endswith("*"):
        sequence = sequence[:-1]
        changes.append("terminal * dropped")
    if count := sequence.count("J"):
        sequence = sequence.replace("J", "X")
        changes.append(f"{count} J to X")
    return sequence, "; ".join(changes)


def check_alphabet(sequence: str, residues: Residues = "clean") -> None:
    """Makes sure that every residue has a token.

    Args:
        sequence: As the policy leaves it.
        residues: The policy.

    Raises:
        ResidueError: The sequence is empty or holds something else; its first position is
            named, counted from 1.
    """
    if not sequence:
        raise ResidueError("empty_sequence", "no residue is left")
    if _is_allowed(sequence):
        return
    found = _FORBIDDEN.search(sequence)
    assert found is not None
    count = len(_FORBIDDEN.findall(sequence))
    more = f", the first of {count} such letters," if count > 1 else ""
    fault = "an amino acid letter: mend the record"
    if found.group().isdigit():
        fault = "an amino acid letter: take the numbers out, or fetch the sequence as FASTA"
    if residues == "strict":
        fault = "allowed as it is written (--residues strict)"
        if (cleaned := clean_sequence(sequence)[0]) and _is_allowed(cleaned):
            fault += "; --residues clean would take the sequence"
    place = f"{found.group()!r} at position {found.start() + 1}{more}"
    raise ResidueError("invalid_residue", f"{place} is not {fault}")


def _is_allowed(sequence: str) -> bool:
    return sequence.isascii() and not sequence.encode().translate(None, _ALLOWED)


def apply_policy(protein: Protein, policy: ResiduePolicy) -> Protein:
    """Returns the protein as the model will see it.

    Raises:
        ResidueError: The policy refuses it.
    """
    sequence, changes = protein.sequence, ""
    if not sequence or not _is_allowed(sequence):
        if policy.residues == "clean":
            sequence, changes = clean_sequence(sequence)
        check_alphabet(sequence, policy.residues)
    if policy.long_sequences == "reject" and len(sequence) > policy.truncation_seq_length:
        raise ResidueError(
            "too_long",
            f"{len(sequence):,} residues are more than the {policy.truncation_seq_length:,} of "
            "--truncation_seq_length",
        )
    limit = len(sequence) if policy.long_sequences == "window" else policy.truncation_seq_length
    return Protein(
        protein.source,
        protein.ordinal,
        protein.id,
        protein.description,
        sequence,
        protein.file_sha256,
        hashlib.sha256(sequence.encode()).hexdigest(),
        min(len(sequence), limit),
        changes,
        protein.message_id,
        protein.publish_time,
        protein.attributes,
    )


def check_residues(protein: Protein, policy: ResiduePolicy) -> Protein | DeadLetter:
    """Returns the protein as the model will see it, or the dead letter of one that is refused."""
    try:
        return apply_policy(protein, policy)
    except ResidueError as error:
        return record_failed(protein, "residues", error.error_type, str(error))


class _CheckResiduesDoFn(ActOnKinds):
    kinds = (Protein,)

    def __init__(self, policy: ResiduePolicy) -> None:
        self._policy = policy

    def act(self, item: Protein) -> Iterable[Item]:  # type: ignore[override]
        return (check_residues(item, self._policy),)


@dataclass
class CheckResidues(beam.PTransform):  # type: ignore[misc]
    """Applies the residue policy to each protein; one that it refuses becomes a dead letter.

    A sequence that needs no change is not changed. What was changed is recorded in
    ``Protein.changes``.
    """

    policy: ResiduePolicy = ResiduePolicy()

    def expand(self, items: beam.PCollection[Item]) -> beam.PCollection[Item]:
        """Applies the step."""
        return items | act_on_kinds(_CheckResiduesDoFn(self.policy))

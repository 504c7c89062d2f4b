"""What the id of a FASTA record means to databases."""

from __future__ import annotations

import re

# https://www.uniprot.org/help/accession_numbers; a version (.1) or isoform (-2) may follow.
_UNIPROT = re.compile(
    r"(?:[OPQ][0-9][A-Z0-9]{3}[0-9]|[A-NR-Z][0-9](?:[A-Z][A-Z0-9]{2}[0-9]){1,2})(?:[.-][0-9]+)?"
)
_CLUSTER = re.compile(r"UniRef(?:50|90|100)_(\S+)")
_SECOND_FIELD = ("sp", "tr", "ref", "gb", "emb", "dbj", "pdb", "pir", "prf", "lcl")


def find_accession(record_id: str) -> str | None:
    """Returns the accession in a FASTA id, or None where the id follows no known form.

    ``sp|P12345|NAME`` and ``tr|…`` give P12345; ``ref|WP_1.1|``, ``gb|…|`` and ``lcl|x`` the
    second field; ``UniRef50_X``, ``UniRef90_X`` and ``UniRef100_X`` give X; a bare UniProt
    accession is itself, with its version or isoform.
    """
    database, bar, rest = record_id.partition("|")
    if bar:
        return (rest.partition("|")[0] or None) if database in _SECOND_FIELD else None
    if cluster := _CLUSTER.fullmatch(record_id):
        return cluster.group(1)
    return record_id if _UNIPROT.fullmatch(record_id) else None

"""Tests of the accession in an id."""

from __future__ import annotations

import pytest

from transforms.accession import find_accession

CASES = {
    # A database says which field it is.
    "sp|P12345|AATM_RABIT": "P12345",
    "tr|A0A022YWF9|A0A022YWF9_9BACT": "A0A022YWF9",
    "sp|P12345-2|AATM_RABIT": "P12345-2",
    "ref|WP_1.1|": "WP_1.1",
    "ref|WP_000000001.1|": "WP_000000001.1",
    "gb|AAA12345.1|": "AAA12345.1",
    "gb|AAA12345.1": "AAA12345.1",
    "emb|CAA12345.1|": "CAA12345.1",
    "dbj|BAA12345.1|": "BAA12345.1",
    "pdb|1ABC|A": "1ABC",
    "lcl|x": "x",
    "sp||NAME": None,
    "gb|": None,
    "gi|1|ref|WP_1.1|": None,
    "gnl|mydb|P12345": None,
    "xx|P12345|NAME": None,
    "|P12345|": None,
    # Clusters.
    "UniRef50_P12345": "P12345",
    "UniRef90_A0A022YWF9": "A0A022YWF9",
    "UniRef100_UPI0000000001": "UPI0000000001",
    "UniRef50_X": "X",
    "UniRef50_": None,
    "UniRef75_P12345": None,
    "MyUniRef50_P12345": None,
    # Bare UniProt accessions, of 6 and 10 characters.
    "P12345": "P12345",
    "Q9Y6K9": "Q9Y6K9",
    "A2BC19": "A2BC19",
    "A0A022YWF9": "A0A022YWF9",
    "P12345.1": "P12345.1",
    "P12345.12": "P12345.12",
    "A0A022YWF9.3": "A0A022YWF9.3",
    "P12345-2": "P12345-2",
    "A0A022YWF9-2": "A0A022YWF9-2",
    # Lower case, other databases, other words.
    "p12345": None,
    "a0a022ywf9": None,
    "P1234": None,
    "P123456": None,
    "PA2345": None,
    "A0A022YWF": None,
    "P12345.": None,
    "P12345.x": None,
    "P12345-": None,
    "P12345.1-2": None,
    "WP_000000001.1": None,
    "AAA12345.1": None,
    "NC_045512.2_1": None,
    "": None,
    # Text that merely contains one.
    "xP12345": None,
    "P12345_1": None,
    "contig_P12345_3": None,
    "P12345;Q9Y6K9": None,
    " P12345": None,
    "P12345\n": None,
}


@pytest.mark.parametrize(("record_id", "accession"), CASES.items())
def test_accession(record_id: str, accession: str | None) -> None:
    assert find_accession(record_id) == accession

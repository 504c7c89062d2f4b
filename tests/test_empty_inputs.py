"""Tests of what is said of an input that matches nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from transforms.errors import ConfigurationError
from transforms.inputs.finding import find_fasta


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "proteins.faa").write_text(">a\nMKT\n")
    (tmp_path / "empty").mkdir()
    (tmp_path / "structures").mkdir()
    (tmp_path / "structures" / "1abc.pdb").touch()
    (tmp_path / "out" / "commits").mkdir(parents=True)
    (tmp_path / "out" / "commits" / "output.json").touch()
    return tmp_path


@pytest.mark.parametrize(
    ("pattern", "says"),
    [
        ("protiens.faa", "did you mean proteins.faa?"),
        ("x.fasta", "nothing in {in} matches it: check its spelling"),
        ("nowhere/x.faa", "there is no folder {in}/nowhere: check its spelling"),
        ("nowhere/*.faa", "there is no folder {in}/nowhere: check its spelling"),
        ("empty", "it is an empty folder"),
        ("empty/", "it is an empty folder"),
        ("structures", "rename what is FASTA, or give '{in}/structures/*', which takes any name"),
        ("out", "it is the output of a run: give the FASTA files that it was made from"),
    ],
)
def test_the_reason_and_the_fix_are_said(pattern: str, says: str, folder: Path) -> None:
    with pytest.raises(ConfigurationError) as caught:
        find_fasta([f"{folder}/{pattern}"])
    assert says.replace("{in}", str(folder)) in str(caught.value)
    assert pattern in str(caught.value)

"""Tests of what files are called in an output."""

from __future__ import annotations

import pytest

from transforms.errors import ConfigurationError
from transforms.inputs.collisions import check_names
from transforms.inputs.finding import FastaFile
from transforms.naming import failures_name, pt_name, stem


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("my.family.fa", "my.family"),
        ("my.fancy.fa", "my.fancy"),
        ("x.txt", "x.txt"),
        ("x.gz", "x"),
        ("x.txt.zst", "x.txt"),
        ("DERIVED.oldMacCR.faa", "DERIVED.oldMacCR"),
        ("a.fa/b.FASTA.GZ", "a.fa/b"),
        ("a/b.fa.fa", "a/b.fa"),
        ("b.fa.gz.gz", "b.fa.gz"),
        ("a/.fa", "a/.fa"),
        ("a/.gz", "a/.gz"),
        (".fa.gz", ".fa"),
        ("a.fasta2", "a.fasta2"),
        ("faa", "faa"),
    ],
)
def test_stem(source: str, expected: str) -> None:
    assert stem(source) == expected


def files(*names: str) -> list[FastaFile]:
    return [FastaFile(f"/in/{name}", name, 1, 0.0) for name in names]


def test_names_that_stay_apart_are_fine() -> None:
    check_names(files("my.family.fa", "my.fancy.fa", "a/x.fa", "b/x.fa", "x.fa.txt"))


@pytest.mark.parametrize("other", ["d/x.faa", "d/x.FA", "d/x.fa.gz", "d/x", "d/x.gz"])
def test_two_files_of_one_name_are_refused(other: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        check_names(files("d/y.fa", "d/x.fa", other))
    message = str(caught.value)
    assert "/in/d/x.fa and" in message
    assert f"/in/{other} would both be written as d/x: rename" in message


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("a.fa", "pt/a_ESM.pt"),
        ("viral/my.family.fa.gz", "pt/viral/my.family_ESM.pt"),
        ("a b [1].fasta", "pt/a b [1]_ESM.pt"),
        ("proteins.txt", "pt/proteins.txt_ESM.pt"),
    ],
)
def test_names(source: str, name: str) -> None:
    assert pt_name(source) == name
    assert failures_name(source) == name.removesuffix(".pt") + ".failures.jsonl"

"""Tests of which files are found and what they are called."""

from __future__ import annotations

import os
from pathlib import Path

import apache_beam as beam
import pytest
from apache_beam import coders
from apache_beam.testing.util import assert_that, equal_to

from transforms import storage
from transforms.errors import ConfigurationError
from transforms.inputs.finding import FastaFile, FindFasta, Listing, find_fasta


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in ["b.faa", "a.fasta.gz", "notes.txt", "deep/er/c.FNA", "deep/d.fas.XZ", "x[1].fa"]:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b">p\nMK\n")
    return tmp_path


def sources(*patterns: str | Path, root: str | None = None) -> list[str]:
    return [file.source for file in find_fasta([str(text) for text in patterns], root).files]


def test_a_folder_is_searched_to_its_bottom_for_fasta_names(tree: Path) -> None:
    listing = find_fasta([str(tree)])
    assert listing.root == str(tree)
    assert [file.source for file in listing.files] == [
        "a.fasta.gz", "b.faa", "deep/d.fas.XZ", "deep/er/c.FNA", "x[1].fa"
    ]  # fmt: skip
    assert listing.passed_over == 1
    assert listing.first_passed_over == str(tree / "notes.txt")


def test_a_file_is_described(tree: Path) -> None:
    os.utime(tree / "b.faa", (5, 1234.5))
    url = str(tree / "b.faa")
    assert find_fasta([url]).files == (FastaFile(url, "b.faa", 6, 1234.5),)


@pytest.mark.parametrize(
    ("name", "taken"),
    [
        *((name, True) for name in ["a.fa", "a.faa", "a.fasta", "a.fas", "a.fna", "a.FA"]),
        *((f"a.faa.{name}", True) for name in ["gz", "bgz", "bz2", "xz", "zst", "GZ"]),
        *((name, False) for name in ["a.ffn", "a.gz", "a.faa.zip", "afa", "a.fa.txt", ".fa"]),
        *((name, False) for name in [".fa.gz", "a.faa.gz.gz", "a.fasta~"]),
    ],
)
def test_fasta_names(tmp_path: Path, name: str, taken: bool) -> None:
    (tmp_path / "always.fa").touch()
    (tmp_path / name).touch()
    listing = find_fasta([str(tmp_path)])
    assert [file.source for file in listing.files] == sorted(["always.fa", *[name] * taken])
    assert listing.passed_over == (not taken)


def test_files_and_globs_take_any_name(tree: Path) -> None:
    assert sources(tree / "notes.txt") == ["notes.txt"]
    assert sources(tree / "n*") == ["notes.txt"]
    assert find_fasta([str(tree / "*")]).passed_over == 0


def test_a_glob_takes_files_only(tree: Path) -> None:
    assert sources(tree / "*") == ["a.fasta.gz", "b.faa", "notes.txt", "x[1].fa"]
    assert sources(tree / "?.faa") == ["b.faa"]
    assert sources(tree / "[ab].*") == ["a.fasta.gz", "b.faa"]
    assert sources(tree / "**" / "*.FNA") == ["deep/er/c.FNA"]


def test_a_name_with_brackets_is_taken_as_it_stands(tree: Path) -> None:
    (tree / "x1.fa").touch()
    assert sources(tree / "x[1].fa") == ["x[1].fa"]
    (tree / "dir[1]").mkdir()
    (tree / "dir[1]" / "y.fa").touch()
    assert find_fasta([str(tree / "dir[1]")]).root == str(tree / "dir[1]")
    (tree / "x[1].fa").unlink()
    assert sources(tree / "x[1].fa") == ["x1.fa"]


def test_order_is_that_of_the_patterns_and_a_file_is_taken_once(tree: Path) -> None:
    assert sources(tree / "x*", tree / "b.faa", tree, tree / "b.faa") == [
        "x[1].fa", "b.faa", "a.fasta.gz", "deep/d.fas.XZ", "deep/er/c.FNA"
    ]  # fmt: skip


def test_a_file_that_another_pattern_takes_is_not_passed_over(tree: Path) -> None:
    assert find_fasta([str(tree), str(tree / "notes.txt")]).passed_over == 0
    assert find_fasta([str(tree), str(tree)]).passed_over == 1


@pytest.mark.parametrize(
    ("patterns", "root"),
    [
        (["b.faa"], ""),
        (["deep/er/c.FNA"], "deep/er"),
        (["deep"], "deep"),
        (["deep/"], "deep"),
        (["deep/er/*.FNA"], "deep/er"),
        (["*/er/c.FNA"], ""),
        (["deep/e*/c.FNA"], "deep"),
        (["deep/er", "deep/d.fas.XZ"], "deep"),
        (["deep/er", "b.faa"], ""),
        # Folders are compared by whole names.
        (["deep/er/c.FNA", "deep/era/e.fa"], "deep"),
    ],
)
def test_the_root_is_the_folder_that_the_patterns_have_in_common(
    tree: Path, patterns: list[str], root: str
) -> None:
    (tree / "deep/era").mkdir()
    (tree / "deep/era/e.fa").touch()
    listing = find_fasta([f"{tree}/{text}" for text in patterns])
    assert listing.root == str(tree / root)
    for file in listing.files:
        assert file.url == f"{listing.root}/{file.source}"


def test_the_root_does_not_depend_on_what_matches_today(tree: Path) -> None:
    before = find_fasta([str(tree / "*/er/*")])
    (tree / "other/er").mkdir(parents=True)
    (tree / "other/er/z.fa").touch()
    after = find_fasta([str(tree / "*/er/*")])
    assert before.root == after.root
    assert set(before.files) < set(after.files)


def test_relative_patterns_become_absolute(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tree / "deep")
    listing = find_fasta(["er", "../b.faa"], root="..")
    assert listing.root == str(tree)
    assert [file.source for file in listing.files] == ["deep/er/c.FNA", "b.faa"]


def test_a_given_root_must_hold_every_file(tree: Path) -> None:
    assert sources(tree / "deep", root=f"{tree}/") == ["deep/d.fas.XZ", "deep/er/c.FNA"]
    with pytest.raises(
        ConfigurationError, match="b.faa does not lie below .*deep: give an --input_root"
    ):
        find_fasta([str(tree / "b.faa")], root=str(tree / "deep"))
    with pytest.raises(ConfigurationError, match="does not lie below"):
        find_fasta([str(tree / "deep/er/c.FNA")], root=str(tree / "deep/e"))


def test_where_an_output_keeps_its_root_no_other_is_advised(tree: Path) -> None:
    with pytest.raises(ConfigurationError, match="keeps the input root of its first run") as caught:
        find_fasta([str(tree / "b.faa")], root=str(tree / "deep"), is_bound=True)
    assert "--input_root" not in str(caught.value)


def test_the_top_of_the_file_system_may_be_the_root(tree: Path) -> None:
    listing = find_fasta([str(tree / "b.faa")], root="/")
    assert listing.root == "/"
    assert [f"/{file.source}" for file in listing.files] == [str(tree / "b.faa")]


def test_every_pattern_without_a_match_is_named(tree: Path) -> None:
    (tree / "empty").mkdir()
    (tree / "text").mkdir()
    (tree / "text/readme.md").touch()
    patterns = ["b.faa", "none.faa", "*.none", "empty", "text"]
    with pytest.raises(ConfigurationError) as caught:
        find_fasta([f"{tree}/{text}" for text in patterns])
    message = str(caught.value)
    assert f"{tree}/b.faa" not in message
    for text in patterns[1:]:
        assert f"'{tree}/{text}'" in message
    assert "none of the 1 files in it has a name such as x.faa" in message


@pytest.mark.parametrize("patterns", [[], [""], ["b.faa", ""], [None]])
def test_a_pattern_is_a_text_that_is_not_empty(patterns: list[str]) -> None:
    with pytest.raises(ConfigurationError, match="not an empty text"):
        find_fasta(patterns)


def test_a_name_that_no_output_can_hold_is_refused(tmp_path: Path) -> None:
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/prot\xe9ine.faa")).touch()
    with pytest.raises(ConfigurationError, match="is not UTF-8.*rename it"):
        find_fasta([str(tmp_path)])


def test_other_file_systems(monkeypatch: pytest.MonkeyPatch) -> None:
    stored = {"gs://bucket/run/a.faa": 1, "gs://bucket/run/deep/b.fa.gz": 2, "gs://bucket/c.txt": 3}

    def match(pattern: str) -> list[storage.Found]:
        prefix = pattern.partition("*")[0]
        return [storage.Found(url, size, 9.0) for url, size in stored.items() if prefix in url]

    monkeypatch.setattr(storage, "match", match)
    monkeypatch.setattr(storage, "exists", lambda url: url in stored)
    monkeypatch.setattr(storage, "is_directory", lambda url: url.rstrip("/") == "gs://bucket/run")

    assert find_fasta(["gs://bucket/run/"]).root == "gs://bucket/run"
    assert sources("gs://bucket/run") == ["a.faa", "deep/b.fa.gz"]
    listing = find_fasta(["gs://bucket/run", "gs://bucket/c.txt"])
    assert listing.root == "gs://bucket"
    assert [file.source for file in listing.files] == ["run/a.faa", "run/deep/b.fa.gz", "c.txt"]
    assert find_fasta(["gs://bucket/run/*"]).root == "gs://bucket/run"


def test_file_systems_have_no_folder_in_common(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage, "match", lambda pattern: [storage.Found(pattern, 1, 9.0)])
    monkeypatch.setattr(storage, "exists", lambda url: True)
    monkeypatch.setattr(storage, "is_directory", lambda url: False)
    for other in ["/data/a.fa", "s3://a/a.fa", "gs://b/a.fa"]:
        with pytest.raises(ConfigurationError, match="no folder in common"):
            find_fasta(["gs://a/a.fa", other])


@pytest.mark.parametrize("count", [0, 1, 100])
def test_the_transform_gives_the_files_in_order(count: int) -> None:
    given = [FastaFile(f"/in/é{n}.fa", f"é{n}.fa", 1 << 40, 1.25) for n in range(count)]
    with beam.Pipeline("FnApiRunner") as pipeline:
        found = pipeline | FindFasta(given)
        assert found.element_type is FastaFile
        in_order = found | beam.combiners.ToList()
        assert_that(in_order, equal_to([given]))


def test_the_transform_lists_when_it_is_made(tree: Path) -> None:
    transform = FindFasta.matching(str(tree / "deep"), str(tree / "b.faa"))
    (tree / "b.faa").unlink()
    assert [file.source for file in transform.files] == ["deep/d.fas.XZ", "deep/er/c.FNA", "b.faa"]


def test_files_are_not_pickled() -> None:
    coder = coders.registry.get_coder(FastaFile)
    file = FastaFile("gs://b/é.fa", "é.fa", 1 << 40, 1722222222.123456)
    encoded = coder.encode(file)
    decoded = coder.decode(encoded)
    assert (decoded, decoded.complete) == (file, file.complete)
    assert b"FastaFile" not in encoded


def test_of_files_that_are_to_come_nothing_need_be_there(tmp_path: Path) -> None:
    top = str(tmp_path)
    for pattern, root in (
        (f"{top}/later", f"{top}/later"),
        (f"{top}/later/*.fa", f"{top}/later"),
        (f"{top}/later/x.fa.gz", f"{top}/later"),
        (f"{top}/later.fa/", f"{top}/later.fa"),
    ):
        assert find_fasta([pattern], are_coming=True) == Listing(root, (), 0)
    # Its name is the same whether it was there from the start or not.
    (tmp_path / "later").mkdir()
    (tmp_path / "later/x.fa").touch()
    for root in (None, f"{top}/later"):
        (file,) = find_fasta([f"{top}/later"], root, are_coming=True).files
        assert file.source == "x.fa"


def test_of_files_that_are_to_come_those_without_a_name_are_told(tmp_path: Path) -> None:
    (tmp_path / "a.faa").touch()
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/prot\xe9ine.faa")).touch()
    listing = find_fasta([str(tmp_path)], are_coming=True)
    assert [file.source for file in listing.files] == ["a.faa"]
    assert ["is not UTF-8" in sentence for sentence in listing.unnamed] == [True]


def test_patterns_of_files_to_come_must_be_able_to_match_below_the_root(tmp_path: Path) -> None:
    for root in (tmp_path, tmp_path / "in", tmp_path / "in/a"):
        find_fasta([f"{tmp_path}/in/*.fa"], str(root), are_coming=True)
    with pytest.raises(ConfigurationError, match="cannot lie below the input root"):
        find_fasta([f"{tmp_path}/in/*.fa"], str(tmp_path / "i"), are_coming=True)

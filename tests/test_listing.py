"""Tests of lists of files that are too long for a graph."""

from __future__ import annotations

from pathlib import Path

import apache_beam as beam
import pytest
from apache_beam.testing.util import assert_that, equal_to

from tests.command import embed
from tests.helpers import files_below
from transforms.inputs import listing
from transforms.inputs.finding import FastaFile, FindFasta
from transforms.inputs.listing import FindListed, listed
from transforms.inputs.spreading import ReadRanges
from transforms.items import Item

FILES = [FastaFile(f"/in/ü {n}\n.faa", f"ü {n}\n.faa", n, n + 0.25, "ab", 7.5) for n in range(7)]


def size_of_graph(source: beam.PTransform) -> int:
    pipeline = beam.Pipeline()
    _ = pipeline | source
    return int(pipeline.to_runner_api().ByteSize())


def test_a_long_list_lies_in_the_output_while_it_is_wanted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "MOST_IN_GRAPH", 3)
    with listed(str(tmp_path), "run1", FILES) as source:
        assert isinstance(source, FindListed)
        assert files_below(tmp_path) == [f".staging/files-run1-{n}.json" for n in range(3)]
        with beam.Pipeline("FnApiRunner") as pipeline:
            found = pipeline | source
            assert found.element_type is FastaFile
            assert_that(found, equal_to(FILES))
        assert [file.complete for url in source.urls for file in listing.read_list(url)] == [
            7.5
        ] * 7
    assert files_below(tmp_path) == []


def test_it_goes_too_if_the_graph_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "MOST_IN_GRAPH", 3)
    with pytest.raises(OSError, match="full"), listed(str(tmp_path), "run1", FILES):
        raise OSError("full")
    assert files_below(tmp_path) == []


def test_a_short_list_travels_in_the_graph(tmp_path: Path) -> None:
    with listed(str(tmp_path), "run1", FILES) as source:
        assert isinstance(source, FindFasta)
    assert files_below(tmp_path) == []


def test_a_graph_with_a_long_list_is_small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "MOST_IN_GRAPH", 100)
    files = [FastaFile(f"/in/{n}", str(n), n, 0.5) for n in range(2000)]
    with listed(str(tmp_path), "run1", files) as source:
        assert size_of_graph(source) < size_of_graph(FindFasta(files)) / 4


def test_the_files_of_a_list_are_read_by_many(tmp_path: Path) -> None:
    pipeline = beam.Pipeline()
    items = pipeline | FindListed([str(tmp_path / "a")]) | ReadRanges()
    assert items.element_type is Item


def test_a_run_on_a_long_list_embeds_all_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "MOST_IN_GRAPH", 2)
    (tmp_path / "in").mkdir()
    for n in range(5):
        (tmp_path / f"in/ü{n}.faa").write_text(f">p{n}\nMKTAYI\n")
    output = tmp_path / "out"
    assert embed(tmp_path / "in", output) == 0
    assert len(files_below(output / "pt")) == 5
    assert not (output / ".staging").exists()

"""Tests of which shard a record falls to, and of what a shard reads."""

from __future__ import annotations

from pathlib import Path

import pytest

from transforms import events, storage
from transforms.errors import ConfigurationError
from transforms.inputs.compression import decompress
from transforms.inputs.fasta import FastaRecord, parse_fasta
from transforms.inputs.finding import find_fasta
from transforms.inputs.reading import read_items
from transforms.items import EndOfFile, Item
from transforms.output.shards import Shard

LARGE = Path(__file__).parents[2] / "shared/data/large/general_19789.fasta.gz"
TEXT = ">a\nMKT\n>b\nGGSAA\n>c\nMKT\n>d\n>e\nMKTAYIAKQR\n>f\nWWW\n>g\nACDEF\n"


def record(sequence: str | None, ordinal: int = 0) -> FastaRecord:
    return FastaRecord(ordinal, 1, "id", "", sequence, len(sequence or "") or 2_000_000)


def shards(count: int) -> list[Shard]:
    return [Shard(number, count) for number in range(count)]


@pytest.mark.skipif(not LARGE.exists(), reason="shared data not there")
def test_residues_are_spread_evenly_over_four_shards_of_a_large_file() -> None:
    residues = [0] * 4
    for each in parse_fasta(decompress(storage.open_chunks(str(LARGE)))):
        (number,) = [shard.number for shard in shards(4) if shard.holds(each)]
        residues[number] += each.length
    assert sum(residues) == 7_870_807
    assert max(residues) / min(residues) < 1.05


def test_where_a_record_falls_depends_on_its_sequence_alone() -> None:
    # These must never change: a shard that is started again has to find its records.
    fell = {s: [x.number for x in shards(5) if x.holds(record(s))] for s in ("MKT", "mkt", "", "W")}
    assert fell == {"MKT": [2], "mkt": [4], "": [2], "W": [0]}
    assert [s for s in shards(3) if s.holds(record("MKT", 8))] == [
        s for s in shards(3) if s.holds(record("MKT", 0))
    ]
    assert sum(shard.holds(record(None)) for shard in shards(3)) == 1


def test_there_is_no_shard_beyond_the_last() -> None:
    with pytest.raises(ConfigurationError, match="the last of 4 is 3/4"):
        Shard(4, 4)


def test_shards_read_each_record_once_and_count_their_own(tmp_path: Path) -> None:
    (tmp_path / "a.faa").write_text(TEXT)
    (tmp_path / "bad.faa").write_text("no FASTA\n")
    bad, good = sorted(find_fasta([str(tmp_path)]).files, key=lambda f: f.source != "bad.faa")
    heard: list[events.Event] = []
    whole = list(read_items(good))
    read: list[Item] = []
    ends: list[EndOfFile] = []
    for shard in shards(3):
        with events.listening(heard.append):
            *items, end = read_items(good, shard=shard)
        assert isinstance(end, EndOfFile)
        assert end.records == len(items)
        read += items
        ends.append(end)
        # What is wrong with a file concerns every shard.
        assert len(list(read_items(bad, shard=shard))) == 1

    def key(item: Item) -> int:
        return item.ordinal

    def plain(item: Item) -> tuple[object, ...]:
        return item.pack()[:6]

    assert [plain(i) for i in sorted(read, key=key)] == [plain(i) for i in whole[:-1]]
    assert isinstance(whole[-1], EndOfFile)
    assert sum(end.records for end in ends) == whole[-1].records
    assert sum(end.residues for end in ends) == whole[-1].residues
    opened = [event for event in heard if isinstance(event, events.FileOpened)]
    assert [event.records for event in opened] == [2, 2, 2]  # an even share, as far as is known

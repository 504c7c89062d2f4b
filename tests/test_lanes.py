"""Tests of lanes and addresses."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import apache_beam as beam
import pytest
from apache_beam.coders import registry

from tests.helpers import make_block, make_dead_letter, make_end, make_protein, sha256
from transforms.items import Batch, ItemCoder, Settled
from transforms.lanes import (
    BYTES_PER_LANE,
    LANES_PER_WORKER,
    enough_lanes,
    key_by_lane,
    lane_of,
    record_address,
    source_address,
    timer_name,
)

ADDRESSES = ["", "a.fa", "a.fa\0" + "0", "sub/ünï code.fa\0" + "12345"] + [
    f"file{i % 7}.fa\0{i}" for i in range(200)
]
LANES = 11


def test_one_lane_is_lane_zero() -> None:
    assert {lane_of(address, 1) for address in ADDRESSES} == {0}


def test_all_lanes_are_used() -> None:
    assert {lane_of(address, LANES) for address in ADDRESSES} == set(range(LANES))


def test_there_are_lanes_for_every_worker_but_no_more_than_the_input_fills() -> None:
    assert enough_lanes(1) == enough_lanes(1, 1 << 40) == enough_lanes(100, 1) == 1
    assert enough_lanes(100) == enough_lanes(100, 1 << 40) == 100 * LANES_PER_WORKER
    assert enough_lanes(100, 7 * BYTES_PER_LANE) == 7


@pytest.mark.parametrize("seed", ["1", "2"])
def test_lanes_are_the_same_in_every_process(seed: str) -> None:
    program = (
        "from transforms.lanes import lane_of\n"
        f"print([lane_of(address, {LANES}) for address in {ADDRESSES!r}])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONIOENCODING": "utf-8"},
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        check=True,
    )
    expected = [lane_of(address, LANES) for address in ADDRESSES]
    assert done.stdout.strip() == str(expected)


def test_a_record_has_an_address_of_its_own() -> None:
    records = [
        make_protein(2, "a1"),
        make_protein(12, "a"),
        make_protein(0, "a"),
        make_protein(0, "b"),
        make_dead_letter(1, "b"),
        make_dead_letter(None, "b"),
    ]
    assert len({record_address(record) for record in records}) == len(records)


def test_a_record_keeps_its_address_when_it_fails() -> None:
    assert record_address(make_dead_letter(3)) == record_address(make_protein(3))


def test_what_holds_several_records_goes_with_the_first() -> None:
    first, second = make_protein(3), make_protein(4, "b.fa")
    assert record_address(make_block(first, second)) == record_address(first)
    assert record_address(Batch((second, make_end(1)))) == record_address(second)
    assert record_address(Batch((make_block(first),))) == record_address(first)


def test_what_is_settled_does_not_decide_where_records_go() -> None:
    settled = Settled("a.fa", sha256("a.fa"), "part", 1, 0)
    record = make_protein(3)
    assert record_address(Batch((settled, record))) == record_address(record)
    assert record_address(Batch((settled,))) == record_address(settled)


def test_all_that_is_counted_for_a_file_has_one_address() -> None:
    settled = Settled("a.fa", sha256("a.fa"), "part", 1, 0)
    assert source_address(settled) == source_address(make_end(1)) == "a.fa"
    assert source_address(make_end(1, "b.fa")) != source_address(settled)


def test_keyed_items_have_our_coder() -> None:
    keyed = beam.Pipeline() | beam.Create([make_end(1)]) | key_by_lane(2, source_address)
    _, item_coder = registry.get_coder(keyed.element_type).coders()
    assert isinstance(item_coder, ItemCoder)


class Named(beam.PTransform):
    """Keeps the timer name that it is given."""

    def expand(self, pcoll: beam.PCollection) -> beam.PCollection:
        self.timer = timer_name(pcoll, "part")
        return pcoll | beam.Map(str)


def test_each_application_of_a_step_has_a_timer_name_of_its_own() -> None:
    def names() -> list[str]:
        keyed = beam.Pipeline() | beam.Create([(0, "x")])
        steps = [Named(), Named()]
        for number, step in enumerate(steps):
            _ = keyed | f"Step {number}" >> step
        return [step.timer for step in steps]

    first, second = names()
    assert first != second
    # A pipeline that is launched again finds its timers again.
    assert names() == [first, second]

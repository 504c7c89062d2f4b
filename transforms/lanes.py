"""Keys and timer names of the stateful steps.

A stateful step needs a key. Ours is a lane: one on a local run, many on a cluster, where the
number of lanes is the number of keys that workers can share out. A state key costs more than a
millisecond (Beam sizes each with a walk over all loaded modules), so there are few.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable

import apache_beam as beam
from apache_beam.transforms.window import GlobalWindows

from transforms.items import Batch, EmbeddingBlock, Item

LANES_PER_WORKER = 16
"""With four the busiest of 64 workers gets a quarter more than its share, with 16 a seventh."""

BYTES_PER_LANE = 1 << 21
"""What a lane should get of the input: as much as fills a part and several batches."""


def enough_lanes(workers: int, size: int | None = None) -> int:
    """Returns how many lanes give each worker its share.

    Args:
        workers: How many there may be.
        size: Bytes of all input; None where it has no end.
    """
    if workers == 1:
        return 1
    lanes = LANES_PER_WORKER * workers
    return lanes if size is None else max(1, min(lanes, size // BYTES_PER_LANE))


def lane_of(address: str, lanes: int) -> int:
    """Returns the lane of an address, the same in every process and on every machine."""
    return zlib.crc32(address.encode()) % lanes if lanes > 1 else 0


def record_address(item: Item) -> str:
    """Returns what spreads records evenly: source and ordinal."""
    if isinstance(item, Batch):
        # Not by what is settled, which has no ordinal: what is left of a file is spread, too.
        records = (each for each in item.items if getattr(each, "ordinal", None) is not None)
        return record_address(next(records, item.items[0]))
    if isinstance(item, EmbeddingBlock):
        return record_address(item.proteins[0])
    return f"{source_address(item)}\0{getattr(item, 'ordinal', None)}"


def source_address(item: Item) -> str:
    """Returns what keeps a file together: its source."""
    return str(getattr(item, "source", ""))


def check_window(items: beam.PCollection[Item], step: str) -> None:
    """Makes sure that a step whose state is that of all records is not applied window by window.

    Raises:
        ValueError: The items lie in windows.
    """
    if not isinstance(items.windowing.windowfn, GlobalWindows):
        raise ValueError(
            f"{step} keeps one account of all records, which windows would split: "
            "put beam.WindowInto(beam.window.GlobalWindows()) before it"
        )


def key_by_lane(lanes: int, address: Callable[[Item], str]) -> beam.PTransform:
    """Returns the transform from items to (lane, item)."""

    def to_pair(item: Item) -> tuple[int, Item]:
        return lane_of(address(item), lanes), item

    return beam.Map(to_pair).with_input_types(Item).with_output_types(tuple[int, Item])


def timer_name(pcoll: beam.PCollection[tuple[int, Item]], purpose: str) -> str:
    """Returns a timer family name of its own for the transform that is being applied.

    Beam 2.77's FnApiRunner buffers timers by family name alone: two steps of one fused stage
    whose timers share a name lose elements in silence. The full label of a transform is unique
    in its pipeline and the same at every launch.
    """
    label = pcoll.pipeline.transforms_stack[-1].full_label
    return f"{purpose}_{zlib.crc32(label.encode()):08x}"

from __future__ import annotations

import apache_beam as beam
from apache_beam.testing.util import assert_that, equal_to
from apache_beam.transforms.window import TimestampedValue

from tests.helpers import make_dead_letter, make_end
from transforms.awaiting import AwaitDevice, _AwaitDoFn
from transforms.items import Deferred, Item, ItemCoder


def release(values: list[object]) -> list[Item]:
    return [getattr(value, "value", value) for value in values]


def test_waits_when_the_device_has_more_or_the_bundle_ends() -> None:
    asked: list[int] = []

    def deferred(number: int) -> Deferred:
        def resolve() -> list[Item]:
            asked.append(number)
            return [make_end(number), make_dead_letter(number)]

        return Deferred(resolve)

    dofn = _AwaitDoFn()
    dofn.start_bundle()
    window = beam.transforms.window.GlobalWindow()

    def give(item: Item) -> list[Item]:
        return release(list(dofn.process(item, 0, window)))

    assert give(make_end(7)) == [make_end(7)]
    assert give(deferred(1)) == []
    assert give(make_end(8)) == []
    assert asked == []
    assert give(deferred(2)) == [make_end(1), make_dead_letter(1), make_end(8)]
    assert asked == [1]
    assert release(list(dofn.finish_bundle())) == [make_end(2), make_dead_letter(2)]
    assert asked == [1, 2]


def test_in_a_pipeline_each_item_keeps_its_time() -> None:
    def defer(number: int) -> Item:
        return Deferred(lambda: [make_end(number)]) if number % 2 else make_end(number)

    with beam.Pipeline(runner="FnApiRunner") as pipeline:
        found = (
            pipeline
            | beam.Create(range(5))
            | beam.Map(
                lambda number: TimestampedValue(defer(number), 100 * number)
            ).with_output_types(Item)
            | AwaitDevice()
            | beam.Map(lambda item, time=beam.DoFn.TimestampParam: (item.records, int(time)))
        )
        assert_that(found, equal_to([(number, 100 * number) for number in range(5)]))


def test_where_it_must_be_written_it_waits() -> None:
    coder = ItemCoder()
    decoded = coder.decode(coder.encode(Deferred(lambda: [make_end(1), make_dead_letter(2)])))
    assert isinstance(decoded, Deferred)
    assert decoded.resolve() == [make_end(1), make_dead_letter(2)]

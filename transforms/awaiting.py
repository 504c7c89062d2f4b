"""Waiting for the device as late as possible, so that it has the next batch before it is idle."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import apache_beam as beam
from apache_beam.utils.windowed_value import WindowedValue

from transforms.items import Deferred, Item


class _AwaitDoFn(beam.DoFn):  # type: ignore[misc]
    """Holds back what the device is at work on, until it has been given more or the bundle ends.

    What comes behind is held back too: the order stays.
    """

    def start_bundle(self) -> None:
        self._held: list[WindowedValue] = []

    def process(
        self,
        item: Item,
        timestamp: Any = beam.DoFn.TimestampParam,
        window: Any = beam.DoFn.WindowParam,
    ) -> Iterator[Item | WindowedValue]:
        if isinstance(item, Deferred):
            yield from self._release()
        elif not self._held:
            yield item
            return
        self._held.append(WindowedValue(item, timestamp, (window,)))

    def finish_bundle(self) -> Iterator[WindowedValue]:
        yield from self._release()

    def _release(self) -> Iterator[WindowedValue]:
        held, self._held = self._held, []
        for value in held:
            if isinstance(value.value, Deferred):
                for item in value.value.resolve():
                    yield value.with_value(item)
            else:
                yield value


class AwaitDevice(beam.PTransform):  # type: ignore[misc]
    """Replaces each :class:`Deferred` by its items, in their place, once they are there."""

    def expand(self, items: beam.PCollection[Item]) -> beam.PCollection[Item]:
        """Applies the step."""
        return items | beam.ParDo(_AwaitDoFn()).with_output_types(Item)

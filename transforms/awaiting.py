"""Waiting for the device as late as possible, so that it has the next batch before it is idle."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import apache_beam as beam
from apache_beam.utils.windowed_value import WindowedValue

from transforms.items import Batch, Item, add_kind


class Deferred(Item):
    """Items that come when the device has computed them.

    Args:
        resolve: Waits for them; called once.
    """

    __slots__ = ("_items", "_resolve")

    def __init__(self, resolve: Callable[[], Sequence[Item]]) -> None:
        self._resolve = resolve
        self._items: Sequence[Item] | None = None

    def resolve(self) -> Sequence[Item]:
        """Returns the items; waits for them the first time."""
        if self._items is None:
            self._items = self._resolve()
        return self._items

    def pack(self) -> tuple[Any, ...]:
        """See :meth:`Item.pack`; waits."""
        return Batch(tuple(self.resolve())).pack()

    @classmethod
    def unpack(cls, values: tuple[Any, ...]) -> Item:
        """See :meth:`Item.unpack`."""
        batch = Batch.unpack(values)
        assert isinstance(batch, Batch)
        return cls(lambda: batch.items)


add_kind(Deferred)


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


@dataclass
class AwaitDevice(beam.PTransform):  # type: ignore[misc]
    """Replaces each :class:`Deferred` by its items, in their place, once they are there.

    Attributes:
        hints: Beam's resource hints of the step before: with others it would run elsewhere, and
            nothing can be deferred from one worker to another.
    """

    hints: Mapping[str, str] = field(default_factory=dict)

    def expand(self, items: beam.PCollection[Item]) -> beam.PCollection[Item]:
        """Applies the step."""
        step = beam.ParDo(_AwaitDoFn()).with_output_types(Item)
        return items | (step.with_resource_hints(**self.hints) if self.hints else step)

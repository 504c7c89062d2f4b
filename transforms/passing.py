"""How a step acts on its own kinds of item and passes the others on."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

import apache_beam as beam

from transforms.items import Batch, Item


class ActOnKinds(beam.DoFn):  # type: ignore[misc]
    """A DoFn that acts on some kinds of item and passes every other item on untouched.

    It acts on the items of a :class:`Batch` as on those that come alone; they stay together.

    Attributes:
        kinds: The kinds to act on.
    """

    kinds: ClassVar[tuple[type[Item], ...]]

    def act(self, item: Item) -> Iterable[Item]:
        """Returns what becomes of an item of one of :attr:`kinds`."""
        raise NotImplementedError

    def process(self, element: Item) -> Iterable[Item]:
        """Acts on the element, or passes it on."""
        if not isinstance(element, Batch):
            return self.act(element) if isinstance(element, self.kinds) else (element,)
        become: list[Item] = []
        for item in element.items:
            if isinstance(item, self.kinds):
                become += self.act(item)
            else:
                become.append(item)
        return (Batch(tuple(become)),)


def act_on_kinds(dofn: ActOnKinds) -> beam.ParDo:
    """Returns the ParDo of a step, hinted ``Item -> Item``."""
    return beam.ParDo(dofn).with_input_types(Item).with_output_types(Item)

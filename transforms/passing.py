"""How a step acts on its own kinds of item and passes the others on."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

import apache_beam as beam

from transforms.items import Item


class ActOnKinds(beam.DoFn):  # type: ignore[misc]
    """A DoFn that acts on some kinds of item and passes every other item on untouched.

    Attributes:
        kinds: The kinds to act on.
    """

    kinds: ClassVar[tuple[type[Item], ...]]

    def act(self, item: Item) -> Iterable[Item]:
        """Returns what becomes of an item of one of :attr:`kinds`."""
        raise NotImplementedError

    def process(self, element: Item) -> Iterable[Item]:
        """Acts on the element, or passes it on."""
        return self.act(element) if isinstance(element, self.kinds) else (element,)


def act_on_kinds(dofn: ActOnKinds) -> beam.ParDo:
    """Returns the ParDo of a step, hinted ``Item -> Item``."""
    return beam.ParDo(dofn).with_input_types(Item).with_output_types(Item)

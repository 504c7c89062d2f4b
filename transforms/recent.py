"""What was used last, up to a bound of memory."""

from __future__ import annotations

from collections import OrderedDict
from typing import Generic, TypeVar

Value = TypeVar("Value")


class Recent(Generic[Value]):
    """Keeps the values that were used last, up to a bound.

    Not for several threads at once.

    Args:
        max_bytes: What they may weigh together.

    Attributes:
        size: What they weigh.
    """

    def __init__(self, max_bytes: int) -> None:
        self.size = 0
        self._max_bytes = max_bytes
        self._held: OrderedDict[str, tuple[Value, int]] = OrderedDict()

    def __contains__(self, key: str) -> bool:
        """Tells whether something is kept under a key; that is no use of it."""
        return key in self._held

    def get(self, key: str) -> Value | None:
        """Returns what is kept under a key, or None."""
        held = self._held.get(key)
        if held is None:
            return None
        self._held.move_to_end(key)
        return held[0]

    def add(self, key: str, value: Value, size: int) -> None:
        """Keeps a value of so many bytes, in place of those that were not used for longest."""
        _, replaced = self._held.pop(key, (None, 0))
        self._held[key] = value, size
        self.size += size - replaced
        while self.size > self._max_bytes:
            _, (_, size) = self._held.popitem(last=False)
            self.size -= size

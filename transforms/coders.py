"""How elements of our own travel between steps: as plain values, nothing is pickled."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from apache_beam.coders import Coder, FastPrimitivesCoder

_LOOKED_AT = 16


class PlainCoder(Coder):  # type: ignore[misc]
    """Writes elements of one kind as plain values; a RowCoder gives workers a named tuple instead.

    A subclass for each kind, for the registry makes a coder of its class alone.

    Attributes:
        kind: The type that it is registered for.
    """

    kind: ClassVar[type]

    def __init__(self) -> None:
        self._plain = FastPrimitivesCoder()

    def to_plain(self, value: Any) -> tuple[Any, ...]:
        """Returns the plain values of an element."""
        raise NotImplementedError

    def from_plain(self, values: tuple[Any, ...]) -> Any:
        """Returns the element that :meth:`to_plain` took apart."""
        raise NotImplementedError

    def encode(self, value: Any) -> bytes:
        """Returns the bytes of an element."""
        return self._plain.encode(self.to_plain(value))  # type: ignore[no-any-return]

    def decode(self, encoded: bytes) -> Any:
        """Returns the element that :meth:`encode` wrote."""
        return self.from_plain(self._plain.decode(encoded))

    def estimate_size(self, value: Any) -> int:
        """Returns about the bytes of an element, for Beam's counters.

        They would write it to find out, behind each step: some megabytes of vectors each time.
        """
        return estimate_bytes(value)

    def to_type_hint(self) -> type:
        """The type that this coder is registered for."""
        return self.kind

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other)

    def __hash__(self) -> int:
        return hash(type(self))


def estimate_bytes(value: Any) -> int:
    """Returns about how many bytes it takes to write a value, without writing it.

    Of a long tuple a few are looked at; what is none of the plain values, an array or made of
    them takes no more than a number.
    """
    if isinstance(value, str | bytes):
        return len(value)
    if isinstance(value, np.ndarray):
        return value.nbytes
    if isinstance(value, tuple):
        few = value[:: max(1, len(value) // _LOOKED_AT)]
        return sum(map(estimate_bytes, few)) * len(value) // max(1, len(few))
    fields = getattr(type(value), "__slots__", ())
    return sum(estimate_bytes(getattr(value, name)) for name in fields) or 8

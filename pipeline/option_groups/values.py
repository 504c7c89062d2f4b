"""The values that options take."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

_WHOLE_NUMBER = "whole number"  # what argparse calls it when int() refuses the text
_LOCALHOST = "127.0.0.1"
_MOST_PORTS = 1 << 16
_MESSAGING_NAME = r"projects/[^/]+/{}/[A-Za-z][A-Za-z0-9._~+%-]{{2,254}}"

MIN_RECORDS = 1_000
"""A share of fewer records is reckoned as one of so many."""


def positive(text: str) -> int:
    """Parses a whole number of at least 1."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, not {value}")
    return value


def not_less_than(least: int) -> Callable[[str], int]:
    """Returns what parses a whole number of at least so much."""

    def parse(text: str) -> int:
        value = int(text)
        if value < least:
            raise argparse.ArgumentTypeError(f"must not be less than {least}, not {value}")
        return value

    parse.__name__ = _WHOLE_NUMBER
    return parse


def tokens(text: str) -> int | None:
    """Parses a number of tokens; None for ``auto``."""
    return None if text == "auto" else positive(text)


def seconds(text: str) -> float:
    """Parses a time span that is more than nothing."""
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"must be more than 0, not {text}")
    return value


def more_than_zero(text: str) -> float:
    """Parses a number that is more than nothing."""
    return seconds(text)


positive.__name__ = tokens.__name__ = _WHOLE_NUMBER
seconds.__name__ = "number of seconds"
more_than_zero.__name__ = "number"


def messaging_name(kind: str) -> Callable[[str], str]:
    """Returns what parses the whole name of one of Pub/Sub's ``subscriptions`` or ``topics``."""

    def parse(text: str) -> str:
        if not re.fullmatch(_MESSAGING_NAME.format(kind), text):
            raise argparse.ArgumentTypeError(f"must be projects/PROJECT/{kind}/NAME, not {text!r}")
        return text

    return parse


class Address(NamedTuple):
    """Where to listen; port 0 is any that is free."""

    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


def parse_address(text: str) -> Address:
    """Returns what ``--metrics_port`` asks for, e.g. ``9100``, ``0.0.0.0:9100`` or ``[::]:9100``.

    Raises:
        argparse.ArgumentTypeError: It is neither a port nor an address with a port.
    """
    host, _, port = text.strip().rpartition(":")
    if not (port.isascii() and port.isdigit() and int(port) < _MOST_PORTS):
        raise argparse.ArgumentTypeError(
            f"must be a port, 0 to 65535, or an address and a port, e.g. 0.0.0.0:9100, not {text!r}"
        )
    return Address(host.removeprefix("[").removesuffix("]") or _LOCALHOST, int(port))


@dataclass(frozen=True)
class DeadLetterLimit:
    """How many dead letters a run may meet.

    Attributes:
        most: That many, or so many per cent of the records in the files opened so far. How many a
            file has is known when it is opened, so that what fails early in it is not held against
            the little that was embedded by then.
        is_share: Whether it is per cent.
    """

    most: float
    is_share: bool = False

    def __str__(self) -> str:
        return f"{self.most:g}%" if self.is_share else f"{self.most:.0f}"

    def is_exceeded(self, dead_letters: int, records: int) -> bool:
        """Tells whether it is time to stop.

        Args:
            dead_letters: Records and files that failed.
            records: Records in the files opened so far, and files that could not be read.
        """
        if not self.is_share:
            return dead_letters > self.most
        return 100 * dead_letters > self.most * max(records, MIN_RECORDS)


def parse_limit(text: str) -> DeadLetterLimit:
    """Returns what ``--max_dead_letters`` asks for, e.g. ``100`` or ``2.5%``.

    Raises:
        argparse.ArgumentTypeError: It is neither a whole number nor a percentage up to 100.
    """
    found = re.fullmatch(r"(\d+)|(\d+(?:\.\d+)?)%", text.strip(), re.ASCII)
    if not found or (found[2] and float(found[2]) > 100):
        raise argparse.ArgumentTypeError(
            f"must be a whole number or a percentage up to 100%, not {text!r}"
        )
    return DeadLetterLimit(float(found[1] or found[2]), is_share=bool(found[2]))


class Hint(NamedTuple):
    """One of Beam's resource hints."""

    name: str
    value: str

    def __str__(self) -> str:
        return f"{self.name}={self.value}"


def parse_hint(text: str) -> Hint:
    """Returns the resource hint that ``NAME=VALUE`` stands for.

    Values stay text: Beam parses each by itself, and takes no ``int`` for some of them.

    Raises:
        argparse.ArgumentTypeError: Beam knows no such hint, or not with that value.
    """
    from apache_beam.transforms.resources import parse_resource_hints  # late: help needs no Beam

    name, _, value = text.partition("=")
    try:
        parse_resource_hints({name: value})
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    if not value:
        raise argparse.ArgumentTypeError(f"must be NAME=VALUE, not {text!r}")
    return Hint(name, value)

"""Text for people: what comes from outside made fit for a terminal and a log, and counts.

Ids, file names and the messages that quote them are written by strangers: an escape sequence
would be obeyed by the terminal, a line break would forge a line, and a mark that turns the
direction of writing would show another name than the true one.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def printable(text: str, most: int | None = None) -> str:
    r"""Returns text with a backslash escape for whatever is not printable.

    Control characters, line breaks, marks of direction, white space other than the blank and
    lone surrogates come out as Python writes them, e.g. ``\x1b``, ``\n`` or ``\u202e``; all else
    stays as it is, also letters of any script and backslashes.

    Args:
        text: Anything.
        most: Longest text that is returned whole; of a longer one the beginning, and an ellipsis.
    """
    if most is not None and len(text) > most:
        text = text[: most - 1] + "…"
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode()
        for character in text
    )


def one_line(error: Exception) -> str:
    """Returns what an exception says, on one line."""
    return " ".join(str(error).split())


def counted(number: int, thing: str) -> str:
    """Returns ``1 file``, ``2,000 files`` or ``2 batches``, and nothing for none."""
    ending = "es" if thing.endswith(("ch", "ss")) else "s"
    return f"{number:,} {thing}{ending * (number != 1)}" if number else ""


def duration(seconds: float) -> str:
    """Returns a time span as a person says it, e.g. ``45 s``, ``12 min`` or ``3.5 h``."""
    if seconds < 100:
        return f"{seconds:,.0f} s"
    return f"{seconds / 60:,.0f} min" if seconds < 100 * 60 else f"{seconds / 3600:,.1f} h"


def sized(count: float) -> str:
    """Returns a number of bytes as a person says it, e.g. ``512 B``, ``21.4 MB`` or ``1.2 TB``."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:,.0f} B" if unit == "B" else f"{count:,.1f} {unit}"
        count /= 1000
    return f"{count:,.1f} TB"


def nearest(given: str, known: Iterable[str]) -> str | None:
    """Returns what somebody may have meant who misspelt or abbreviated it; None if nothing.

    Case, leading dashes and which dash stands between words make no difference.

    >>> nearest("-toks-per-bach", ["--toks_per_batch", "--top"])
    '--toks_per_batch'

    Args:
        given: What was given.
        known: What it might be; of several that begin with it the first is taken.
    """
    names: dict[str, str] = {}
    for name in known:
        names.setdefault(_bare(name), name)
    wanted = _bare(given)
    found = get_close_matches(wanted, names, n=1)
    found = found or [name for name in names if wanted and name.startswith(wanted)]
    return names[found[0]] if found else None


def _bare(name: str) -> str:
    return name.lstrip("-").replace("-", "_").lower()

"""What every command does before it says anything."""

from __future__ import annotations

import io
import sys


def allow_any_text() -> None:
    """Has what the terminal cannot show, e.g. in an id or a name, printed in its escaped form."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")

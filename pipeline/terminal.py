"""How every command says something, and the exit codes that say it to a program."""

from __future__ import annotations

import errno
import io
import logging
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import NoReturn

from transforms.text import printable

EXIT_OK, EXIT_FAILED, EXIT_USAGE, EXIT_DEAD_LETTERS = 0, 1, 2, 3

_FULL = tuple(map(os.strerror, (errno.ENOSPC, errno.EDQUOT)))


def allow_any_text() -> None:
    """Has what the terminal cannot show, e.g. in an id or a name, printed in its escaped form."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed, as by ``>&-``
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_WRONLY), "w"))
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def quiet_imports() -> None:
    """Silences Beam, which warns at import of a client that it does not find and nobody needs."""
    logging.getLogger().setLevel(logging.ERROR)


def say(text: str) -> None:
    """Prints; that the reader, e.g. ``head``, has seen enough is no error."""
    say_all([text])


def say_all(lines: Iterable[str]) -> None:
    """Does the same with lines that are made as they are printed."""
    try:
        for line in lines:
            print(line)
        sys.stdout.flush()
    except BrokenPipeError:
        # What is left must not be tried again at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def say_aside(text: str) -> None:
    """Prints to stderr; that nobody reads it any more, as ``tee`` after Ctrl-C, is no error."""
    try:
        print(text, file=sys.stderr, flush=True)
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())


def refuse_python(error: ModuleNotFoundError) -> NoReturn:
    """Tells that this Python lacks a package, and exits.

    Args:
        error: What an import has raised; raised again if it is a module of ours that is missing.
    """
    package = (error.name or "").partition(".")[0]
    if package in ("", "pipeline", "transforms"):
        raise error
    ours = Path(__file__).parents[1] / ".venv" / "bin" / "python"
    if ours.exists() and Path(sys.prefix) != ours.parents[1]:
        advice = f"Give the same command with {ours}"
    elif (ours.parents[2] / "run_local.sh").exists():
        advice = f"Run {ours.parents[2] / 'run_local.sh'}, which makes .venv, and use {ours}"
    else:
        advice = "Install this package again with what it needs"
    complain(f"{package} is not installed in {sys.executable}. {advice}.")
    sys.exit(EXIT_USAGE)


def complain(text: str, then: str = "") -> None:
    """Prints an error, and of a full disk what to do.

    Args:
        text: What is wrong, with or without a full stop.
        then: Sentences that go on from there.
    """
    if then:
        text = f"{text.removesuffix('.')}. {then}"
    if any(reason in text for reason in _FULL):
        text = f"{text.removesuffix('.')}. Free some space, and give the same command again."
    say_aside(f"error: {printable(text)}")

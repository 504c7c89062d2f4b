"""The real command in a process of its own that dies at a chosen point.

Processes are forked from a server that has the libraries loaded, so a run starts in a moment;
each has its own model, threads and open files, and SIGKILL ends it like any other process.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import BinaryIO

from tests.faults.outcome import Outcome, assert_equal, read_outcome
from transforms import events, local, storage
from transforms.esm.under_way import PROCESS_DIED

STAGES = ("before write", "after write", "after fsync", "after rename")

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(
    [
        "tests.faults.killing",
        "pipeline.dispatch",
        "pipeline.options",
        "pipeline.verification.walk",
        "transformers.models.esm.modeling_esm",
    ]
)


@dataclass(frozen=True)
class Point:
    """Where a process kills itself.

    Attributes:
        path: Beginning of the path, below the output root, of the file that is being published.
        end: Its end.
        stage: One of :data:`STAGES`.
        occurrence: At which of these files, from 0.
    """

    path: str
    end: str
    stage: str
    occurrence: int = 0

    def __str__(self) -> str:
        return f"{self.path}*{self.end} {self.stage} {self.occurrence}"


def start(
    module: str, argv: Sequence[object], log: Path, point: Point | None = None
) -> BaseProcess:
    """Starts ``python -m <module> <argv>``; what it does and says is appended to files.

    Args:
        module: ``pipeline.run`` or a verb such as ``pipeline.verify``.
        argv: The arguments.
        log: Gets its output; beside it, ``<log>.events`` gets what it embeds and commits.
        point: Where it is to die; None for nowhere.
    """
    process = _context.Process(target=_run, args=(module, [str(a) for a in argv], str(log), point))
    process.start()
    return process


def run(module: str, argv: Sequence[object], log: Path, point: Point | None = None) -> int | None:
    """Runs a command to its end and returns its exit code; -9 if it was killed."""
    process = start(module, argv, log, point)
    process.join(120)
    assert process.exitcode is not None, "the command does not end"
    return process.exitcode


def options(inputs: Path, output: Path, *more: object) -> list[object]:
    """Returns those of a run in which there are several batches and parts."""
    return [
        "--input", inputs, "--output", output, "--model", "demo", "--toks_per_batch", 300, *more,
    ]  # fmt: skip


def kill(module: str, argv: Sequence[object], log: Path, point: Point) -> None:
    """Runs a command that dies at a point."""
    assert run(module, argv, log, point) == -signal.SIGKILL, log.read_text()


def kill_and_carry_on(
    argv: Sequence[object], output: Path, log: Path, point: Point, unbroken: Outcome
) -> None:
    """Runs a command that dies at a point, and then again to its end."""
    kill("pipeline.run", argv, log, point)
    check_carries_on(argv, output, log, unbroken)


def outcome_of(argv: Sequence[object], output: Path) -> Outcome:
    """Returns what a command makes that is not killed; some records must fail."""
    log = output.with_name(f"{output.name}.log")
    assert run("pipeline.run", argv, log) == 3, log.read_text()
    return read_outcome(output)


def check_carries_on(
    argv: Sequence[object], output: Path, log: Path, unbroken: Outcome, code: int = 3
) -> None:
    """The same command, run to its end, leaves what the unbroken run has left."""
    assert run("pipeline.run", argv, log) == code, log.read_text()
    assert_equal(read_outcome(output), unbroken)
    check_verified(output, log)


def check_verified(output: Path, log: Path) -> None:
    """All that is in the output agrees."""
    assert run("pipeline.verify", [output, "--sample", 0], log) == 0, log.read_text()


def end_and_acquit(argv: Sequence[object], output: Path, log: Path) -> None:
    """Runs a command to its end after kills at random, of which two may have hit one record.

    If it was alone at the second it is condemned, as tests/test_poison.py has it. That is right,
    and not what those kills are to show, so it is tried again.
    """
    assert run("pipeline.run", argv, log) == 3, log.read_text()
    if any(d["error_type"] == PROCESS_DIED for d in read_outcome(output).dead_letters):
        retry = ["--retry_failed", "--output", output, "--model", "demo", "--toks_per_batch", 300]
        assert run("pipeline.run", retry, log) == 3, log.read_text()


def _run(module: str, argv: list[str], log: str, point: Point | None) -> None:
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    sys.stdout, sys.stderr = os.fdopen(1, "w", closefd=False), os.fdopen(2, "w", closefd=False)
    seen = os.open(f"{log}.events", os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def note(event: events.Event) -> None:
        match event:
            case events.RecordsEmbedded(records=records):
                os.write(seen, f"embedded {records}\n".encode())
            case events.PartCommitted(rows=rows):
                os.write(seen, f"committed {rows}\n".encode())

    with ExitStack() as stack:
        stack.enter_context(events.listening(note))
        if point:
            _die_at(point)
        __import__(module)
        sys.modules[module].main(argv)


def _die_at(point: Point) -> None:
    """Makes this process kill itself at a point."""
    counts = dict.fromkeys(STAGES, 0)
    names: dict[int, str] = {}  # what is being published, by inode
    written = ""  # the last of it

    def reached(stage: str, name: str) -> None:
        if not (name.startswith(point.path) and name.endswith(point.end)):
            return
        counts[stage] += 1
        if stage == point.stage and counts[stage] > point.occurrence:
            os.kill(os.getpid(), signal.SIGKILL)

    publish_all, write_staged = storage.publish_all, local._write
    sync_all, replace = local.sync_all, os.replace

    def publishing(root: str, files: Mapping[str, storage.Write]) -> None:
        publish_all(root, {name: partial(writing, name, write) for name, write in files.items()})

    def writing(name: str, write: storage.Write, handle: BinaryIO) -> None:
        nonlocal written
        reached("before write", name)
        write(handle)
        written = name
        reached("after write", name)

    def staging(path: str, write: storage.Write) -> None:
        write_staged(path, write)
        names[os.stat(path).st_ino] = written

    def syncing(paths: Sequence[str]) -> None:
        sync_all(paths)
        for path in paths:
            reached("after fsync", names.get(os.stat(path).st_ino, ""))

    def replacing(path: str, target: str) -> None:
        inode = os.stat(path).st_ino
        replace(path, target)
        reached("after rename", names.pop(inode, ""))

    storage.publish_all, local._write = publishing, staging
    local.sync_all, os.replace = syncing, replacing

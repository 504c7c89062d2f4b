"""Other processes: engines, what they have started, and whoever holds a lock."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

REPO = Path(__file__).parents[1]
SHARED = REPO.parent / "shared"
LARGE = SHARED / "data/large/general_19789.fasta.gz"
PRISM = SHARED / "bin/prism.zip"
ON_PRISM = ("--runner", "PrismRunner", "--prism_location", str(PRISM))

needs_prism = pytest.mark.skipif(not PRISM.exists(), reason="Beam's Prism runner is not at hand")
needs_shared = pytest.mark.skipif(not SHARED.exists(), reason="needs the collected files")


def environment(**more: str) -> Mapping[str, str]:
    """That of a process that is to find this Python, also as bare ``python``, and this package."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "PYTHONPATH": str(REPO), **more}


@contextmanager
def running(*args: object, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Runs ``python <args>`` until the ``with`` block ends, and what it has started."""
    command = [sys.executable, *map(str, args)]
    with (
        log.open("ab") as said,
        subprocess.Popen(
            command, cwd=REPO, env=environment(), stdout=said, stderr=said, start_new_session=True
        ) as process,
    ):
        try:
            yield process
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def answers(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


def processes_below(pid: int, word: str) -> list[int]:
    """The processes below a process whose command holds a word and that have not ended."""
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it has ended meanwhile
            state, parent = stat.read_text().rpartition(") ")[2].split()[:2]
            if state != "Z":
                parents[int(stat.parent.name)] = int(parent)
    below = {pid}
    while more := {each for each, parent in parents.items() if parent in below} - below:
        below |= more
    return [each for each in below - {pid} if word in _command(each)]


def cpu_time(pid: int) -> int:
    """Clock ticks that a process has computed."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    return int(fields[11]) + int(fields[12])


def _command(pid: int) -> str:
    with suppress(OSError):
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        return "" if words[0] in (b"sh", b"/bin/sh") else b" ".join(words).decode(errors="replace")
    return ""


@contextmanager
def lock_holder(root: str, progress: Mapping[str, float]) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the lock of an output, and tells its progress."""
    code = (
        "import time\n"
        "from transforms.output.locks import hold\n"
        f"with hold({root!r}, 'first', interval=0.05) as lock:\n"
        f"    with lock.watched(lambda: {progress!r}, print):\n"
        "        print('held', flush=True)\n"
        "        time.sleep(600)\n"
    )
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=REPO) as process:
        try:
            assert process.stdout.readline() == "held\n"
            yield process
        finally:
            process.kill()

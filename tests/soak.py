"""A folder that is watched for an hour, with files that come at random, and kills.

    python -m tests.soak --minutes 60 --files 2000 --kill_minutes 10

writes files of 1 to 200 records into a folder that ``python -m pipeline --watch`` watches, one of
a hundred broken, kills the process with SIGKILL every ten minutes and starts it again, and at last
drains it. Then a run of the usual kind embeds the same files: rows, dead letters, ``.pt`` and
failures must be the same, and ``verify`` must find nothing. Printed, and written to ``soak.json``
in the folder, are the time from the closing of a file to its ``.pt``, and what memory the process
took, in each of its lives, after five minutes and at the end. Further options are those of the
watch, e.g. ``--runner PrismRunner``. Linux only.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from pipeline import verify
from tests.command import embed, exit_code_of
from tests.faults.outcome import assert_equal, draw_records, read_outcome, write_fasta
from tests.processes import processes_below
from transforms.output.commits import read_commits

MAX_RECORDS = 200
BROKEN_SHARE = 0.01
SETTLED_SECONDS = 300.0
"""After which a life's memory is what it should stay at; half of the life, if it is short."""

_LONGEST_END = 900.0  # seconds until all that has come must be done
_TICK = 0.05


@dataclass(frozen=True)
class Life:
    """Memory of one process and those that it has started, in MB.

    Attributes:
        seconds: How long it lived.
        settled: After five minutes, or half of its life.
        end: At its end.
    """

    seconds: float
    settled: float
    end: float


@dataclass(frozen=True)
class Soaked:
    """What was seen.

    Attributes:
        files: How many came.
        rows: Rows of the output.
        dead_letters: Its failed records and files.
        seconds_to_pt: From the closing of a file to its ``.pt``: median, 99th percentile, most.
        lives: Of the processes.
    """

    files: int
    rows: int
    dead_letters: int
    seconds_to_pt: tuple[float, float, float]
    lives: tuple[Life, ...]


class _Watcher:
    """The process under test, which is started again after each kill."""

    def __init__(self, inputs: Path, output: Path, log: Path, options: Iterable[str]) -> None:
        self._command = [
            sys.executable, "-m", "pipeline", "--watch", "--input", str(inputs), "--output",
            str(output), "--model", "demo", "--quiet", *options,
        ]  # fmt: skip
        self._log = log
        self.lives: list[Life] = []
        self._start()

    def _start(self) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log)
        self._born = time.monotonic()
        self._memory: list[tuple[float, float]] = []

    def look(self) -> None:
        """Takes note of the memory, now and then."""
        if self._process.poll() is not None:
            raise AssertionError(f"the watch has ended by itself:\n{self._log.read_text()}")
        age = time.monotonic() - self._born
        if not self._memory or age - self._memory[-1][0] > 1:
            self._memory.append((age, _read_megabytes(self._process.pid)))

    def end(self, number: int) -> int:
        """Sends a signal and returns the exit code."""
        self.look()
        age, last = self._memory[-1]
        settled = next(m for a, m in self._memory if a >= min(SETTLED_SECONDS, age / 2))
        self.lives.append(Life(round(age, 1), settled, last))
        self._process.send_signal(number)
        return self._process.wait(300)

    def kill(self) -> None:
        """Kills it and starts it again."""
        self.end(signal.SIGKILL)
        self._start()


def soak(
    folder: Path,
    seconds: float,
    files: int,
    kills: int,
    options: Iterable[str] = ("--poll_seconds", "1"),
) -> Soaked:
    """Runs the test.

    Args:
        folder: An empty folder for all that is written.
        seconds: Time over which files come.
        files: How many.
        kills: How often the process is killed, at equal distances.
        options: Of the watch.

    Raises:
        AssertionError: Something is lost, doubled, or not as it is without kills.
    """
    inputs, output, log = folder / "incoming", folder / "out", folder / "watch.log"
    inputs.mkdir()
    watcher = _Watcher(inputs, output, log, options)
    closed = _let_come(inputs, seconds, files, kills, watcher)
    _wait_until_done(output, closed.keys(), watcher)
    code = watcher.end(signal.SIGTERM)
    assert code in (0, 3, 128 + signal.SIGTERM), log.read_text()
    rows, dead_letters = _compare(inputs, output, folder / "expected")
    late = [
        pt.stat().st_ctime - when
        for name, when in closed.items()
        if (pt := output / "pt" / f"{name.partition('.')[0]}_ESM.pt").exists()
    ]
    median, most_of_them = (round(float(each), 2) for each in np.percentile(late, [50, 99]))
    return Soaked(
        len(closed),
        rows,
        dead_letters,
        (median, most_of_them, round(max(late), 2)),
        tuple(watcher.lives),
    )


def _let_come(
    inputs: Path, seconds: float, files: int, kills: int, watcher: _Watcher
) -> dict[str, float]:
    """Writes the files at random moments; returns when each was closed."""
    draw = random.Random(0)
    deaths = [seconds * number / (kills + 1) for number in range(1, kills + 1)]
    closed: dict[str, float] = {}
    start = time.monotonic()
    for number, at in enumerate(sorted(draw.uniform(0, seconds) for _ in range(files))):
        while (elapsed := time.monotonic() - start) < at:
            if deaths and elapsed >= deaths[0]:
                deaths.pop(0)
                watcher.kill()
            watcher.look()
            time.sleep(min(_TICK, at - elapsed))
        path = _write_file(inputs, draw, number)
        closed[path.name] = time.time()
    for _ in deaths:
        watcher.kill()
    return closed


def _write_file(inputs: Path, draw: random.Random, number: int) -> Path:
    """Writes a file, in place or under another name first; now and then a broken one."""
    name = f"f{number:05d}"
    records = draw_records(draw, draw.randint(1, MAX_RECORDS), name)
    path = inputs / f"{name}.faa"
    if draw.random() < BROKEN_SHARE:
        path = path.with_suffix(".faa.gz")
        path.write_bytes(gzip.compress(b">x\nMKTAYIAKQR\n" * 99)[:-9])
    elif draw.random() < 0.5:
        write_fasta(path, records)
    else:
        part = path.with_suffix(".faa.part")
        write_fasta(part, records)
        part.rename(path)
    return path


def _wait_until_done(output: Path, names: Iterable[str], watcher: _Watcher) -> None:
    """Waits until every file is finished or has failed."""
    deadline = time.monotonic() + _LONGEST_END
    missing = set(names)
    while missing:
        assert time.monotonic() < deadline, f"not done: {sorted(missing)[:5]}"
        watcher.look()
        time.sleep(1)
        committed = read_commits(str(output))
        missing -= {*committed.files, *committed.failed_sources()}


def _compare(inputs: Path, output: Path, expected: Path) -> tuple[int, int]:
    """Holds the output against that of a run of the usual kind; returns rows and dead letters."""
    assert embed(inputs, expected) in (0, 3)
    found = read_outcome(output)
    assert_equal(found, read_outcome(expected))
    assert exit_code_of(verify.main, output, "--sample", 0) == 0
    return len(found.rows), len(found.dead_letters)


def _read_megabytes(pid: int) -> float:
    """Returns what a process and those that it has started have in memory; 0 if it has ended."""
    held = 0
    for each in (pid, *processes_below(pid, "")):
        with suppress(OSError):  # it ends at this moment
            status = Path(f"/proc/{each}/status").read_text()
            held += sum(map(int, re.findall(r"(?m)^VmRSS:\s+(\d+)", status)))
    return round(held / 1024, 1)


def main() -> None:
    """Runs the test and tells what was seen."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    add = parser.add_argument
    add("--minutes", type=float, default=60)
    add("--files", type=int, default=2000)
    add("--kill_minutes", type=float, default=10, help="time between two kills")
    add("--poll_seconds", default="1")
    options, further = parser.parse_known_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    kills = max(0, round(options.minutes / options.kill_minutes) - 1)
    folder = Path(tempfile.mkdtemp(prefix="soak-"))
    further += ["--poll_seconds", options.poll_seconds]
    seen = soak(folder, 60 * options.minutes, options.files, kills, further)
    text = json.dumps(asdict(seen), indent=1)
    (folder / "soak.json").write_text(text + "\n")
    print(text)
    worst = max(life.end / life.settled for life in seen.lives)
    print(f"Nothing lost, nothing doubled. Memory at the end: {worst:.2f} times the settled one.")


if __name__ == "__main__":
    main()

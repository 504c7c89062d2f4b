"""Whether this commit is slower than another: HEAD against it, run in turns.

Both are checked out into folders of their own, and of each the command ``python -m pipeline`` is
run on one input and one set of weights: so any commit that has the command can be the other one. A
block is one run of each, in an order that alternates; what counts is the median over the blocks of
the ratio within a block, so a machine that is busy for a while is busy for both. The time is that
of ``run_report.json``, in which starting Python and loading weights is not counted. What is not
committed is not measured. Exit code 1: HEAD is slower by more than a tenth.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from benchmarks.keeping import Kept
from benchmarks.mixes import MIXES, REPO, write_fasta
from benchmarks.settings import add_settings, make_setting
from pipeline.option_groups.values import positive

WARN_BELOW, FAIL_BELOW = 0.95, 0.90


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options of this benchmark."""
    add_settings(parser)
    add = parser.add_argument
    add("--against", default="HEAD~1", metavar="REV", help="the other commit (%(default)s)")
    add("--blocks", type=positive, default=5, help="runs of each (%(default)s)")
    add("--mix", choices=tuple(MIXES), default="large", help="the input (%(default)s)")
    add("--records", type=positive, default=200, help="of the input (%(default)s)")


def run(options: argparse.Namespace, kept: Kept) -> int:
    """Measures both commits and judges."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="gate-")))
        setting = make_setting(options, folder)
        fasta = write_fasta(folder / "input.fasta", MIXES[options.mix](options.records))
        command = [
            sys.executable, "-m", "pipeline", "--model", str(setting.checkpoint), "--quiet",
            "--input", str(fasta), "--device", setting.device, "--dtype", setting.dtype, "--output",
        ]  # fmt: skip
        commits = {
            name: stack.enter_context(check_out(revision, folder / name))
            for name, revision in {"new": "HEAD", "old": options.against}.items()
        }
        blocks = []
        for number in range(options.blocks):
            order = ("new", "old") if number % 2 == 0 else ("old", "new")
            outputs = {name: folder / f"{name}-{number}" for name in order}
            blocks.append(
                {
                    name: _time([*command, str(outputs[name])], commits[name], options.threads)
                    for name in order
                }
            )
            # The input is the same: the ratio of speeds is that of times, upside down.
            print(f"block {number + 1}: {blocks[-1]['old'] / blocks[-1]['new']:.3f}", flush=True)
            kept.keep({"seconds": blocks})
    code, sentence = judge([block["old"] / block["new"] for block in blocks])
    print(f"HEAD against {options.against}, residues/s: {sentence}")
    return code


def judge(ratios: Sequence[float]) -> tuple[int, str]:
    """Returns the exit code and a sentence for ratios of speed, new to old."""
    median = statistics.median(ratios)
    told = f"median ratio {median:.3f} of {len(ratios)} blocks"
    if median < FAIL_BELOW:
        return 1, f"{told}; slower than {FAIL_BELOW} is a failure"
    if median < WARN_BELOW:
        return 0, f"{told}; warning: slower than {WARN_BELOW}"
    return 0, told


@contextmanager
def check_out(revision: str, folder: Path) -> Iterator[Path]:
    """Checks a commit of this repository out for the time of a ``with`` block."""
    _git("worktree", "add", "--quiet", "--detach", str(folder), revision)
    try:
        yield folder
    finally:
        _git("worktree", "remove", "--force", str(folder))


def _time(command: Sequence[str], checkout: Path, threads: int) -> float:
    """Returns the seconds that the pipeline of a checkout takes."""
    environment = {"PYTHONPATH": str(checkout), "OMP_NUM_THREADS": str(threads)}
    process = subprocess.run(command, cwd=checkout, env=os.environ | environment)
    if process.returncode:
        raise SystemExit(f"The {checkout.name} commit ended with code {process.returncode}.")
    seconds: float = json.loads(Path(command[-1], "run_report.json").read_text())["seconds"]
    return seconds


def _git(*arguments: str) -> None:
    process = subprocess.run(["git", "-C", str(REPO), *arguments])
    if process.returncode != 0:
        raise SystemExit(f"git {' '.join(arguments)} failed.")

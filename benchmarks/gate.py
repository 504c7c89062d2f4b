"""One commit against another: whether the pipeline has become slower.

Both are checked out into folders of their own and run as processes, on one input and one set of
weights. A block is one run of each, in an order that alternates; what counts is the median over
the blocks of the ratio within a block, so a machine that is busy for a while is busy for both.
What is not committed is not measured.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from benchmarks.compare import choose_warm_up
from benchmarks.entries import OURS
from benchmarks.machine import count_cores
from benchmarks.measure import Job, run_job
from benchmarks.mixes import MIXES, REPO, write_fasta
from benchmarks.weights import SHAPES, write_checkpoint

WARN_BELOW, FAIL_BELOW = 0.95, 0.90


def add_gate(commands: Any) -> None:
    """Adds the subcommand ``gate``."""
    parser = commands.add_parser("gate", help="whether this commit is slower than another")
    add = parser.add_argument
    add("--against", default="HEAD~1", metavar="REV", help="the other commit (%(default)s)")
    add("--blocks", type=int, default=5, help="runs of each (%(default)s)")
    add("--shape", choices=tuple(SHAPES), default="8M", help="of the model (%(default)s)")
    add("--mix", choices=tuple(MIXES), default="large", help="the input (%(default)s)")
    add("--records", type=int, default=200, help="of the input (%(default)s)")
    add("--device", choices=("cpu", "cuda"), default="cpu")
    add("--threads", type=int, default=count_cores(), help="of the CPU (%(default)s)")
    parser.set_defaults(run=run_gate)


def run_gate(options: argparse.Namespace) -> int:
    """Measures both commits and judges.

    Returns:
        0, or 1 if HEAD is slower by more than a tenth.
    """
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="gate-")))
        sequences = MIXES[options.mix](options.records)
        job = Job(
            entry=OURS,
            checkpoint=str(write_checkpoint(folder / "checkpoint", SHAPES[options.shape])),
            fasta=str(write_fasta(folder / "input.fasta", sequences)),
            warm_up=str(write_fasta(folder / "warm_up.fasta", choose_warm_up(sequences))),
            vectors=None,
            device=options.device,
            dtype="float32" if options.device == "cpu" else "float16",
            threads=options.threads,
        )
        # The programs that measure are those of this checkout, whatever the other commit has.
        harness = folder / "harness"
        harness.mkdir()
        (harness / "benchmarks").symlink_to(REPO / "benchmarks")
        commits = {
            name: stack.enter_context(check_out(revision, folder / name))
            for name, revision in {"new": "HEAD", "old": options.against}.items()
        }
        ratios = []
        for number in range(options.blocks):
            order = ("new", "old") if number % 2 == 0 else ("old", "new")
            seconds = {name: _measure(job, harness, commits[name]) for name in order}
            # The input is the same: the ratio of speeds is that of times, upside down.
            ratios.append(seconds["old"] / seconds["new"])
            print(f"block {number + 1}: {ratios[-1]:.3f}", flush=True)
    code, sentence = judge(ratios)
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


def _measure(job: Job, harness: Path, code: Path) -> float:
    """Returns the seconds that the pipeline of a checkout takes."""
    result = run_job(job, cwd=harness, environment={"PYTHONPATH": str(code)})
    if failure := result.get("failure"):
        raise SystemExit(f"{code.name} did not run: {failure}")
    # Else a commit might be compared with itself: the one that is installed.
    if Path(result["code"]).resolve().parents[1] != code.resolve():
        raise SystemExit(f"{code.name} ran the code of {result['code']}.")
    (run,) = result["runs"]
    seconds: float = run["seconds"]
    return seconds


def _git(*arguments: str) -> None:
    process = subprocess.run(["git", "-C", str(REPO), *arguments])
    if process.returncode != 0:
        raise SystemExit(f"git {' '.join(arguments)} failed.")

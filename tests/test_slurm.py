"""Tests of the job scripts in ``examples/slurm``, with a stand-in for Slurm and for Python."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

SLURM = Path(__file__).parents[1] / "examples/slurm"

PYTHON = """#!/bin/bash
echo "$@" >> told
trap 'sleep 0.1; exit 143' TERM
kill -$SENT $PPID
for _ in {1..600}; do sleep 0.05; done
"""


@pytest.mark.parametrize("script", sorted(SLURM.iterdir()), ids=lambda path: path.name)
def test_the_scripts_are_valid(script: Path) -> None:
    subprocess.run(["bash", "-n", script], check=True)


@pytest.mark.parametrize(
    ("sent", "more", "shard", "requeued"),
    [("USR1", {}, "slurm", ["requeue 7_3"]), ("TERM", {"SHARDS": "16"}, "3/16", [])],
)
def test_a_task_is_drained_and_queued_again_when_its_time_is_up(
    sent: str, more: dict[str, str], shard: str, requeued: list[str], tmp_path: Path
) -> None:
    for name, text in (("python", PYTHON), ("scontrol", '#!/bin/bash\necho "$@" >> told\n')):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    environment = {
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "INPUT": "in put/*.fa",
        "OUTPUT": "out",
        "SLURM_ARRAY_JOB_ID": "7",
        "SLURM_ARRAY_TASK_ID": "3",
        "SENT": sent,
    }
    done = subprocess.run(
        ["bash", SLURM / "embed.sbatch"], cwd=tmp_path, env=environment | more, check=False
    )
    assert done.returncode == 128 + signal.SIGTERM
    run, *others = (tmp_path / "told").read_text().splitlines()
    assert run.startswith("-m pipeline --input in put/*.fa --output out --model ")
    assert run.endswith(f"--shard {shard}")
    assert others == requeued

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.options import make_parser
from tests.processes import REPO
from transforms.parquet import make_schema

README = (REPO / "README.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder like a fresh clone in which ``./run_local.sh`` has run."""
    folder = tmp_path_factory.mktemp("readme")
    (folder / "examples").symlink_to(REPO / "examples")
    command = [sys.executable, "-m", "pipeline", "--input", "examples", "--output", "out"]
    env = {"PYTHONPATH": str(REPO), "PATH": ""}
    subprocess.run([*command, "--model", "demo"], cwd=folder, env=env, check=True)
    return folder


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.splitlines()[-1][:40])
def test_each_python_block_runs(block: str, workplace: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", block],
        cwd=workplace, env={"PYTHONPATH": str(REPO), "PATH": ""}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_the_block_for_other_pipelines_prints_every_example(workplace: Path) -> None:
    (block,) = (block for block in BLOCKS if "EmbedProteins" in block)
    done = subprocess.run(
        [sys.executable, "-c", block],
        cwd=workplace, env={"PYTHONPATH": str(REPO), "PATH": ""}, capture_output=True, text=True,
        check=True,
    )  # fmt: skip
    assert done.stdout.count("(128,)") == (REPO / "examples/well_known.fasta").read_text().count(
        ">"
    )


def test_every_option_named_is_one() -> None:
    ours = {option for action in make_parser()._actions for option in action.option_strings}
    named = set(re.findall(r"`(--[a-z_]+)", README))
    assert named - ours == {"--runner"}


def test_the_schema_table_is_the_schema() -> None:
    table = README.split("| column | type | |")[1].split("\n\n")[0]
    named = re.findall(
        r"`([a-z_0-9]+)`", "\n".join(row.split("|")[1] for row in table.splitlines() if row)
    )
    assert sorted(named) == sorted(make_schema(4).names)


def test_it_is_short() -> None:
    assert len(README.splitlines()) < 250

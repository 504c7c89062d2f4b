from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from pipeline.command_line import make_parser
from tests.processes import REPO
from transforms.output.parquet import make_schema

README = (REPO / "README.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)  # run by test_pages.py


def test_the_block_for_other_pipelines_prints_every_example(tmp_path: Path) -> None:
    (tmp_path / "examples").symlink_to(REPO / "examples")
    (block,) = (block for block in BLOCKS if "EmbedProteins" in block)
    done = subprocess.run(
        [sys.executable, "-c", block],
        cwd=tmp_path, env={"PYTHONPATH": str(REPO), "PATH": ""}, capture_output=True, text=True,
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

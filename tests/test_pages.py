"""Every code block of the pages does what it says: it is run, or says why it cannot be."""

from __future__ import annotations

import functools
import importlib
import json
import re
from pathlib import Path

import pytest
import yaml

from benchmarks import __main__ as benchmarks
from pipeline import command_line
from pipeline.launching.engines import ENGINES, make_launch_parser
from pipeline.option_groups import beam as beam_options
from pipeline.options import parse_options
from pipeline.verbs import VERBS
from tests.page_blocks import (
    SET_UP,
    command_lines,
    imitate_hub,
    make_workplace,
    missing_lines,
    parse,
    read_blocks,
    run_block,
)
from tests.processes import REPO

PAGES = {
    str(path.relative_to(REPO)): path
    for path in (
        *sorted(REPO.glob("*.md")),
        REPO / "docker/README.md",
        *sorted(REPO.glob("docs/*.md")),
    )
}
BLOCKS = {name: read_blocks(path) for name, path in PAGES.items()}
RUN = [
    name
    for name, blocks in BLOCKS.items()
    if any(block.runs and not block.package and block.note != SET_UP for block in blocks)
]
NEEDS = {
    name: packages
    for name, blocks in BLOCKS.items()
    if (packages := {block.package for block in blocks} - {""})
}
HUB = ("Synthyra/FastESM2_650", "facebook/esm2_t6_8M_UR50D")

NOT_RUN = {
    "CONTRIBUTING.md": 2,
    "README.md": 3,
    "docker/README.md": 1,
    "docs/analytics.md": 10,
    "docs/exporting.md": 1,
    "docs/launching.md": 1,
    "docs/messages.md": 2,
    "docs/performance.md": 1,
    "docs/reporting.md": 1,
    "docs/scale.md": 2,
    "docs/sharding.md": 2,
    "docs/tutorial.md": 2,
    "docs/watching.md": 1,
}
"""Blocks that are marked as not run: each that is added has to be added here too."""


def run_page(name: str, folder: Path, checkpoint: Path, with_optional: bool) -> None:
    clone, cache = folder / "clone", folder / "hub"
    clone.mkdir()
    make_workplace(clone)
    for model in HUB:
        imitate_hub(cache, model, checkpoint)
    printed = None
    for block in BLOCKS[name]:
        if block.runs:
            printed = None
            if with_optional or not block.package:
                done = run_block(block, clone, cache)
                printed = done.stdout + done.stderr
                assert done.returncode == 0, f"{name}:{block.line}: {printed}"
        elif block.note == "printed" and printed is not None:
            missing = missing_lines(block.text, printed)
            assert not missing, f"{name}:{block.line}: {missing} is not in\n{printed}"


OF_OTHERS = {
    "--array", "--clusters", "--entrypoint", "--no-deps", "--repo-type", "--run",
}  # fmt: skip
"""Options that pages name of Slurm, Docker, pip and so on, and of the examples."""


@functools.cache
def known_options() -> set[str]:
    parsers = [command_line.make_parser(), beam_options._beam_parser()]
    parsers += [make_launch_parser(engine) for engine in ENGINES]
    verbs = VERBS.keys() - {"launch"}
    parsers += [importlib.import_module(f"pipeline.{name}").make_parser() for name in verbs]
    parsers += [benchmarks.make_parser(name) for name in benchmarks.COMMANDS]
    return {option for parser in parsers for option in parser._option_string_actions}


@pytest.mark.slow
@pytest.mark.parametrize("name", RUN)
def test_the_blocks_of_a_page_run_in_their_order(
    name: str, tmp_path: Path, tiny_checkpoint: Path
) -> None:
    run_page(name, tmp_path, tiny_checkpoint, with_optional=False)


@pytest.mark.slow
@pytest.mark.parametrize("name", NEEDS)
def test_so_do_those_that_need_optional_packages(
    name: str, tmp_path: Path, tiny_checkpoint: Path
) -> None:
    for package in sorted(NEEDS[name]):
        pytest.importorskip(package, reason=f"{name} tells of what needs {package}")
    run_page(name, tmp_path, tiny_checkpoint, with_optional=True)


def test_no_block_is_left_out_in_silence() -> None:
    found = {name: sum(bool(block.reason) for block in blocks) for name, blocks in BLOCKS.items()}
    assert {name: count for name, count in found.items() if count} == NOT_RUN


@pytest.mark.parametrize("name", BLOCKS)
def test_every_block_says_what_it_is(name: str) -> None:
    for block in BLOCKS[name]:
        where = f"{name}:{block.line}"
        assert block.language in ("bash", "python", "sql", "text", "yaml", "json"), where
        assert block.note in ("", "printed", SET_UP) or block.package or block.reason, where
        assert block.note != "printed" or block.language == "text", where


@pytest.mark.parametrize("name", NOT_RUN)
def test_what_is_not_run_is_parsed_all_the_same(name: str) -> None:
    for block in BLOCKS[name]:
        if block.reason and block.language == "python":
            compile(block.text, f"{name}:{block.line}", "exec")
        elif block.reason and block.language == "bash":
            for module, arguments in command_lines(block):
                parse(module, arguments)


@pytest.mark.parametrize("name", BLOCKS)
def test_data_are_what_they_are_said_to_be(name: str) -> None:
    for block in BLOCKS[name]:
        if block.language == "json":
            json.loads(block.text)
        if block.language == "yaml":
            assert isinstance(yaml.safe_load(block.text), dict)


def test_the_file_of_options_holds_options(tmp_path: Path) -> None:
    (block,) = (block for block in BLOCKS["docs/launching.md"] if block.language == "yaml")
    (tmp_path / "run.yaml").write_text(block.text)
    config = parse_options(["--config", str(tmp_path / "run.yaml")])
    assert (config.inputs, config.output) == (
        ("gs://my-bucket/fasta/*.fa.gz",),
        "gs://my-bucket/embeddings",
    )
    assert (config.watch, config.pt) == (True, False)
    assert config.beam_args == ("--num_workers=2",)


@pytest.mark.parametrize("name", PAGES)
def test_options_that_are_named_exist(name: str) -> None:
    prose = re.sub(r"^```.*?^```$", "", PAGES[name].read_text(), flags=re.DOTALL | re.MULTILINE)
    named = set(re.findall(r"(?<![\w-])(--[a-z][a-z_0-9-]*)", prose))
    assert named <= known_options() | OF_OTHERS


@pytest.mark.parametrize("name", PAGES)
def test_links_lead_somewhere(name: str) -> None:
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", PAGES[name].read_text()):
        assert (PAGES[name].parent / target).exists(), target


def test_the_index_names_every_page() -> None:
    index = (REPO / "docs/README.md").read_text()
    pages = {path.name for path in REPO.glob("docs/*.md")} - {"README.md"}
    assert set(re.findall(r"\]\(([a-z_]+\.md)\)", index)) == pages


@pytest.mark.parametrize(
    ("expected", "missing"),
    [
        ("a\nc\n", []),
        ("a… 1\n", ["a… 1"]),
        ("b … 2\nc\n", []),
        ("c\na\n", ["a"]),
        ("b 1.2\n", ["b 1.2"]),
    ],
)
def test_lines_are_missed_that_are_not_printed(expected: str, missing: list[str]) -> None:
    assert missing_lines(expected, "a\nb 1x2 2\nc\n") == missing


def test_command_lines_are_found_in_a_block(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "```bash not run: needs a cluster\npip install x\npython -m pipeline --input 'a b' \\\n"
        "  --output o  # a comment\n./run_local.sh test\n./run_local.sh --watch\n```\n"
    )
    (block,) = read_blocks(page)
    assert block.reason == "needs a cluster"
    assert list(command_lines(block)) == [
        ("pipeline", ["--input", "a b", "--output", "o"]),
        ("pipeline", ["--watch"]),
    ]

"""Tests of how command lines are parsed: help, versions, and refusals that say the fix."""

from __future__ import annotations

import argparse
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline import command_line, launch, verbs
from pipeline.parser import Parser
from pipeline.versions import read_versions
from tests.command import exit_code_of
from transforms.errors import ConfigurationError

FOLDER = Path(command_line.__file__).parent
PARSED = {name: importlib.import_module(f"pipeline.{name}") for name in verbs.VERBS}
PARSED[""] = command_line
PARSED.pop("launch")  # whose parser depends on the engine


def make_parser(essential: tuple[str, ...] = ()) -> Parser:
    parser = Parser(essential, prog="it")
    parser.add_argument("output", metavar="OUT")
    group = parser.add_argument_group("speed")
    group.add_argument("--input", help="what is read")
    group.add_argument("--toks_per_batch", type=int, help="how many tokens")
    parser.add_argument("--to", choices=("h5", "npz"))
    return parser


def told(parser: argparse.ArgumentParser, option: str, capsys: pytest.CaptureFixture[str]) -> str:
    assert exit_code_of(parser.parse_args, option) == 0
    said = capsys.readouterr()
    assert said.err == ""
    return said.out


def test_the_short_help_keeps_to_what_is_essential(capsys: pytest.CaptureFixture[str]) -> None:
    parser = make_parser(("input",))
    short = told(parser, "--help", capsys)
    assert "--input" in short
    assert "--toks_per_batch" not in short
    assert "speed:" in short
    whole = told(parser, "--help_all", capsys)
    assert "--toks_per_batch" in whole
    assert told(parser, "-h", capsys) == short


def test_a_help_that_is_short_as_it_is_tells_all(capsys: pytest.CaptureFixture[str]) -> None:
    shown = told(make_parser(), "--help", capsys)
    assert "--toks_per_batch" in shown
    assert "--help_all" not in shown


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["o", "--toks-per-batch", "3"], "Unknown option --toks-per-batch. Did you mean --toks_p"),
        (["o", "--toks_per_bach=3"], "Unknown option --toks_per_bach. Did you mean --toks_per_b"),
        (["o", "-i", "a.faa"], "Unknown option -i. Did you mean --input?"),
        (["o", "--zzz"], "Unknown option --zzz. See --help."),
        (["o", "a.faa"], "a.faa follows no option. Input is given as --input a.faa, a name"),
        (["--output", "o"], "OUT is given by itself, without --output."),
        (["o", "--to", "nzp"], "Did you mean npz?"),
        (["o", "--to", "yaml"], "(choose from"),
        (["o", "--input"], "Argument --input: expected one argument. See --help."),
        ([], "The following arguments are required: OUT. See --help."),
    ],
)
def test_what_is_refused_says_the_fix_in_one_line(argv: list[str], says: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        make_parser().parse_args(argv)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)
    assert ".." not in str(caught.value)


def test_every_verb_is_named_and_no_other() -> None:
    are_verbs = {
        path.stem
        for path in FOLDER.glob("*.py")
        if path.stem != "__main__" and 'if __name__ == "__main__"' in path.read_text()
    }
    assert verbs.VERBS.keys() == are_verbs


@pytest.mark.parametrize("name", PARSED)
def test_every_command_has_a_help_and_a_version(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    parser = PARSED[name].make_parser()
    assert told(parser, "--help", capsys).startswith(f"usage: {parser.prog}")
    ours, others = told(parser, "--version", capsys).splitlines()
    assert ours == f"fastesm-beam {read_versions()['fastesm-beam']}"
    for package in ("apache-beam", "torch", "transformers"):
        assert f"{package} {read_versions()[package]}" in others


def test_a_launch_has_a_help_and_a_version_too(capsys: pytest.CaptureFixture[str]) -> None:
    for option, start in (("--help", "usage: "), ("--version", "fastesm-beam ")):
        assert exit_code_of(launch.main, option) == 0
        assert capsys.readouterr().out.startswith(start)


@pytest.mark.parametrize("name", [name for name in PARSED if name])
def test_a_verb_exits_2_with_one_sentence(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code_of(PARSED[name].main, "--jsno") == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("error: ")
    assert said.err.count("\n") == 1


def test_the_help_of_a_run_is_short_and_names_all_commands(
    capsys: pytest.CaptureFixture[str],
) -> None:
    parser = command_line.make_parser()
    short = told(parser, "--help", capsys)
    assert {action.dest for action in parser._actions} > set(command_line.ESSENTIAL)
    for name in command_line.ESSENTIAL:
        assert f"--{name}" in short
    for name in verbs.VERBS:
        assert f"python -m pipeline.{name}" in short
    assert len(short.splitlines()) < 70
    assert "--metrics_port" not in short


def test_versions_are_those_of_what_runs() -> None:
    import apache_beam
    import torch
    import transformers

    found = read_versions()
    assert found["apache-beam"] == apache_beam.__version__
    assert found["torch"] == torch.__version__
    assert found["transformers"] == transformers.__version__
    assert found["python"] == sys.version.partition(" ")[0]


def test_a_help_needs_neither_beam_nor_torch() -> None:
    code = (
        "import sys\nfrom pipeline.__main__ import main\n"
        "try: main()\nfinally: print(*sys.modules, file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "--help_all"], capture_output=True, text=True, check=True
    )
    assert "--metrics_port" in done.stdout
    imported = set(done.stderr.split())
    assert "pipeline.command_line" in imported
    assert not imported & {"apache_beam", "torch", "transformers", "numpy", "pyarrow"}

"""``--config``: options from a file."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.options import RunConfig, parse_options
from pipeline.run import main
from tests.command import exit_code_of
from transforms.errors import ConfigurationError
from transforms.esm.model import ModelConfig

EXAMPLES = Path(__file__).parents[1] / "examples"

YAML = """\
# a run
input: [a.faa, 'b/*.faa']
output: out
revision: 0123456
model: m
toks_per_batch: 300
max_dead_letters: 2.5%
stop_after: 1:30   # YAML 1.1 would make 90 of it
watch: yes
overwrite: false
event_log:
inference_hint: max_active_bundles_per_worker=1
runner: FlinkRunner
experiments:
  - one
  - two
no_use_public_ips: true
"""


def write(folder: Path, text: str, name: str = "run.yaml") -> str:
    path = folder / name
    path.write_text(text)
    return str(path)


def test_a_file_says_what_a_command_line_says(tmp_path: Path) -> None:
    options = YAML.replace("stop_after: 1:30", "stop_after: 90").replace("max_dead", "#max_dead")
    held = parse_options(["--config", write(tmp_path, options)])
    said = parse_options([
        "--input", "a.faa", "--input", "b/*.faa", "--output", "out", "--revision", "0123456",
        "--model", "m", "--toks_per_batch", "300", "--stop_after", "90", "--watch",
        "--inference_hint", "max_active_bundles_per_worker=1", "--runner=FlinkRunner",
        "--experiments=one", "--experiments=two", "--no_use_public_ips",
    ])  # fmt: skip
    assert replace(held, beam_args=()) == replace(said, beam_args=())
    assert held.options == said.options
    assert held.hints == (("max_active_bundles_per_worker", "1"),)
    assert held.options["experiments"] == ["one", "two"]
    with pytest.raises(ConfigurationError, match="stop_after: invalid number of seconds .*'1:30'"):
        parse_options(["--config", write(tmp_path, YAML)])


def test_the_command_line_wins(tmp_path: Path) -> None:
    file = write(tmp_path, '{"input": ["a", "b"], "output": "out", "residues": "strict"}', "o.json")
    held = parse_options(["--input", "c", "--config", file, "--residues=clean"])
    assert (held.inputs, held.output, held.residues.residues) == (("c",), "out", "clean")


def test_the_options_in_a_report_are_a_file(tmp_path: Path) -> None:
    argv = [
        "--input", "a", "--output", "o", "--metrics_port", "0.0.0.0:9100",
        "--inference_hint", "accelerator=type:t;count:1", "--inference_hint", "min_ram=1GB",
        "--max_dead_letters", "2.5%", "--runner=PrismRunner", "--experiments=x,y",
        "--no_use_public_ips",
    ]  # fmt: skip
    first = parse_options(argv)
    again = parse_options(["--config", write(tmp_path, json.dumps(first.options), "o.json")])
    assert replace(again, beam_args=()) == replace(first, beam_args=())
    assert again.options == first.options
    assert parse_options(["--config", write(tmp_path, json.dumps(first.options))]) == again


def test_a_report_holds_the_options_in_force(tmp_path: Path) -> None:
    file = write(tmp_path, f"input: {EXAMPLES}\nmodel: demo\nsinks: parquet\ndtype: bfloat16\n")
    out = tmp_path / "out"
    args = ("--output", out, "--dtype", "float32", "--quiet")
    assert exit_code_of(main, "--config", file, *args) == 0
    options = json.loads((out / "run_report.json").read_text())["options"]
    assert options["input"] == [str(EXAMPLES)]
    assert (options["dtype"], options["sinks"]) == ("float32", "parquet")
    assert (options["checkpoint_seconds"], options["watch"]) == (60.0, False)
    assert "config" not in options


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("toks_per_bach: 3", "toks_per_bach is no option"),
        ("--input: a", "--input is no option"),
        ("config: other.yaml", "config is no option"),
        ("help: true", "help is no option"),
        ("help_beam: true", "help_beam is no option"),
        ("nonsense:", "nonsense is no option"),
        ("model: a\nmodel: b", "model is there twice"),
        ("watch: perhaps", "watch is true or false, not 'perhaps'"),
        ("output: [a, b]", "output takes one value"),
        ("model: {name: demo}", "model has to be a value or a list"),
        ("input: [[a]]", "input has to be a value or a list"),
        ("input: &x [*x]", "unconstructable|has to be a value|undefined alias"),
        ("- input", "names of options and their values"),
        ("? [a, b]\n: c", "names of options and their values"),
        ("? {a: b}\n: c", "names of options and their values"),
        pytest.param("[" * 100_000, "names of options and their values", id="deep"),
        ("a: [", "flow node|expected"),
        ("s3_secret_access_key: x", "environment: AWS_SECRET_ACCESS_KEY"),
    ],
)
def test_what_is_no_option_is_refused_with_the_name_of_the_file(
    text: str, says: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigurationError, match=says) as caught:
        parse_options(["--config", file := write(tmp_path, text), "--input=i", "--output=o"])
    assert file in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('{"input": {"a": 1}}', "input has to be"),
        ("[1]", "names of options"),
        ('{"input": ["a"], "input": ["b"]}', "input is there twice"),
        ("{", "Expecting"),
        pytest.param("[" * 100_000, "names of options", id="deep"),
        ('{"no": 1}', "no is no option"),
    ],
)
def test_the_same_of_json(text: str, says: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=f"o.json: .*{says}"):
        parse_options(["--config", write(tmp_path, text, "o.json")])


def test_a_second_file_is_refused_and_not_taken_in_place_of_the_first(tmp_path: Path) -> None:
    first, second = write(tmp_path, "model: demo"), write(tmp_path, "{}", "o.json")
    with pytest.raises(ConfigurationError, match=f"{first} and --config {second}: give one file"):
        parse_options(["--config", first, "--input=i", f"--config={second}", "--output=o"])


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="none.yaml cannot be read"):
        parse_options(["--config", str(tmp_path / "none.yaml")])
    with pytest.raises(ConfigurationError, match="--config: expected one argument"):
        parse_options(["--config"])


def test_a_secret_is_for_the_environment_on_the_command_line_too() -> None:
    with pytest.raises(ConfigurationError, match="--s3_session_token is a secret.*AWS_SESSION"):
        parse_options(["--input=i", "--output=o", "--s3_session_token=x"])


def test_without_a_file_nothing_is_different() -> None:
    held = parse_options(["--input", "a", "--output", "o", "--model", "m"])
    assert held == RunConfig(inputs=("a",), output="o", model=ModelConfig("m"))
    assert held.options["toks_per_batch"] is None

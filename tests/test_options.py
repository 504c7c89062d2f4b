from __future__ import annotations

import pytest

from pipeline.options import RunConfig, parse_options
from tests.command import exit_code_of
from transforms.errors import ConfigurationError
from transforms.esm.model import ModelConfig
from transforms.residues import ResiduePolicy

REQUIRED = ["--input", "a.faa", "--output", "out"]
TOPIC = "projects/example.com:p-1/topics/a-b_c.d~e+f%25"
MESSAGES = ["--input_subscription", "projects/p/subscriptions/sub", "--output", "out"]


def test_the_defaults_are_those_of_the_contract() -> None:
    assert parse_options(REQUIRED) == RunConfig(
        inputs=("a.faa",),
        output="out",
        residues=ResiduePolicy("clean", "truncate", 1024),
        model=ModelConfig("Synthyra/FastESM2_650", None, "auto", "auto", None),
    )


def test_every_option_reaches_its_step() -> None:
    argv = [
        "--input", "a.faa", "--input", "b", "--output", "out", "--input_root", "/r",
        "--overwrite", "--sinks", "parquet", "--pt_order", "length", "--model", "m",
        "--revision", "v", "--dtype", "bfloat16", "--device", "cuda:1", "--toks_per_batch", "7",
        "--expected_dim", "1280", "--residues", "strict", "--long_sequences", "reject",
        "--truncation_seq_length", "9", "--quiet", "--verbose", "--runner", "FnApiRunner",
        "--inference_hint", "min_ram=1GB", "--inference_hint", "accelerator=a=b",
    ]  # fmt: skip
    assert parse_options(argv) == RunConfig(
        inputs=("a.faa", "b"),
        output="out",
        input_root="/r",
        residues=ResiduePolicy("strict", "reject", 9),
        model=ModelConfig("m", "v", "bfloat16", "cuda:1", 7),
        expected_dim=1280,
        pt=False,
        pt_order="length",
        overwrite=True,
        quiet=True,
        verbose=True,
        hints=(("min_ram", "1GB"), ("accelerator", "a=b")),
        beam_args=("--runner", "FnApiRunner"),
    )


def test_the_options_of_a_watch_reach_it() -> None:
    watched = parse_options([*REQUIRED, "--watch"])
    assert (watched.watch, watched.poll_seconds, watched.stop_after) == (True, 5.0, None)
    watched = parse_options([*REQUIRED, "--watch", "--poll_seconds", "0.5", "--stop_after", "60"])
    assert (watched.watch, watched.poll_seconds, watched.stop_after) == (True, 0.5, 60.0)


def test_the_options_of_a_subscription_reach_it() -> None:
    found = parse_options(MESSAGES)
    assert (found.input_subscription, found.batch_wait, found.pt) == (MESSAGES[1], 2.0, False)
    assert found.goes_on
    found = parse_options([*MESSAGES, "--max_batch_wait", "0.5", "--stop_after", "60"])
    assert (found.batch_wait, found.stop_after) == (0.5, 60.0)


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        ([], "--input is needed"),
        (MESSAGES[:2], "--output is needed"),
        (["--input_subscription", "sub", *MESSAGES[2:]], "projects/PROJECT/subscriptions/NAME"),
        ([*MESSAGES, "--output_topic", "top"], "must be projects/PROJECT/topics/NAME, not 'top'"),
        ([*MESSAGES, "--output_topic", MESSAGES[1]], "must be projects/PROJECT/topics/NAME"),
        (["--input_subscription", f"{MESSAGES[1]}/x"], "projects/PROJECT/subscriptions/NAME"),
        ([*REQUIRED, "--dead_letter_topic", TOPIC], "--dead_letter_topic goes with --input_sub"),
        ([*MESSAGES, "--input", "a.faa"], "--input is for files"),
        ([*MESSAGES, "--input_root", "a"], "--input_root is for files"),
        ([*MESSAGES, "--watch"], "--watch is for files"),
        ([*MESSAGES, "--poll_seconds", "5"], "--poll_seconds goes with --watch"),
        ([*MESSAGES, "--overwrite"], "--input_subscription with --overwrite"),
        ([*MESSAGES, "--retry_failed"], "--retry_failed is for a run that ends"),
        ([*MESSAGES, "--max_dead_letters", "5"], "--max_dead_letters counts"),
        (
            [*REQUIRED, "--max_batch_wait", "5"],
            "--max_batch_wait goes with --watch or --input_subscription",
        ),
        ([*REQUIRED, "--poll_seconds", "5"], "--poll_seconds goes with --watch"),
        ([*REQUIRED, "--stop_after", "5"], "--stop_after goes with --watch"),
        ([*REQUIRED, "--watch", "--poll_seconds", "0"], "more than 0"),
        (["--output", "out", "--watch"], "--input is needed"),
        ([*REQUIRED, "--overwrite", "--retry_failed"], "leaves nothing for --retry_failed to try"),
        ([*REQUIRED, "--toks_per_batch", "0"], "at least 1"),
        ([*REQUIRED, "--toks_per_batch", "many"], "invalid whole number value: 'many'"),
        ([*REQUIRED, "--truncation_seq_length", "-1"], "at least 1"),
        ([*REQUIRED, "--expected_dim", "0"], "at least 1"),
        ([*REQUIRED, "--dtype", "int8"], "--dtype"),
        ([*REQUIRED, "--residues", "lenient"], "--residues"),
        ([*REQUIRED, "--inference_hint", "colour=red"], "Unknown resource hint: colour"),
        ([*REQUIRED, "--inference_hint", "min_ram=much"], "min_ram has invalid value much"),
        ([*REQUIRED, "--inference_hint", "accelerator"], "must be NAME=VALUE"),
        ([*REQUIRED, "--sinks", "pt"], "--sinks"),
        ([*REQUIRED, "--sinks", "csv"], "--sinks"),
        ([*REQUIRED, "--toks_per_bach", "300"], "Did you mean --toks_per_batch? See --help_all."),
        ([*REQUIRED, "--toks", "300"], "Unknown option --toks. Did you mean --toks_per_batch?"),
        ([*REQUIRED, "--runer", "x"], "Unknown option --runer. Did you mean --runner?"),
        ([*REQUIRED, "stray.faa"], "Input is given as --input stray.faa, a name"),
        (["plan", *REQUIRED], "To see what a run would do, give python -m pipeline.plan."),
        (["stauts", "out"], "give python -m pipeline.status."),
        ([*REQUIRED, "--model", "demo", "--revision", "x"], "--revision"),
        ([*REQUIRED, "--direct_num_workers", "x"], "direct_num_workers"),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_sentence(argv: list[str], says: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        parse_options(argv)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_help_names_every_option_with_its_default(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code_of(parse_options, "--help_all") == 0
    shown = " ".join(capsys.readouterr().out.split())
    for option in (
        "input", "output", "model", "revision", "dtype", "device", "toks_per_batch",
        "truncation_seq_length", "expected_dim", "long_sequences", "residues", "pt_order",
        "sinks", "input_root", "overwrite", "watch", "poll_seconds", "stop_after",
        "input_subscription", "output_topic", "dead_letter_topic", "max_batch_wait", "config",
    ):  # fmt: skip
        assert f"--{option}" in shown
    assert "--inference_hint" not in shown  # which pipeline.launch gives
    for default in ("Synthyra/FastESM2_650", "auto", "1024", "parquet,pt"):
        assert f"(default: {default})" in shown

"""Tests of ``--shard`` and ``--gpus`` as options."""

from __future__ import annotations

import pytest

from pipeline.option_groups.shards import slurm_shard
from pipeline.options import parse_options
from transforms.errors import ConfigurationError
from transforms.output.shards import Shard

NEEDED = ["--input", "in.faa", "--output", "out"]


def array(task: str, count: str, first: str, last: str, **more: str) -> dict[str, str]:
    names = ("ID", "COUNT", "MIN", "MAX")
    values = dict(zip(names, (task, count, first, last), strict=True)) | more
    return {f"SLURM_ARRAY_TASK_{name}": value for name, value in values.items()}


@pytest.mark.parametrize(
    ("environment", "shard"),
    [
        (array("0", "4", "0", "3"), Shard(0, 4)),
        (array("3", "4", "0", "3", STEP="1"), Shard(3, 4)),
        (array("1", "16", "1", "16"), Shard(0, 16)),
        (array("20", "4", "0", "30", STEP="10"), Shard(2, 4)),
    ],
)
def test_a_task_of_an_array_is_a_shard(environment: dict[str, str], shard: Shard) -> None:
    assert slurm_shard(environment) == shard


@pytest.mark.parametrize(
    ("environment", "sentence"),
    [
        ({}, "Submit with --array"),
        (array("0", "", "0", "3"), "Submit with --array"),
        (array("5", "3", "1", "7"), "without gaps"),
        (array("2", "4", "0", "4"), "without gaps"),
    ],
)
def test_what_is_no_task_of_an_array_without_gaps_is_refused(
    environment: dict[str, str], sentence: str
) -> None:
    with pytest.raises(ConfigurationError, match=sentence):
        slurm_shard(environment)


def test_the_variables_alone_divide_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in array("2", "4", "0", "3").items():
        monkeypatch.setenv(name, value)
    assert parse_options(NEEDED).shard is None
    assert parse_options([*NEEDED, "--shard", "slurm"]).shard == Shard(2, 4)
    assert parse_options([*NEEDED, "--shard", "1/8"]).shard == Shard(1, 8)


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        (["--shard", "4/4"], "count from 0"),
        (["--shard", "1"], "must be I/N"),
        (["--shard", "slurm"], "task of a Slurm job array"),
        (["--shard", "0/2", "--watch"], "Give several watches an --input and an --output each"),
        (["--shard", "0/2", "--overwrite"], "delete what the others have embedded"),
        (["--shard", "0/2", "--retry_failed"], "once all shards have ended"),
        (["--gpus", "0,1", "--overwrite"], "--gpus with --overwrite"),
        (["--gpus", "0,x"], "must be all, or numbers"),
        (["--gpus", "1,1"], "names a GPU twice"),
        (["--gpus", "0,00"], "names a GPU twice"),
        (["--gpus", "all", "--metrics_port", "9100"], "a port of its own"),
        (["--gpus", "all", "--device", "cuda:1"], "makes no sense"),
    ],
)
def test_what_does_not_go_with_shards_is_refused_with_a_sentence(
    more: list[str], sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("ID", "COUNT", "MIN", "MAX"):
        monkeypatch.delenv(f"SLURM_ARRAY_TASK_{name}", raising=False)
    with pytest.raises(ConfigurationError, match=sentence):
        parse_options([*NEEDED, *more])


def test_messages_are_not_divided() -> None:
    subscription = [
        "--input_subscription",
        "projects/project/subscriptions/subscription",
        "--output",
        "out",
    ]
    with pytest.raises(ConfigurationError, match="--input_subscription goes on with what comes"):
        parse_options([*subscription, *NEEDED[2:], "--shard", "0/2"])

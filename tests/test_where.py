"""Tests of where options work."""

from __future__ import annotations

import pytest

from pipeline.option_groups.where import check_where
from pipeline.options import parse_options
from transforms.errors import ConfigurationError

FILES = ("--input", "a.faa", "--output", "out")
MESSAGES = ("--input_subscription", "projects/p/subscriptions/sub", "--output", "out")
PRISM = ("--runner", "PrismRunner")
PROCESSES = ("--direct_running_mode", "multi_processing")


@pytest.mark.parametrize(
    ("argv", "works", "says"),
    [
        (FILES, (PRISM, PROCESSES), ""),
        ((*FILES, "--max_dead_letters", "1"), (), "--max_dead_letters counts what happens in this"),
        ((*FILES, "--metrics_port", "0"), (), "--metrics_port tells what happens in this process"),
        (
            (*FILES, "--event_log", "log"),
            (PRISM,),
            "--event_log tells what happens in this process",
        ),
        ((*FILES, "--watch"), (PRISM,), "--watch works in this process, on the local runner, or"),
        (MESSAGES, (), "--input_subscription works in this process"),
        ((*FILES, "--shard", "0/2"), (), "--shard divides the work among processes of the local"),
        ((*FILES, "--gpus", "0"), (), "--gpus divides the work among processes of the local"),
    ],
)
def test_what_works_in_this_process_alone_is_refused_elsewhere(
    argv: tuple[str, ...], works: tuple[tuple[str, ...], ...], says: str
) -> None:
    check_where(parse_options(argv))
    for engine in (PRISM, PROCESSES):
        config = parse_options([*argv, *engine])
        if engine in works:
            check_where(config)
            continue
        with pytest.raises(ConfigurationError) as caught:
            check_where(config)
        assert str(caught.value).startswith(says)


def test_the_local_runner_has_no_timers_for_a_watch() -> None:
    argv = (*FILES, "--watch", "--max_batch_wait", "1")
    check_where(parse_options([*argv, *PRISM]))
    with pytest.raises(ConfigurationError, match="--max_batch_wait is for --watch on an engine"):
        check_where(parse_options(argv))

"""Where options work: in this process, where it hears of the steps, or on engines that stream."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pipeline.options import RunConfig
from pipeline.runners import STREAMING_RUNNERS, can_stream, is_heard, is_in_this_process
from transforms.errors import ConfigurationError

_HERE = "what happens in this process, and with these options the records are embedded in others."
_LEAVE_IT_OUT = "Leave it out, or run on the local runner."
_DIVIDES = (
    "divides the work among processes of the local runner; other engines divide it among workers "
    "of their own. Leave it out, or --runner and --direct_running_mode."
)


def _works_or_streams(beam_args: Sequence[str]) -> bool:
    return is_in_this_process(beam_args) or can_stream(beam_args)


_WHERE: Sequence[tuple[str, Callable[[Sequence[str]], bool], str]] = (
    ("max_dead_letters", is_in_this_process, f"counts {_HERE} {_LEAVE_IT_OUT}"),
    (
        "metrics_port",
        is_in_this_process,
        f"tells {_HERE} Leave it out: Beam's metrics hold the same numbers, in the runner's own "
        "monitoring and in run_report.json. Or run on the local runner.",
    ),
    ("event_log", is_heard, f"tells {_HERE} {_LEAVE_IT_OUT}"),
    (
        "watch",
        _works_or_streams,
        "works in this process, on the local runner, or on an engine that streams: "
        f"{', '.join(STREAMING_RUNNERS)}. Leave out --runner and --direct_running_mode, or give "
        "one of these.",
    ),
    (
        "input_subscription",
        is_in_this_process,
        "works in this process, on the local runner. Leave out --runner and "
        "--direct_running_mode; for Dataflow see docs/messages.md.",
    ),
    ("shard", is_in_this_process, _DIVIDES),
    ("gpus", is_in_this_process, _DIVIDES),
)
"""Each option that does not work everywhere, where it does, and what it does in words."""


def check_where(config: RunConfig) -> None:
    """Makes sure that what is asked for can be had on the engine that is asked for.

    Raises:
        ConfigurationError: It cannot.
    """
    for option, works, sentence in _WHERE:
        if getattr(config, option) and not works(config.beam_args):
            raise ConfigurationError(f"--{option} {sentence}")
    has_wait = config.watch and config.max_batch_wait is not None
    if has_wait and is_in_this_process(config.beam_args):
        raise ConfigurationError(
            "--max_batch_wait is for --watch on an engine that streams, such as --runner "
            "PrismRunner: the local one has no such timers and finishes what has come in rounds. "
            "Leave it out."
        )

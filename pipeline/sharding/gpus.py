"""``--gpus``: a shard on each GPU of this machine, started and watched by one command.

Each is the same command with ``--shard``, in a process of its own that sees one GPU. How far they
are is read from the heartbeats of their locks.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing
from pathlib import Path

import torch

from pipeline.listening.event_log import check_event_log
from pipeline.listening.progress import Progress
from pipeline.listening.tally import Tally, add_up
from pipeline.opening import list_files, read_begun
from pipeline.options import RunConfig
from pipeline.sharding.finishing import finish_output
from pipeline.sharding.fleet import Fleet, Member, Process
from pipeline.terminal import (
    EXIT_DEAD_LETTERS,
    EXIT_FAILED,
    EXIT_OK,
    EXIT_USAGE,
    complain,
    say_all,
    say_aside,
)
from transforms import storage
from transforms.errors import AccountingError, ConfigurationError
from transforms.output.holders import read_holder
from transforms.output.shards import Shard

# As ``python -m pipeline``, but with this very package, wherever Python would look for one.
_COMMAND = [
    *(sys.executable, "-P", "-c"),
    "import runpy, sys; sys.path.insert(0, sys.argv.pop(1)); "
    "runpy.run_module('pipeline', run_name='__main__', alter_sys=True)",
    str(Path(__file__).parents[2]),
]
_VISIBLE = "CUDA_VISIBLE_DEVICES"
_SECONDS_BETWEEN_LOOKS = 2.0  # at the heartbeats
_SECONDS_TO_TELL = 1.0
_REPLACED = {"--gpus": 1, "--shard": 1, "--event_log": 1, "--quiet": 0}
"""Options that each process is given anew, or not at all, and how many values they have."""


def run_on_gpus(config: RunConfig) -> int:
    """Runs a shard on each GPU, completes the output, and tells.

    Returns:
        The exit code of the whole.

    Raises:
        ConfigurationError: There are no such GPUs, or no shard could begin.
    """
    devices = find_devices(config.gpus, config.model.device, os.environ)
    outer = config.shard or Shard(0, 1)
    shards = [
        Shard(outer.number * len(devices) + n, outer.count * len(devices))
        for n in range(len(devices))
    ]
    root = storage.absolute(config.output)
    # What is wrong with these is told here, and once.
    list_files(config, root, read_begun(root))
    if config.event_log:
        check_event_log(config.event_log, root)

    def start(shard: Shard, device: str) -> Process:
        arguments = arguments_of(shard, config.argv, config.event_log)
        return start_process([*_COMMAND, *arguments], shard, device)

    fleet = Fleet(
        [Member(shard, device) for shard, device in zip(shards, devices, strict=True)],
        start,
        # It would count anew, and stop at the same record.
        restarts_failed=config.max_dead_letters is None,
    )
    with ExitStack() as stack:
        shown = None if config.quiet else stack.enter_context(closing(AllProgress(root, shards)))
        code = fleet.run(shown.look if shown else None)
    if code == EXIT_USAGE:
        return code
    if code not in (EXIT_OK, EXIT_DEAD_LETTERS):
        say_aside("What is committed is safe. The same command carries on from there.")
        return code
    try:
        finished = finish_output(root, only_if_ended=config.shard is not None)
    except (AccountingError, ConfigurationError, OSError) as error:
        complain(str(error), f"The shards are done; python -m pipeline.finish {root} tries again.")
        return EXIT_FAILED
    if not config.quiet or finished.faults:
        say_all(finished.in_words())
    if finished.missing and config.shard:  # that is for other machines
        return code
    return EXIT_FAILED if finished.missing else finished.code


def find_devices(
    wanted: Sequence[str], device: str, environment: Mapping[str, str]
) -> tuple[str, ...]:
    """Returns how the GPUs that are wanted are named in ``CUDA_VISIBLE_DEVICES``.

    Args:
        wanted: ``all``, or numbers among those that this process sees.
        device: ``--device``; with ``cpu`` none is looked for, to try it without any.
        environment: May hold ``CUDA_VISIBLE_DEVICES``.

    Raises:
        ConfigurationError: They are not there.
    """
    if device == "cpu":
        if list(wanted) == ["all"]:
            raise ConfigurationError("--gpus all with --device cpu: give numbers, such as 0,1.")
        return tuple(wanted)
    count = torch.cuda.device_count()
    named = environment.get(_VISIBLE) or ",".join(map(str, range(count)))
    there = [name.strip() for name in named.split(",")][:count]
    if not there:
        raise ConfigurationError(
            "--gpus: torch sees no CUDA GPU here. Look at nvidia-smi and CUDA_VISIBLE_DEVICES, or "
            "leave out --gpus."
        )
    if list(wanted) == ["all"]:
        return tuple(there)
    if strangers := [number for number in wanted if int(number) >= len(there)]:
        raise ConfigurationError(
            f"--gpus: there is no GPU {', '.join(strangers)}; this machine shows {len(there)}, "
            f"numbered 0 to {len(there) - 1}."
        )
    return tuple(there[int(number)] for number in wanted)


def arguments_of(shard: Shard, argv: Sequence[str], event_log: str | None = None) -> list[str]:
    """Returns the arguments of a shard's process.

    Args:
        shard: The shard.
        argv: The arguments of the whole.
        event_log: Where the whole was to log; each process gets a file of its own beside it.
    """
    kept: list[str] = []
    rest = iter(argv)
    for argument in rest:
        name, has_value, _ = argument.partition("=")
        if name not in _REPLACED:
            kept.append(argument)
        elif not has_value:
            for _ in range(_REPLACED[name]):
                next(rest)
    log = ["--event_log", f"{event_log}.{shard.name}"] if event_log else []
    return [*kept, "--shard", shard.option, "--quiet", *log]


class _Named(subprocess.Popen[str]):
    """A process that sees one GPU; what it complains of is told with the shard's name."""

    def __init__(self, command: Sequence[str], shard: Shard, device: str) -> None:
        super().__init__(
            command,
            env={**os.environ, _VISIBLE: device},
            stderr=subprocess.PIPE,
            text=True,
            errors="backslashreplace",
            # Of its own, so that Ctrl-C comes from us, and once.
            start_new_session=True,
        )
        self._shard = shard
        self._telling = threading.Thread(target=self._tell, daemon=True)
        self._telling.start()

    def _tell(self) -> None:
        for line in self.stderr or ():
            say_aside(f"[{self._shard}] {line.removesuffix(os.linesep)}")

    def poll(self) -> int | None:
        code = super().poll()
        if code is not None:  # all that it has said comes before what is said of its end
            self._telling.join(_SECONDS_TO_TELL)
        return code


def start_process(command: Sequence[str], shard: Shard, device: str) -> Process:
    """Starts a process that sees one GPU; what it complains of is told with the shard's name."""
    return _Named(command, shard, device)


class AllProgress(Tally):
    """Shows how far all shards are together, as their heartbeats tell.

    Args:
        root: The output root.
        shards: The shards.
        clock: Seconds; replaced by tests.
    """

    def __init__(
        self, root: str, shards: Sequence[Shard], clock: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__(0, 0, clock)
        self._root = root
        self._shards = shards
        self._looked = self._start
        self._total = 0
        self._progress = Progress(self)

    @property
    def residues_total(self) -> int:
        """Residues of all, as far as is known."""
        return self._total

    def look(self) -> None:
        """Looks at the heartbeats, if that is some time ago, and shows what they tell."""
        if self._clock() - self._looked < _SECONDS_BETWEEN_LOOKS:
            return
        self._looked = self._clock()
        try:
            holders = [read_holder(self._root, shard.name) for shard in self._shards]
        except OSError:  # a server that is away for a moment
            return
        told = [holder.progress for holder in holders if holder and holder.progress]
        together = add_up(told, len(self._shards))
        self.residues, self._total = int(together["residues"]), int(together["residues_total"])
        self.residues_skipped = int(together["residues_skipped"])
        if self._total:
            self._progress.show()

    def close(self) -> None:
        """Leaves the terminal as it should be."""
        self._progress.close()

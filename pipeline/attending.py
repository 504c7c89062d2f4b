"""What goes along with a run: what it is to do, how far it is, its heartbeat and signals."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from pipeline.checks import Plan
from pipeline.draining import draining, draining_elsewhere
from pipeline.listening.following import Following
from pipeline.listening.progress import showing
from pipeline.listening.tally import Tally
from pipeline.terminal import say_aside
from transforms import events
from transforms.inputs.nucleotides import find_nucleotides, tell_nucleotides
from transforms.inputs.stopping import request_stop
from transforms.text import printable


def announce(plan: Plan, quiet: bool) -> None:
    """Tells how many files a run is to do, and which of them seem to be no proteins."""
    size = sum(file.size for file in plan.todo)
    events.emit(events.RunStarted(plan.output.run, plan.output.root, len(plan.todo), size))
    if quiet:
        return
    todo, done = len(plan.todo), len(plan.listing.files) - len(plan.todo)
    finished = f", {done:,} finished before" if done else ""
    say_aside(f"{todo:,} file{'s' * (todo != 1)} to do{finished}.")
    for sentence in tell_nucleotides(file.source for file in find_nucleotides(plan.todo)):
        say_aside(printable(sentence))


@contextmanager
def attended(plan: Plan, quiet: bool) -> Iterator[list[int]]:
    """Shows progress and lets the heartbeat tell it; drains on a signal, or if the lock is lost.

    Yields:
        The signals received.
    """
    shard = plan.output.shard
    with ExitStack() as stack:
        tally = Tally(len(plan.todo), sum(file.size for file in plan.todo))
        stack.enter_context(showing(tally, quiet))
        received = stack.enter_context(draining(plan.output.root, shard.runs if shard else ""))
        # Within the draining, which lets readers read again at its end.
        stack.enter_context(plan.lock.watched(tally.numbers, request_stop))
        yield received


@contextmanager
def followed(plan: Plan, quiet: bool) -> Iterator[list[int]]:
    """Does the same for a run in other processes, of which nothing is heard here.

    Yields:
        The signals received.
    """
    with ExitStack() as stack:
        following = Following(plan.output, len(plan.todo))
        stack.enter_context(following.showing(quiet))
        received = stack.enter_context(draining_elsewhere(plan.output))
        # If the lock is lost, the workers find that out themselves.
        stack.enter_context(plan.lock.watched(following.numbers, request_stop))
        yield received

"""How a run ends: its exit code, what it leaves behind, and what a person is told."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pipeline.checks import Plan
from pipeline.run_report import Report, check_accounting, write_report
from pipeline.summary import tell_output, tell_run
from pipeline.terminal import EXIT_DEAD_LETTERS, EXIT_FAILED, EXIT_OK, complain, say_all, say_aside
from transforms import events, storage
from transforms.errors import ConfigurationError
from transforms.esm.under_way import clear_notes
from transforms.output.configuration import has_configuration
from transforms.output.locks import hold_parts
from transforms.text import printable


def exit_code(report: Report, received: Sequence[int]) -> int:
    """Returns the exit code of a run.

    Args:
        report: What has come of it.
        received: The signals that it got and could not ignore, since something is left to do.
    """
    if report.failure:
        return EXIT_FAILED
    if received:
        return 128 + received[0]
    if check_accounting(report):
        return EXIT_FAILED
    return EXIT_DEAD_LETTERS if report.dead_letters else EXIT_OK


def report_or_fail(make: Callable[[str | None], Report], failure: str | None) -> Report:
    """Returns what has come of a run; where the output cannot be read, a failure and no details.

    Args:
        make: Reads it from the output; given what stopped the graph.
        failure: What stopped the graph; None if nothing did. It is told before all else.
    """
    try:
        return make(failure)
    except (ConfigurationError, OSError) as error:
        told = [failure] if failure else []
        told.append(f"What the output holds now cannot be told: {error}")
        return Report(" ".join(told))


def leave(plan: Plan, report: Report, code: int) -> int:
    """Writes the report, takes away what only a run needs, and returns the exit code."""
    try:
        if not plan.lock.is_lost():  # else it is another run's
            if report.details:  # else the last one is better than none
                write_report(plan.output.root, report, code)
            with hold_parts(plan.output.root, plan.output.run):  # it is empty by then
                storage.delete(storage.join(plan.output.root, storage.STAGING))
            if not report.failure:  # a device that broke has to be remembered
                clear_notes(plan.output.root)
    except (ConfigurationError, OSError) as error:
        complain(f"the report could not be written: {error}")
        code = EXIT_FAILED
    events.emit(
        events.RunEnded(
            plan.output.run,
            code,
            report.rows,
            report.dead_letters,
            round(report.seconds, 3),
        )
    )
    return code


def tell(report: Report, plan: Plan, code: int, quiet: bool, was_too_much: bool = False) -> None:
    """Tells a person what has come of a run.

    Args:
        report: What has come of it.
        plan: What it was to do.
        code: Its exit code.
        quiet: Whether to tell of failures alone.
        was_too_much: Whether it was stopped for too many dead letters.
    """
    if report.failure:
        complain(report.failure)
    elif code == EXIT_FAILED:
        for sentence in check_accounting(report):
            complain(sentence)
    # A signal is how a watch ends: with nothing left to do there is nothing to carry on either.
    if code != EXIT_FAILED and not report.missing:
        if not quiet:
            say_all([tell_run(report, bool(plan.todo))])
            say_all(tell_output(report, plan.output, plan.listing))
        return
    root = printable(plan.output.root)
    if not has_configuration(plan.output.root):
        say_aside(f"Put {root} back where it was, or begin anew.")
        return
    safe = f"what is committed in {root} is safe"
    if report.details:
        are = "vector is" if report.rows == 1 else "vectors are"
        safe = f"{report.rows:,} {are} safe in {root}"
    if was_too_much and not report.missing:
        say_aside(f"The rest had been read by then, so all is finished; {safe}.")
    else:
        tell_stopped(safe, was_too_much)


def tell_stopped(safe: str, was_too_much: bool) -> None:
    """Tells a person what is safe after a run that was stopped, and how it goes on."""
    advice = "The same command carries on from there."
    if was_too_much:
        advice = "Mend the input or raise --max_dead_letters; then it carries on from there."
    say_aside(f"Stopped before the end; {safe}. {advice}")

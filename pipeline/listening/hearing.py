"""Whether this process hears of what happens in the steps of a run."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.runners import is_in_this_process
from transforms.errors import ConfigurationError


def check_is_heard(
    beam_args: Sequence[str], what: str, fix: str = "Leave it out, or run on the local runner."
) -> None:
    """Makes sure that what happens in the steps is heard of in this process.

    Args:
        beam_args: Beam's options.
        what: What asks for it, and does what with it, e.g. ``--metrics_port tells``.
        fix: What to do if it is not.

    Raises:
        ConfigurationError: The steps will run in other processes.
    """
    if not is_in_this_process(beam_args):
        raise ConfigurationError(
            f"{what} what happens in this process, and with these options the records are embedded "
            f"in others. {fix}"
        )

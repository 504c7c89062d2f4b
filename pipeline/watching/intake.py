"""What a round of a watch has to do with the files whose turn it is."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.terminal import complain
from pipeline.watching.arrivals import Taken
from pipeline.watching.lookout import Lookout
from transforms.dead_letters import file_failed
from transforms.errors import ConfigurationError
from transforms.inputs.arriving import refusal
from transforms.inputs.finding import FastaFile
from transforms.output.commits import Output, read_commits
from transforms.output.locks import hold_parts
from transforms.output.parts import of_round, part_name, write_part
from transforms.output.resuming import apply, find_work


@dataclass(frozen=True)
class RoundWork:
    """What a round has to do.

    Attributes:
        todo: The files to be read.
        is_begun: Whether records of them may have been committed.
        must_tidy: Whether something of earlier rounds or runs is to be taken out at the end.
    """

    todo: tuple[FastaFile, ...]
    is_begun: bool = False
    must_tidy: bool = False


class Intake:
    """Turns away what no output can take, and finds out what is left to do of the rest.

    Args:
        lookout: Is told of what needs no reading.
    """

    def __init__(self, lookout: Lookout) -> None:
        self._lookout = lookout

    def find(self, taken: Taken, output: Output) -> RoundWork:
        """Finds out what is to be done of the files of a round.

        Returns:
            The files to be read, whether records of them may be committed, and whether there will
            be something to tidy up.
        """
        files = self._refuse(taken, output)
        # Only what the output holds something of needs a look into all of its records.
        if not any(self._lookout.is_known(file.source) for file in files):
            return RoundWork(files)
        committed = read_commits(output.root)
        work = find_work(
            output.root, files, committed, unchanged=taken.begun, refuse=_tell_of_unreadable
        )
        with hold_parts(output.root, output.run):
            apply(output.root, output.run, work)
        left = {file.source for file in work.todo}
        self._lookout.settle(finished=[file for file in files if file.source not in left])
        must_tidy = bool(work.reopened or committed.sources_with_failure() & left)
        return RoundWork(work.todo, is_begun=True, must_tidy=must_tidy)

    def _refuse(self, taken: Taken, output: Output) -> tuple[FastaFile, ...]:
        """Dead-letters the files that no output can take, and returns the others."""
        reasons = {
            file.source: reason
            for file, holder in (*taken.refused, *((file, file.source) for file in taken.files))
            if (reason := refusal(file, holder, output.pt))
        }
        too_long = [file for file in taken.files if file.source in reasons]
        self._lookout.settle(refused=too_long)
        # What has failed since counts too: of one file there is one dead letter.
        failed = read_commits(output.root).failed_sources() if reasons else set()
        letters = [
            file_failed(source, *reason)
            for source, reason in reasons.items()
            if source not in failed
        ]
        if letters:
            # A round of its own: the parts of this one are numbered by the graph.
            of_letters = of_round(output, 0)
            write_part(part_name(of_letters.run, 0, 0), letters, of_letters)
        return tuple(file for file in taken.files if file not in too_long)


def _tell_of_unreadable(file: FastaFile, error: ConfigurationError) -> None:
    complain(f"{error} Its vectors stay; it is looked at again when its size or time changes.")

"""What is under way, noted so that a record that kills the process does not do so for ever.

Before each call of the model its sequences are noted on disk, and after it the note is emptied: a
note that is found not empty is of a process that died. Each of its sequences then is a suspect and
goes through the model alone. One that survives this is cleared; one that was alone in a death, and
had been under way in another, is condemned: it is not run any more.

``.under_way/note-*``       what one process has under way, by the SHA-256 of the residues that the
                            model is given, one a line, up to the first empty line
``.under_way/suspect-*``    the deaths of one sequence: a line for each note that named it

It has to survive the death of a process, not of the machine. Object stores have no such notes.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import threading
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import lru_cache
from itertools import takewhile
from typing import BinaryIO

from transforms import storage
from transforms.esm.bisection import Failure
from transforms.esm.device_errors import is_fatal
from transforms.text import counted

logger = logging.getLogger(__name__)

UNDER_WAY = ".under_way"
PROCESS_DIED = "process_died"
"""The ``error_type`` of a condemned record."""

_NOTE, _SUSPECT = "note-", "suspect-"
_ALONE, _WITH_OTHERS = "alone", "with others"
_DIGEST = re.compile(r"[0-9a-f]{64}")

Deaths = dict[str, str]  # the notes that named a sequence, and whether it was alone in them
Suspects = dict[str, Deaths]  # by digest


def digest_of(sequence: str) -> str:
    """Returns the name by which a sequence is noted."""
    return hashlib.sha256(sequence.encode()).hexdigest()


class Notes:
    """Notes what a process has under way, and knows what earlier ones had when they died.

    Several threads may note; all else is for one of them. See :func:`open_notes`.

    Args:
        root: The output root; None where nothing is to be noted.
        run: Name of the run.
    """

    def __init__(self, root: str | None = None, run: str = "") -> None:
        self._folder = None if root is None else storage.join(root, UNDER_WAY)
        self._name = f"{_NOTE}{run}-{uuid.uuid4().hex[:12]}"
        self._note: BinaryIO | None = None
        self._lock = threading.Lock()
        self._noted: list[Sequence[str]] = []
        self._suspects: Suspects = {} if root is None else _read_suspects(root)

    @property
    def is_untried(self) -> bool:
        """Whether something is going to be noted, and nothing has been yet."""
        return self._folder is not None and self._note is None

    def has_suspect(self, sequences: Iterable[str]) -> bool:
        """Tells whether one of some sequences must go through alone."""
        # Others need not wait for it, were it of another shard, or of a file that is gone.
        open_cases = {d for d, deaths in self._suspects.items() if not _is_condemned(deaths)}
        return bool(open_cases) and any(digest_of(each) in open_cases for each in sequences)

    def is_suspect(self, digest: str) -> bool:
        """Tells whether a sequence was under way in a death, and must go through alone."""
        return digest in self._suspects

    def condemned(self, digest: str) -> Failure | None:
        """Returns why a sequence must not be run any more; None if it may."""
        deaths = self._suspects.get(digest, {})
        if not _is_condemned(deaths):
            return None
        times = "twice" if len(deaths) == 2 else f"{len(deaths)} times"
        message = (
            f"the process or its device died {times} with this record under way, in the end with "
            "it alone; --retry_failed tries it again"
        )
        return Failure(PROCESS_DIED, message, attempts=len(deaths))

    @contextmanager
    def noted(self, digests: Sequence[str]) -> Iterator[None]:
        """Notes sequences as under way, until the ``with`` block is left.

        An exception that breaks the device for this process leaves the note, as a death does, and
        what this process does after it is not noted: it fails because of that.
        """
        with self._lock:
            self._noted.append(digests)
            self._write()
        try:
            yield
        except BaseException as error:
            if is_fatal(error):
                self._folder = None
            raise
        finally:
            with self._lock:
                # By identity: two threads may have the same sequences.
                self._noted = [each for each in self._noted if each is not digests]
                self._write()

    def clear(self, digest: str) -> None:
        """Drops the suspicion against a sequence that went through alone."""
        if self._folder is not None and digest in self._suspects:
            del self._suspects[digest]
            storage.delete(storage.join(self._folder, _SUSPECT + digest))

    def _write(self) -> None:
        """Rewrites the note, or gives it up: that it cannot be written is no record's fault."""
        if self._folder is None:
            return
        lines = dict.fromkeys(digest for digests in self._noted for digest in digests)
        text = "".join(f"{digest}\n" for digest in lines) + "\n"
        try:
            if self._note is None:
                self._note = _create(self._folder, self._name)
            # A single call of the system, for every pass pays for it: what is left of a longer
            # text comes after the empty line.
            os.pwrite(self._note.fileno(), text.encode(), 0)
        except OSError as error:
            logger.warning("What is under way cannot be noted (%s)", error.strerror or error)
            self._folder = None


def _create(folder: str, name: str) -> BinaryIO:
    """Opens a new note; not through ``storage``, which replaces files and never rewrites them."""
    with suppress(FileExistsError):
        os.mkdir(folder)  # not its parents: an output that vanished must not come back half empty
    path = os.path.join(folder, name)
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666), "wb", 0)


def open_notes(root: str | None, run: str) -> Notes:
    """Returns the notes of this process, of which there is one for each run on an output.

    Args:
        root: The output root; None, or one that is not local, if nothing is to be noted.
        run: Name of the run.
    """
    if root is None or not storage.is_local(root):
        return Notes()
    return _open_notes(root, run, os.getpid())


@lru_cache(maxsize=8)
def _open_notes(root: str, run: str, pid: int) -> Notes:
    # The process is in the key so that one that was forked gets a note of its own.
    return Notes(root, run)


def count_deaths(root: str, runs: str = "") -> None:
    """Turns the notes of dead processes into suspicions.

    Only for a run that has the output, or its share of it, to itself, before it computes anything.
    A kill in between counts nothing twice: a death is counted under the name of its note.

    Args:
        root: The output root.
        runs: How the names of the runs begin whose notes they are; those of others stay.
    """
    for name, path in _list(root, _NOTE + runs):
        digests = _read_note(path)
        for digest in digests:
            deaths = _read_deaths(storage.join(root, UNDER_WAY, _SUSPECT + digest))
            deaths[name] = _ALONE if len(digests) == 1 else _WITH_OTHERS
            _write_deaths(root, digest, deaths)
        storage.delete(path)
        if digests:
            logger.info("A run died with %s under way.", counted(len(digests), "sequence"))
    suspects = _read_suspects(root)
    if alone := sum(not _is_condemned(deaths) for deaths in suspects.values()):
        logger.info(
            "Embedded alone first, to find out whether one ends the process: %s.",
            counted(alone, "sequence"),
        )


def forget_condemned(root: str) -> None:
    """Gives every condemned sequence a new start, as if it had never been under way in a death.

    Only for a run that has the output to itself, before it counts deaths: the suspects that are
    not condemned yet stay, so that the same command, given again after each death, comes to an
    end.
    """
    for digest, deaths in _read_suspects(root).items():
        if _is_condemned(deaths):
            storage.delete(storage.join(root, UNDER_WAY, _SUSPECT + digest))


def clear_notes(root: str, runs: str = "") -> None:
    """Removes notes: what ends now is no death, but the end of a run or its user's will.

    Args:
        root: The output root.
        runs: How the names of the runs begin whose notes they are; those of others stay.
    """
    for _, path in _list(root, _NOTE + runs):
        storage.delete(path)
    # Another shard may be about to write into it.
    if not runs and storage.is_local(root) and not _list(root):
        storage.delete(storage.join(root, UNDER_WAY))


def _is_condemned(deaths: Deaths) -> bool:
    return len(deaths) > 1 and _ALONE in deaths.values()


def _list(root: str, prefix: str = "") -> list[tuple[str, str]]:
    """Returns names and paths of what is noted in an output; of one that is not local nothing."""
    if not storage.is_local(root):
        return []
    folder = storage.join(root, UNDER_WAY)
    names = (name for name in storage.list_names(folder) if name.startswith(prefix))
    return [(name, storage.join(folder, name)) for name in names]


def _read_note(path: str) -> list[str]:
    lines = storage.read_bytes(path).decode(errors="replace").split("\n")
    return [line for line in takewhile(bool, lines) if _DIGEST.fullmatch(line)]


def _read_suspects(root: str) -> Suspects:
    return {
        name.removeprefix(_SUSPECT): deaths
        for name, path in _list(root, _SUSPECT)
        if (deaths := _read_deaths(path))
    }


def _read_deaths(path: str) -> Deaths:
    try:
        lines = storage.read_bytes(path).decode(errors="replace").splitlines()
    except FileNotFoundError:  # no suspect yet, or cleared at this moment by another process
        return {}
    return {note: how for note, _, how in (line.partition(" ") for line in lines)}


def _write_deaths(root: str, digest: str, deaths: Deaths) -> None:
    data = "".join(f"{note} {how}\n" for note, how in deaths.items()).encode()
    storage.publish(root, f"{UNDER_WAY}/{_SUSPECT}{digest}", lambda handle: handle.write(data))

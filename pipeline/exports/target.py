"""Where an export goes: a local file or folder that appears whole or not at all.

Libraries that write these formats want a local path. They get one in a hidden folder beside the
target; when all is written, counted and synced, what they wrote is renamed. After a kill that
folder, ``.NAME.….partial``, is left and can be deleted.
"""

from __future__ import annotations

import os
import re
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from pipeline.outputs import check_outside, check_utf8, is_within
from transforms import storage
from transforms.errors import ConfigurationError
from transforms.local import sync_all

_MOST_OF_NAME = 100


@dataclass(frozen=True, slots=True)
class Target:
    """Where an export goes.

    Attributes:
        path: Absolute path of the file or folder.
        overwrite: Whether what is there may be replaced.
        contents: Patterns of the files in such a folder, the first of one that is always there;
            nothing for a file.
    """

    path: str
    overwrite: bool
    contents: Sequence[str] = ()

    def check(self) -> None:
        """Makes sure that nothing is there, or only what may be replaced.

        Raises:
            ConfigurationError: Something is there.
        """
        if not storage.exists(self.path):
            return
        if not self.overwrite:
            raise ConfigurationError(
                f"{self.path} is there already. Give another --out, or --overwrite to replace it."
            )
        is_folder = storage.is_directory(self.path)
        if is_folder != bool(self.contents):
            kind = "a folder" if is_folder else "no folder"
            raise ConfigurationError(
                f"{self.path} is {kind}, so no export of this kind. Give another --out."
            )
        if is_folder and (stranger := self._find_stranger()):
            raise ConfigurationError(
                f"{self.path} holds {stranger}, which is no part of an export of this kind, so it "
                "is not replaced. Give another --out."
            )

    def _find_stranger(self) -> str | None:
        """Returns a file that makes the folder another than an export."""
        below = [os.path.relpath(found.url, self.path) for found in storage.match(self.path)]
        strangers = [name for name in below if not re.fullmatch("|".join(self.contents), name)]
        if not any(re.fullmatch(self.contents[0], name) for name in below):
            strangers += below
        return next(iter(strangers), None)


def make_target(out: str, root: str, overwrite: bool, contents: Sequence[str] = ()) -> Target:
    """Returns where an export goes.

    Args:
        out: The path that the user gave.
        root: The output that is exported; the target must not lie in it, nor it in the target.
        overwrite: Whether what is there may be replaced.
        contents: As :class:`Target` has it.

    Raises:
        ConfigurationError: Nothing can be written there.
    """
    target = Target(check_place(out, root), overwrite, contents)
    if is_within(root, target.path):
        raise ConfigurationError(f"--out {out} holds the output itself. Give another one.")
    target.check()
    return target


def check_place(out: str, root: str) -> str:
    """Returns the absolute path of what is written about an output.

    Args:
        out: The path that the user gave.
        root: The output; the path must not lie in it.

    Raises:
        ConfigurationError: Nothing can be written there.
    """
    if not storage.is_local(out):
        raise ConfigurationError(
            f"--out {out} is not on this machine, where these formats are written. Give a local "
            "path, and copy what comes of it with your store's own tool."
        )
    check_utf8("--out", out)
    # Where a link leads to: the link itself stays.
    path = storage.resolve(storage.absolute(out))
    check_outside(path, root, "--out")
    return path


@contextmanager
def staged(target: Target) -> Iterator[str]:
    """Gives a path to write to, which becomes the target unless something is raised.

    Yields:
        A path that is not there yet, in a folder that is.

    Raises:
        ConfigurationError: Something has come to the target meanwhile.
        OSError: It cannot be written.
    """
    parent, name = os.path.split(target.path)
    folder = storage.join(parent, f".{name[:_MOST_OF_NAME]}.{uuid.uuid4().hex[:12]}.partial")
    try:
        storage.check_writable(folder)
        path = storage.join(folder, name)
        yield path
        sync_all([found.url for found in storage.match(path)])
        target.check()
        _replace(target.path, path, f"{folder}.replaced")
        sync_all([parent])
    finally:
        storage.delete(folder)


def _replace(target: str, path: str, aside: str) -> None:
    """Renames, a folder that is in the way first: none can take another's place."""
    if not storage.is_directory(target):
        storage.move(path, target)
        return
    storage.move(target, aside)
    try:
        storage.move(path, target)
    except BaseException:
        storage.move(aside, target)
        raise
    storage.delete(aside)

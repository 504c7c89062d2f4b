"""An output directory: whether a run may go on with it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any

from pipeline.messages.spool import SPOOL
from transforms import storage
from transforms.errors import ConfigurationError
from transforms.naming import PER_FILE, failures_name, pt_name
from transforms.output import commits
from transforms.output.commits import Commits
from transforms.output.holders import RUN
from transforms.output.locks import HeldError, Lock, hold
from transforms.output.reopened import forget_reopened
from transforms.output.sweeping import sweep, sweep_parts

REPORT, FAILURES_LOG = "run_report.json", "extraction_failures.log"

FOLDERS = (commits.EMBEDDINGS, commits.DEAD_LETTERS, commits.COMMITS, commits.PT)
"""Those of an output; what lies in them is taken for a part of it."""

_OF_MODEL = ("model", "revision", "fingerprint", "dim", "layers")

# What a configuration holds, by the option that sets it, or in words where none does.
_NAMES = {
    "format": "the format of the output",
    "dim": "the width of the vectors",
    "layers": "the number of layers",
    "pooling": "the pooling",
    "fingerprint": "--model (its weights or config.json)",
    "model": "--model",
    "revision": "--revision",
    "pt": "--sinks",
}


def read_run_report(root: str) -> Mapping[str, Any]:
    """Returns what the last run that has ended says of itself; empty where none does.

    A run replaces its report as a whole. One that cannot be read as JSON is as good as none: what
    counts are the commits.
    """
    url = storage.join(root, REPORT)
    try:
        report = json.loads(storage.read_bytes(url)) if storage.exists(url) else {}
    except (OSError, ValueError):
        return {}
    return report if isinstance(report, dict) else {}


def check_output(root: str, is_ours: bool) -> None:
    """Makes sure that an output can be written and holds nothing that is not ours.

    Raises:
        ConfigurationError: It cannot, or it does.
    """
    try:
        storage.check_writable(root)
    except FileExistsError as error:
        raise ConfigurationError(
            f"--output {root} is a file, and it has to be a folder. Give another one."
        ) from error
    except OSError as error:
        raise ConfigurationError(
            f"Cannot write to {root} ({error.strerror or error}). Give another --output."
        ) from error
    if is_ours:
        return
    for folder in FOLDERS:
        if storage.list_names(url := storage.join(root, folder)):
            raise ConfigurationError(f"{url} holds files of something else. Give another --output.")


def check_utf8(option: str, *values: str) -> None:
    """Makes sure that what a user gave can be a name, or part of one, in any file.

    Raises:
        ConfigurationError: It holds bytes that are no UTF-8.
    """
    for value in values:
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise ConfigurationError(f"{option} {value!r} is not UTF-8.") from error


def check_outside(path: str, root: str, option: str) -> None:
    """Makes sure that what another program is to read is not put among the files of an output.

    Args:
        path: What is to be written, absolute.
        root: The output root, or a folder of it.
        option: The option that names the path.

    Raises:
        ConfigurationError: It lies there.
    """
    if is_within(path, root):
        raise ConfigurationError(
            f"{option} {path} lies in the output itself, where only runs write. Give one beside it."
        )


def is_within(path: str, folder: str) -> bool:
    """Tells whether a path is a folder or lies in it, links looked through."""
    place, around = (storage.join(storage.resolve(each), "") for each in (path, folder))
    return place.startswith(around)


def lock_output(root: str, run: str, held: ExitStack, name: str = RUN) -> Lock:
    """Keeps other runs out of an output, or a share of it, until ``held`` is closed.

    Raises:
        ConfigurationError: Another run is at work in it.
        OSError: The lock cannot be written.
    """
    try:
        return held.enter_context(hold(root, run, name))
    except HeldError as error:
        raise ConfigurationError(
            f"Another run is at work in {root} ({error}). Wait for it, or give another --output."
        ) from error


def check_same(root: str, held: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    """Makes sure that an output goes on as it was begun.

    Raises:
        ConfigurationError: It was made with another configuration; the difference is named.
    """
    # Another format is refused by whoever reads what is held.
    differing = [n for n in wanted if n != "format" and held.get(n) != wanted[n]]
    # What else there is to say of another model follows from its being another, and the same
    # weights under another name are the same model.
    is_another = "fingerprint" in differing
    implied = _OF_MODEL if is_another else ("model", "revision")
    differing = [name for name in differing if name not in implied]
    if is_another:
        differing.insert(0, "fingerprint" if held.get("model") == wanted["model"] else "model")
    if differing:
        differences = "; ".join(
            f"{_NAMES.get(name, f'--{name}')} was {_shown(name, held.get(name))}, "
            f"now {_shown(name, wanted[name])}"
            for name in differing
        )
        raise ConfigurationError(
            f"{root} was made with another configuration: {differences}. Use the old one, give "
            "another --output, or --overwrite to delete what is there."
        )


def _shown(name: str, value: object) -> str:
    if name == "pt":
        return "parquet,pt" if value else "parquet"
    return str(value)[:12] if name == "fingerprint" else str(value)


def check_whole(root: str, committed: Commits) -> None:
    """Makes sure that the files of all committed parts are there.

    Raises:
        ConfigurationError: One is missing; it is named.
    """
    parts = committed.parts.values()
    for folder, named in (
        (commits.EMBEDDINGS, {part.embeddings for part in parts}),
        (commits.DEAD_LETTERS, {part.dead_letters for part in parts}),
    ):
        there = storage.list_names(storage.join(root, folder))
        if missing := sorted(filter(None, named.difference(there))):
            raise ConfigurationError(
                f"{storage.join(root, folder, missing[0])} was committed and is gone"
                f"{f', as are {len(missing) - 1:,} more' if missing[1:] else ''}. Put it back, "
                "give another --output, or --overwrite to begin anew."
            )


def delete_output(root: str) -> None:
    """Deletes what earlier runs committed, and nothing else.

    At no moment does a file count as finished whose rows are gone. What binds the output stays
    until it is replaced. So an interrupted deletion can be repeated, and a run that goes on
    instead uses what is left.
    """
    for name in (*_list_per_file(root), REPORT, FAILURES_LOG):
        storage.delete(storage.join(root, name))
    folder = storage.join(root, commits.COMMITS)
    for kind in ("files-", "part-"):
        for name in storage.list_names(folder):
            if name.startswith(kind):
                storage.delete(storage.join(folder, name))
    sweep(root)
    forget_reopened(root)
    # Else messages would be known as done whose rows are gone.
    storage.delete(storage.join(root, SPOOL))


def _list_per_file(root: str) -> list[str]:
    """Returns the paths, below an output, of what is written for each file of its own."""
    try:
        sweep_parts(root)  # after a kill in between, what was replaced would count again
        committed = commits.read_commits(root)
    except ConfigurationError:  # damaged, which may be why all is to begin anew
        below = storage.join(root, "")
        found = (each.url.removeprefix(below) for each in storage.match(f"{below}{commits.PT}/"))
        return [name for name in found if name.endswith(PER_FILE)]
    return [
        name(source)
        for source in committed.by_source().keys() | committed.files.keys()
        for name in (pt_name, failures_name)
    ]

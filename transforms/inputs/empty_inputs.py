"""Why an input matches nothing, and what to give instead."""

from __future__ import annotations

from transforms import storage
from transforms.output.configuration import has_configuration
from transforms.text import nearest


def explain_empty(pattern: str, passed_over: int = 0) -> str:
    """Returns the reason and the fix, without a stop at the end.

    Args:
        pattern: A file, a glob or a folder that matches no FASTA file.
        passed_over: How many files there are that have no FASTA name.
    """
    url = storage.absolute(pattern).rstrip("/")
    if has_configuration(url):
        return "it is the output of a run: give the FASTA files that it was made from"
    if passed_over:
        return (
            f"none of the {passed_over:,} files in it has a name such as x.faa: rename what is "
            f"FASTA, or give '{pattern.rstrip('/')}/*', which takes any name"
        )
    if not storage.is_local(url):
        return "there is nothing of that name: check its spelling, and that you may read it"
    if storage.is_directory(url):
        return "it is an empty folder"
    if storage.exists(url):
        return "it is no regular file: give one"
    return _explain_missing(url)


def _explain_missing(url: str) -> str:
    folder, _, name = url.rpartition("/")
    if not storage.is_directory(folder or "/"):
        return f"there is no folder {folder}: check its spelling"
    meant = nearest(name, storage.list_names(folder))
    hint = f"did you mean {meant}?" if meant else "check its spelling"
    return f"nothing in {folder or '/'} matches it: {hint}"

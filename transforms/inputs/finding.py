"""Which FASTA files there are, and where they lie below the input root."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any

import apache_beam as beam

from transforms import storage
from transforms.coders import PlainCoder
from transforms.errors import ConfigurationError
from transforms.inputs.empty_inputs import explain_empty
from transforms.naming import is_fasta_name

_WILDCARD = re.compile(r"[*?[]")


@dataclass(frozen=True, slots=True)
class FastaFile:
    """A file to be read.

    Attributes:
        url: Where it is.
        source: Its path below the input root, with ``/``; this names it in all output.
        size: Its bytes.
        mtime: When it was last changed, seconds since the epoch.
        sha256: Its version, of which records are committed that still count; empty without any.
        complete: When it was complete, as far as is known, seconds since the epoch: now, when it is
            found, unless a watch knows better.
    """

    url: str
    source: str
    size: int
    mtime: float
    sha256: str = ""
    complete: float = field(default_factory=time.time, compare=False)


values_of = attrgetter(*FastaFile.__slots__)
"""Returns the values of a file, plain and in the order in which it takes them."""


class FastaFileCoder(PlainCoder):
    """Writes a file as its values."""

    kind = FastaFile

    def to_plain(self, value: FastaFile) -> tuple[Any, ...]:
        """Returns the values of a file."""
        return values_of(value)

    def from_plain(self, values: tuple[Any, ...]) -> FastaFile:
        """Returns the file that has them."""
        return FastaFile(*values)


beam.coders.registry.register_coder(FastaFile, FastaFileCoder)


@dataclass(frozen=True, slots=True)
class Listing:
    """What the input patterns match.

    Attributes:
        root: The input root, without a slash at its end.
        files: The files, those of one pattern sorted by URL, in the order of the patterns.
        passed_over: How many files in folders have no FASTA name and were not taken.
        first_passed_over: The first of them by URL; empty for none.
        unnamed: Why other files were not taken: no output can name them.
    """

    root: str
    files: tuple[FastaFile, ...]
    passed_over: int
    unnamed: tuple[str, ...] = ()
    first_passed_over: str = ""


@dataclass
class FindFasta(beam.PTransform):  # type: ignore[misc]
    """Begins a pipeline with FASTA files: the output is a PCollection of FastaFile.

    Attributes:
        files: The files, e.g. those of :func:`find_fasta`.
    """

    files: Sequence[FastaFile]

    @classmethod
    def matching(cls, *patterns: str) -> FindFasta:
        """Returns the transform for what the patterns match now."""
        return cls(find_fasta(patterns).files)

    def expand(self, begin: beam.pvalue.PBegin) -> beam.PCollection[FastaFile]:
        """Returns the files, in order."""
        # Without a Reshuffle they keep their order; the keyed steps spread the work.
        return begin | beam.Create(self.files, reshuffle=False).with_output_types(FastaFile)


@dataclass(frozen=True, slots=True)
class _Pattern:
    """A pattern, taken apart: what it matches and the folder that its matches lie in."""

    text: str
    folder: str
    taken: tuple[storage.Found, ...]
    passed_over: tuple[storage.Found, ...] = ()


def find_fasta(
    patterns: Sequence[str],
    root: str | None = None,
    are_coming: bool = False,
    is_bound: bool = False,
) -> Listing:
    """Lists the files that patterns match.

    Args:
        patterns: Files, globs (``*``, ``?``, ``[``) and folders, which are searched to their
            bottom for names like ``x.faa`` and ``x.fasta.gz``. Other patterns take any name.
        root: The input root; by default the folder without wildcards that the patterns have
            in common.
        are_coming: Whether files are still to come: then a pattern may match nothing, and a file
            that cannot be named is passed over.
        is_bound: Whether an output is bound to the input root, so that no other can be given.

    Raises:
        ConfigurationError: A pattern is empty or matches nothing, or a file does not lie below
            the input root, or its name is not UTF-8.
    """
    if not patterns or not all(isinstance(text, str) and text for text in patterns):
        raise ConfigurationError("an input must be a file, a glob or a folder, not an empty text")
    matched = [_match(text) for text in patterns]
    if not are_coming:
        _refuse_empty(matched)
    root = _common_folder(matched) if root is None else storage.absolute(root)
    root = root.rstrip("/")
    _refuse_strangers(matched, root)
    taken = {found.url: found for pattern in matched for found in pattern.taken}
    passed_over = {found.url for pattern in matched for found in pattern.passed_over}
    files: list[FastaFile] = []
    unnamed: list[str] = []
    for found in taken.values():
        try:
            source = _source(found.url, root, is_bound)
        except ConfigurationError as error:
            if not are_coming:
                raise
            unnamed.append(str(error))
        else:
            files.append(FastaFile(found.url, source, found.size, found.mtime))
    passed_over -= taken.keys()
    return Listing(
        root or "/",
        tuple(files),
        len(passed_over),
        unnamed=tuple(unnamed),
        first_passed_over=min(passed_over, default=""),
    )


def _match(text: str) -> _Pattern:
    try:
        return _take_apart(text)
    except OSError as error:
        raise ConfigurationError(
            f"the input {text!r} cannot be looked up: {error.filename or ''}: "
            f"{error.strerror or error}. Make it readable, or give patterns that leave it out."
        ) from error


def _take_apart(text: str) -> _Pattern:
    url = storage.absolute(text)
    is_there = storage.exists(url) or ("[" in url and storage.is_directory(url))
    wildcard = None if is_there else _WILDCARD.search(url)
    if wildcard is not None:
        pattern = f"{url}**" if url.endswith("/") else url  # below each such folder
        return _Pattern(text, _folder_of(url[: wildcard.start()]), tuple(storage.match(pattern)))
    if not storage.is_directory(url):
        taken = tuple(storage.match(url))
        # What is not there yet is taken for a folder, unless it has the name of a file.
        is_file = taken or (is_fasta_name(url) and not text.endswith("/"))
        return _Pattern(text, _folder_of(url) if is_file else url.rstrip("/"), taken)
    below = storage.match(url.rstrip("/") + "/")
    taken = tuple(found for found in below if is_fasta_name(found.url))
    passed_over = tuple(found for found in below if not is_fasta_name(found.url))
    return _Pattern(text, url.rstrip("/"), taken, passed_over)


def _folder_of(url: str) -> str:
    return url.rpartition("/")[0]


def _refuse_empty(matched: Iterable[_Pattern]) -> None:
    reasons = [
        f"{pattern.text!r} ({explain_empty(pattern.text, len(pattern.passed_over))})"
        for pattern in matched
        if not pattern.taken
    ]
    if reasons:
        raise ConfigurationError(f"no file matches the input {'; '.join(reasons)}")


def _refuse_strangers(matched: Iterable[_Pattern], root: str) -> None:
    for pattern in matched:
        folder = pattern.folder + "/"
        if not pattern.taken and not (
            folder.startswith(root + "/") or f"{root}/".startswith(folder)
        ):
            raise ConfigurationError(
                f"what {pattern.text!r} will match cannot lie below the input root {root or '/'}: "
                "give another pattern, or another --output"
            )


def _common_folder(matched: Iterable[_Pattern]) -> str:
    paths = [pattern.folder.split("/") for pattern in matched]
    shared = []
    for names in zip(*paths, strict=False):
        if len(set(names)) > 1:
            break
        shared.append(names[0])
    folder = "/".join(shared)
    if not shared or folder.endswith(":/"):
        raise ConfigurationError(
            "the inputs have no folder in common: give those of each file system in a run of "
            "their own"
        )
    return folder


def _source(url: str, root: str, is_bound: bool) -> str:
    prefix = root + "/"
    if not url.startswith(prefix):
        advice = "give an --input_root that it lies below, or another --output"
        if is_bound:
            advice = (
                "an output keeps the input root of its first run, so copy the file below it, or "
                "give another --output"
            )
        raise ConfigurationError(f"{url} does not lie below the input root {root or '/'}: {advice}")
    source = url.removeprefix(prefix)
    try:
        url.encode()
    except UnicodeEncodeError as error:
        raise ConfigurationError(
            f"the path {url!r} is not UTF-8, so no output can name it: rename it"
        ) from error
    return source

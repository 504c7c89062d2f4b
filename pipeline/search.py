"""``python -m pipeline.search OUT --query my.faa``: finds the nearest proteins of an output."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NoReturn

from pipeline.option_groups.values import positive
from pipeline.terminal import EXIT_DEAD_LETTERS, EXIT_OK, say_all, say_aside
from pipeline.verbs import run_verb, verb_parser

if TYPE_CHECKING:
    from transforms.items import DeadLetter

DESCRIPTION = """\
Finds the proteins of an output that are nearest to others, by the cosine of their vectors. What is
in a --query is embedded by the model of the output; an --id of the output needs no model. Every
committed row is looked at, in little memory; nothing is changed, and a run may be at work.
"""

EPILOG = """\
Exit codes: 0 all were searched with; 3 some records of the query could not be embedded, which are
told on stderr; 2 it cannot be searched as asked (the message says why); 1 it failed on the way.
"""


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Searches an output and exits with the code that tells."""
    run_verb(make_parser(), run, argv)


def run(options: argparse.Namespace) -> int:
    """Searches an output, writes what was found, and returns the exit code."""
    from pipeline.searching.hits import as_json, as_tsv, tell_homonyms
    from pipeline.searching.nearest import search_output
    from pipeline.searching.queries import SearchConfig
    from transforms.text import counted

    config = SearchConfig(
        options.output,
        tuple(options.query or ()),
        tuple(options.id or ()),
        options.source,
        options.top,
        options.model,
        options.device,
        options.dtype,
    )
    _check_options(options)
    found = search_output(config)
    _write((as_json if options.json else as_tsv)(found.hits), options.out)
    for letter in found.failures:
        say_aside(f"failed: {_describe(letter)}")
    for sentence in tell_homonyms(found.proteins):
        say_aside(sentence)
    queries = counted(len(found.proteins), "protein") or "nothing"
    told = f"searched with {queries} among {found.rows:,} in {found.seconds:.2f} s"
    say_aside(told)
    return EXIT_DEAD_LETTERS if found.failures else EXIT_OK


def _check_options(options: argparse.Namespace) -> None:
    from pipeline.outputs import check_outside, check_utf8
    from transforms import storage
    from transforms.errors import ConfigurationError

    check_utf8("--id", *(options.id or ()))
    if options.out is not None:
        check_outside(storage.absolute(options.out), storage.absolute(options.output), "--out")
    of_model = (options.model, options.dtype, options.device != "auto")
    if options.id and any(of_model):
        raise ConfigurationError(
            "--model, --device and --dtype are for a --query, which is embedded. Leave them out."
        )
    if options.source is not None and not options.id:
        raise ConfigurationError("--source tells in which file an --id is. Leave it out.")
    if options.out is not None and storage.is_local(options.out):
        path = storage.absolute(options.out)
        if storage.is_directory(path):
            raise ConfigurationError(f"--out {options.out} is a folder. Give a file in it.")
        folder = os.path.dirname(path)
        if not storage.is_directory(folder):
            raise ConfigurationError(f"--out {options.out}: there is no folder {folder}. Make it.")


def _write(lines: Iterable[str], out: str | None) -> None:
    from transforms import storage

    if out is not None:
        text = "".join(f"{line}\n" for line in lines)
        storage.overwrite(storage.absolute(out), text.encode())
        return
    say_all(lines)


def _describe(letter: DeadLetter) -> str:
    """Returns file, record and reason of a failure."""
    from pipeline.failures import MOST_SHOWN, name_failed
    from transforms.text import printable

    record = "" if letter.ordinal is None else f", record {letter.ordinal + 1:,}"
    message = printable(letter.message, MOST_SHOWN)
    named = name_failed(letter.source, letter.ordinal, letter.id)
    return f"{named}{record}: {message} ({letter.error_type})"


def make_parser() -> argparse.ArgumentParser:
    """Returns the parser of the command."""
    parser = verb_parser("search", DESCRIPTION, EPILOG)
    parser.add_argument("output", metavar="OUT", help="the --output of a run")
    with_what = parser.add_mutually_exclusive_group(required=True)
    with_what.add_argument(
        "--query",
        action="append",
        metavar="PATTERN",
        help="FASTA file, glob or folder to search with; may be given several times",
    )
    with_what.add_argument(
        "--id",
        action="append",
        metavar="ID",
        help="a protein of the output to search with, by id or accession; it is not among its own "
        "neighbours; may be given several times",
    )
    add = parser.add_argument
    add("--source", metavar="FILE", help="the input file in which --id is (default: any)")
    add(
        "--top",
        type=positive,
        default=10,
        metavar="N",
        help="neighbours of each (default: %(default)s)",
    )
    add("--json", action="store_true", help="a JSON object a line, in place of TSV")
    add("--out", metavar="FILE", help="where it is written (default: stdout)")
    add("--model", metavar="NAME", help="where the model is now, if not where it was")
    add("--device", default="auto", metavar="DEVICE", help="auto, cpu, cuda, cuda:N or mps")
    add(
        "--dtype",
        choices=("float16", "bfloat16", "float32"),
        help="precision of the model for a --query (default: that of the output)",
    )
    return parser


if __name__ == "__main__":
    main()

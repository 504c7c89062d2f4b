"""``python -m pipeline.export OUT --to h5 --out PATH``: the rows of an output in another format."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Sequence
from typing import NoReturn

from pipeline.exports.formats import FORMATS, KEYS
from pipeline.terminal import EXIT_FAILED, EXIT_OK, complain, say, say_aside
from pipeline.verbs import run_verb, verb_parser

DESCRIPTION = """\
Writes all rows of an output in the format of another tool. Only reads the output; what is written
appears whole or not at all, and has as many rows as are committed.

  h5       HDF5, one dataset for each protein, as ProtSpace and UniProt lay it out
  npz      NumPy: embeddings (n, D), ids, sources, ordinals
  csv      a line for each row: id, accession, source, ordinal, length, sequence's SHA-256, values
  pt       one _ESM.pt of all files, {'proteins': [ids], 'data': [tensors (D,)]}
  anndata  .h5ad for scanpy: X, the columns in obs, provenance in uns
  hf       a folder with Parquet and a card, a dataset of Hugging Face
  lance    a Lance dataset, a folder with all columns
"""

EPILOG = """\
Exit codes: 0 written; 1 it failed on the way, and nothing was left; 2 it cannot be done as asked,
the message says what to change. docs/exporting.md says how each format is read.
"""

_NOTHING = "Nothing was written."


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Exports an output and exits with the code that tells."""
    before = signal.signal(signal.SIGTERM, _stop)
    try:
        run_verb(make_parser(), run, argv, stopped=f"Stopped. {_NOTHING}", then=_NOTHING)
    finally:
        signal.signal(signal.SIGTERM, before)


def _stop(number: int, frame: object) -> NoReturn:
    sys.exit(128 + number)  # so that what is half written is removed


def run(options: argparse.Namespace) -> int:
    """Exports an output, tells a person about it, and returns the exit code."""
    from pipeline.exports.exporting import ExportConfig, export
    from transforms.text import printable

    def tell(text: str) -> None:
        say_aside(f"note: {printable(text)}")

    try:
        said = export(ExportConfig(**vars(options)), tell)
    except FileNotFoundError as error:
        replaced = (
            "A run or a compaction may have replaced it meanwhile: give the same command again."
        )
        complain(str(error), f"{replaced} {_NOTHING}")
        return EXIT_FAILED
    say(said)
    return EXIT_OK


def make_parser() -> argparse.ArgumentParser:
    """Returns the parser of the command."""
    parser = verb_parser("export", DESCRIPTION, EPILOG)
    add = parser.add_argument
    add("output", metavar="OUT", help="the --output of a run")
    add("--to", required=True, choices=FORMATS, help="the format")
    add("--out", required=True, metavar="PATH", help="what to write, on this machine")
    add(
        "--key",
        choices=KEYS,
        help="what names a row in h5, npz, pt and anndata: its id; its accession, or the id where "
        "none is known; or file:place, which no two rows share (default: id)",
    )
    add(
        "--replace_slash",
        metavar="TEXT",
        help="put this in place of each / in keys, which HDF5 cannot have",
    )
    add("--license", metavar="ID", help="what the card of hf names, e.g. cc-by-4.0")
    add("--overwrite", action="store_true", help="replace an export that is there")
    return parser


if __name__ == "__main__":
    main()

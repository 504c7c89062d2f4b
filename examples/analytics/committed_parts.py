"""Which Parquet files of an output count. Needs Python alone: copy it to where you read.

The folder ``embeddings/`` is not the answer. A run that was killed leaves files there that no
commit names, and while small parts are merged the old ones lie beside the new one: whoever takes
all files reads rows that do not count, or a row twice. What counts is written in ``commits/``.

    python examples/analytics/committed_parts.py out
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any


def committed_parts(output: str) -> list[str]:
    """Returns the Parquet files of an output that count, sorted by name; each has rows.

    Raises:
        argparse.ArgumentTypeError: There are none, so that argparse says it and exits with 2.
    """
    records = _read_records(Path(output, "commits"))
    replaced = {name for record in records for name in record.get("replaces", ())}
    counting = [record for record in records if record["part"] not in replaced]
    # A part of dead letters alone has no rows.
    names = sorted(record["embeddings"] for record in counting if record["embeddings"])
    if not names:
        raise argparse.ArgumentTypeError(
            f"{output} holds no committed row. Give the --output of a run that has embedded some."
        )
    return [str(Path(output, "embeddings", name)) for name in names]


def _read_records(folder: Path) -> list[dict[str, Any]]:
    # A run or a merge may be at work: what two listings agree on was there between them.
    while True:
        names = sorted(folder.glob("part-*.json"))
        try:
            records = [json.loads(name.read_bytes()) for name in names]
        except FileNotFoundError:
            continue
        if names == sorted(folder.glob("part-*.json")):
            return records


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Prints the Parquet files that count.")
    parser.add_argument("parts", metavar="OUTPUT", type=committed_parts)
    print(*parser.parse_args().parts, sep="\n")

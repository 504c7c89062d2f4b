"""A GPU that is lent for minutes: every program in one process, slow ones on fewer records.

``peers`` starts a process for each program and round, which with a large model takes longer than
the measuring. Here each is loaded once, runs once on each input, and the result is written after
each, so that what has been measured is not lost with the machine. Without a GPU:
``--device cpu --shape toy --share 0.001``.
"""

from __future__ import annotations

import argparse
import gc
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.ceiling import measure_ceiling, measure_sustained
from benchmarks.entries import ENTRIES, OURS, REFERENCE
from benchmarks.keeping import Kept
from benchmarks.measure import in_a_line, time_run
from benchmarks.mixes import MIXES, choose_warm_up, write_fasta
from benchmarks.peer import Passes, Setting, Vectors
from benchmarks.quality import compare
from benchmarks.settings import add_fastplms, add_settings, make_setting
from benchmarks.summary import add_ratios, describe_input, summarise
from benchmarks.table import COLUMNS, SUSTAINED, describe_run, format_rows
from benchmarks.weights import SHAPES

# What each is measured on, as a share of the records: about ten seconds of a fast GPU.
_PLAN: tuple[tuple[str, int | None, float], ...] = (
    (OURS, None, 1),
    ("ours-handler", None, 0.5),
    ("script", None, 0.075),
    ("fastplms-tuned", 16_384, 0.075),
    ("fastplms-default", None, 0.02),
    ("transformers-padded", 16_384, 0.075),
    ("fastplms-tuned", 65_536, 0.075),
    ("fair-esm", 16_384, 0.075),
)
_RECORDS = {"large": 19_789, "short": 40_000}
_REFERENCES = 50
_COLUMNS = {name: tell for name, tell in COLUMNS.items() if name != "rounds apart"} | SUSTAINED


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options of this benchmark."""
    add_settings(parser, shape="650M", device="cuda")
    parser.add_argument("--share", type=float, default=1.0, help="of the records (%(default)s)")
    add_fastplms(parser)


def run(options: argparse.Namespace, kept: Kept) -> int:
    """Measures, and writes what there is after each program."""
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="device-") as folder:
        setting = make_setting(options, Path(folder))
        ceilings = {"ceiling": [measure_ceiling(setting.device, setting.dtype, setting.threads)]}
        if setting.device == "cuda":
            ceilings["sustained"] = [measure_sustained(setting.dtype)]
        inputs = {mix: MIXES[mix](_count(mix, options.share)) for mix in MIXES}
        references = {mix: _embed_references(setting, drawn) for mix, drawn in inputs.items()}
        ours: dict[str, dict[str, Any]] = {}
        for entry, budget, share in _PLAN:
            share *= options.share
            some = {mix: drawn[: _count(mix, share)] for mix, drawn in inputs.items()}
            for row in _measure(entry, replace(setting, budget=budget), some, references):
                if "input" in row:
                    facts = describe_input(some[row["input"]], SHAPES[options.shape], ceilings)
                    row |= {"records": facts["records"], "summary": summarise([row["run"]], facts)}
                    if entry == OURS:
                        ours[row["input"]] = row["summary"]
                    add_ratios(row["summary"], ours.get(row["input"]))
                rows.append(row)
                result = kept.keep({"dtype": setting.dtype, "ceilings": ceilings, "rows": rows})
                print(_table([row]).splitlines()[-1], file=sys.stderr, flush=True)
    print(describe_run(result), _table(rows), sep="\n\n")
    return 0


def _table(rows: Sequence[Mapping[str, Any]]) -> str:
    return format_rows(rows, _COLUMNS, ("input", "records"))


def _count(mix: str, share: float) -> int:
    return max(_REFERENCES, round(_RECORDS[mix] * share))


def _embed_references(setting: Setting, sequences: Sequence[str]) -> Vectors:
    """Returns float32 vectors of the first records."""
    fasta = write_fasta(setting.work / "references.fasta", sequences[:_REFERENCES])
    reference = ENTRIES[REFERENCE].load(replace(setting, dtype="float32", passes=Passes()))
    return reference.collect(reference.embed(fasta))


def _measure(
    entry: str,
    setting: Setting,
    inputs: Mapping[str, Sequence[str]],
    references: Mapping[str, Vectors],
) -> Iterator[dict[str, Any]]:
    """Yields what was measured of an entry on each input, or why it was not."""
    from transforms.esm.loaded import MODELS

    row = {"entry": entry, "budget": setting.budget, "versions": {}, "failure": None}
    setting = replace(setting, passes=Passes())
    try:
        peer = ENTRIES[entry].load(setting)
        for mix, sequences in inputs.items():
            warm_up = write_fasta(setting.work / "warm_up.fasta", choose_warm_up(sequences))
            fasta = write_fasta(setting.work / f"{mix}.fasta", sequences)
            MODELS.forget()  # as if it were the first run of its process
            measured, vectors = time_run(peer, setting, fasta, warm_up)
            yield row | {"input": mix, "run": measured | compare(vectors, references[mix])}
            del vectors
    except Exception as error:
        yield row | {"failure": in_a_line(error)}
    gc.collect()
    if setting.device == "cuda":
        import torch

        torch.cuda.empty_cache()

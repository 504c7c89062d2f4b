"""How long a search takes, and whether it finds what brute force does.

Writes an output of random vectors that are as near to each other as those of a model, and another
one, as wide as the demo model, to search with FASTA. It measures, with all files in the page cache,
the search alone, for one protein and for all; the same by brute force, which reads all vectors into
one array; FASTA in, neighbours out, in a process that has loaded the model; and the whole command,
from the start of Python to its end. Exit code 1: a query has other neighbours than by brute force.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.dataset as ds

from benchmarks.commands.memory import watch
from benchmarks.keeping import Kept
from benchmarks.mixes import REPO
from pipeline.opening import make_configuration
from pipeline.option_groups.values import positive
from pipeline.options import RunConfig
from pipeline.searching.nearest import Found, search_output, search_rows
from pipeline.searching.queries import Queries, Query, SearchConfig
from transforms.esm.checkpoints import find_checkpoint
from transforms.filling import PART_RECORDS
from transforms.items import EmbeddingBlock, Protein
from transforms.output.commits import Output, read_commits
from transforms.output.configuration import write_configuration
from transforms.output.neighbours import DECIMALS
from transforms.output.parquet import to_matrix
from transforms.output.parts import part_name, write_part

SPREAD = 0.3  # of the values of a vector, around those of the centre of all
SEQUENCE = "MKTAYIAKQRQISFVKSHFSRQLEERLGLIEVQAPILSRVGDGTQDNLSGAEKAVQVKVK"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options of this benchmark."""
    add = parser.add_argument
    add("--rows", type=positive, default=20_000, help="of the output (%(default)s)")
    add("--dim", type=positive, default=1280, help="of its vectors (%(default)s)")
    add("--queries", type=positive, default=100, help="searched with (%(default)s)")
    add("--top", type=positive, default=10, help="neighbours of each (%(default)s)")
    add("--rounds", type=positive, default=5, help="times each is measured (%(default)s)")


def run(options: argparse.Namespace, kept: Kept) -> int:
    """Measures and prints."""
    if options.queries > options.rows:
        print("Each of the --queries is near a row of its own: give as many --rows.")
        return 2
    with tempfile.TemporaryDirectory(prefix="search-") as folder:
        result = measure(options, Path(folder))
    kept.keep(result)
    print(json.dumps(result, indent=1))
    return int(result["agreeing"] != options.queries)


def measure(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Returns times, the median of all rounds, and how many queries agree."""
    wide, narrow = folder / "wide", folder / "narrow"
    write_output(wide, options.rows, options.dim)
    write_output(narrow, options.rows, find_checkpoint("demo").hidden_size)
    (folder / "query.faa").write_text(f">query\n{SEQUENCE}\n")
    rng = np.random.default_rng(1)
    noise = 0.1 * SPREAD * rng.standard_normal((options.queries, options.dim), np.float32)
    vectors = read_all(wide)[1][: options.queries] + noise
    proteins = tuple(Query(f"q{number}", "q.faa", number) for number in range(len(vectors)))
    committed = read_commits(str(wide))

    def search(count: int) -> Found:
        queries = Queries(proteins[:count], vectors[:count])
        return search_rows(str(wide), options.top, queries, committed)

    one, _ = timed(lambda: search(1), options.rounds)
    every, found = timed(lambda: search(options.queries), options.rounds)
    brute, expected = timed(lambda: brute_force(wide, vectors, options.top), options.rounds)
    ordinals = np.array([hit.ordinal for hit in found.hits]).reshape(options.queries, -1)
    command = [sys.executable, "-m", "pipeline.search"]
    by_id = [*command, str(wide), "--id", "protein_0"]
    by_fasta = [*command, str(narrow), "--query", str(folder / "query.faa")]
    fasta = SearchConfig(str(narrow), queries=(str(folder / "query.faa"),), top=options.top)
    return {
        "agreeing": int((ordinals == expected).all(axis=1).sum()),
        "search_one": one,
        "embed_and_search_one_demo": timed(lambda: search_output(fasta), options.rounds)[0],
        "search_all": every,
        "brute_force_all": brute,
        "ratio_brute_force_to_search": round(brute["wall_s"] / every["wall_s"], 2),
        "command_by_id": timed(lambda: run_command(by_id), options.rounds)[0],
        "command_by_fasta_demo": timed(lambda: run_command(by_fasta), options.rounds)[0],
        "command_by_id_peak_mb": round(peak_of(by_id), 1),
    }


def timed(call: Callable[[], Any], rounds: int) -> tuple[dict[str, float], Any]:
    """Returns the median times of some calls, one before not counted, and what comes of them."""
    wall, cpu = [], []
    came = call()
    for _ in range(rounds):
        # Processor time too, of child processes as well: it counts where others use the machine.
        before, started = sum(os.times()[:4]), time.perf_counter()
        came = call()
        wall.append(time.perf_counter() - started)
        cpu.append(sum(os.times()[:4]) - before)
    return {
        "wall_s": round(statistics.median(wall), 6),
        "cpu_s": round(statistics.median(cpu), 3),
    }, came


def run_command(command: list[str]) -> None:
    """Runs a command from its start to its end."""
    subprocess.run(command, cwd=REPO, check=True, capture_output=True)


def peak_of(command: list[str]) -> float:
    """Runs a command and returns its peak memory in MB."""
    process = subprocess.Popen(
        command, cwd=REPO, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    return watch(process).largest


def write_output(root: Path, rows: int, dim: int) -> None:
    """Writes an output of the demo model, whatever the width, whose vectors are random."""
    root.mkdir()
    config = RunConfig((), str(root))
    configuration = make_configuration(config, "/", find_checkpoint("demo"), "float32")
    configuration |= {"dim": dim}
    write_configuration(str(root), configuration)
    output = Output(str(root), "run", "demo", "demo-1", tuple(configuration.items()), pt=False)
    rng = np.random.default_rng(0)
    centre = rng.standard_normal(dim, np.float32)
    for number, start in enumerate(range(0, rows, PART_RECORDS)):
        count = min(PART_RECORDS, rows - start)
        vectors = centre + SPREAD * rng.standard_normal((count, dim), np.float32)
        proteins = tuple(make_protein(start + row) for row in range(count))
        name = part_name(output.run, 0, number)
        write_part(name, [EmbeddingBlock(proteins, vectors)], output)


def make_protein(ordinal: int) -> Protein:
    """Returns a record as the residue policy leaves it."""
    return Protein(
        source="random.faa",
        ordinal=ordinal,
        id=f"protein_{ordinal}",
        description="of a benchmark",
        sequence=SEQUENCE,
        file_sha256="0" * 64,
        sequence_sha256="0" * 64,
        residues_used=len(SEQUENCE),
    )


def read_all(root: Path) -> tuple[np.ndarray, np.ndarray]:
    """Returns ordinals, (n,), and all vectors in one array, (n, D)."""
    columns = ["ordinal", "embedding"]
    table = ds.dataset(root / "embeddings", format="parquet").to_table(columns=columns)
    return table.column("ordinal").to_numpy(), to_matrix(table.column("embedding"))


def brute_force(root: Path, queries: np.ndarray, top: int) -> np.ndarray:
    """Returns the ordinals of the nearest rows to each vector, by all cosines in float64."""
    ordinals, vectors = read_all(root)
    left, right = (each.astype(np.float64) for each in (queries, vectors))
    left /= np.linalg.norm(left, axis=1, keepdims=True)
    right /= np.linalg.norm(right, axis=1, keepdims=True)
    cosines = np.round(left @ right.T, DECIMALS)
    return np.stack([ordinals[np.lexsort((ordinals, -row))[:top]] for row in cosines])

"""A run of millions of proteins without a model: batches, keys, state, shuffle, parts.

Draws lengths as they are in a file of natural proteins and sends them through the arithmetic that
the pipeline uses: that of its reader, its keys, ``TokenBudget``, ``count_passes`` and ``is_full``.
What a record weighs comes from encoding real ones with the pipeline's own coder. With
``--tokens_per_second``, what all GPUs of the run together do, parts are also written when their
time is up, as in a run. Prints Markdown.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.keeping import Kept
from benchmarks.mixes import MAX_RESIDUES, SOURCE, read_sequences
from benchmarks.wire import NAME, Weights, weigh
from pipeline.option_groups.values import positive
from transforms.batching import Fill, TokenBudget
from transforms.esm.pass_budget import CUDA_TOKENS
from transforms.esm.slicing import batch_tokens, count_passes
from transforms.filling import RESIDUES_PER_RECORD, is_full
from transforms.inputs.reading import BATCH_ITEMS, BATCH_RESIDUES
from transforms.lanes import lane_of

Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Plan:
    """How records are batched and written.

    Attributes:
        lanes: Number of keys.
        pass_tokens: Tokens of a forward pass.
        checkpoint_seconds: As the pipeline's option.
        tokens_per_second: Of the whole run; None where time plays no part.
    """

    lanes: int
    pass_tokens: int = CUDA_TOKENS
    checkpoint_seconds: float = 60.0
    tokens_per_second: float | None = None


def draw_lengths(records: int, seed: int = 0, source: Path | None = SOURCE) -> Integers:
    """Draws lengths of proteins, with those of a file, or without it of about the same."""
    pool = np.array([len(sequence) for sequence in read_sequences(source)])
    return np.random.default_rng(seed).choice(pool, records)


def cut_reads(lengths: Integers) -> Integers:
    """Returns where the batches of the reader end, by the rule of ``in_batches``."""
    ends: list[int] = []
    items = residues = 0
    for position, length in enumerate(lengths.tolist(), 1):
        items, residues = items + 1, residues + length
        if items == BATCH_ITEMS or residues >= BATCH_RESIDUES:
            ends.append(position)
            items = residues = 0
    return np.array([*ends, len(lengths)] if items else ends)


def share_out(ends: Integers, lanes: int) -> list[list[slice]]:
    """Returns what the reader's batches hold, by the lane to which each goes."""
    lane_reads: list[list[slice]] = [[] for _ in range(lanes)]
    for start, stop in pairwise([0, *ends.tolist()]):
        lane_reads[lane_of(f"{NAME}\0{start}", lanes)].append(slice(start, stop))
    return lane_reads


def fill_batches(
    reads: Sequence[slice], tokens: Integers, budget: TokenBudget
) -> Iterator[Integers]:
    """Yields the batches of a lane, as positions of records; the last may be partial."""
    fill = Fill()
    held: list[Integers] = []
    for read in reads:
        positions = np.arange(read.start, read.stop)
        ends, fill = budget.cut(fill, tokens[read].tolist())
        for start, stop in pairwise([0, *ends]):
            yield np.concatenate([*held, positions[start:stop]])
            held = []
        held.append(positions[ends[-1] if ends else 0 :])
    if fill.count:
        yield np.concatenate(held)


def simulate(lengths: Integers, plan: Plan, weights: Weights) -> dict[str, Any]:
    """Sends records through the line and returns what was seen.

    Args:
        lengths: Residues of each record, in the order of the file.
        plan: How they are batched and written.
        weights: What they weigh.
    """
    tokens = np.minimum(lengths, MAX_RESIDUES) + 2
    budget = TokenBudget(batch_tokens(plan.pass_tokens))
    lane_reads = share_out(cut_reads(lengths), plan.lanes)
    lane_tokens = np.zeros(plan.lanes, np.int64)
    fills: list[float] = []
    parts: list[int] = []
    seen = dict.fromkeys(("passes", "packed_passes", "slots", "partial"), 0)
    state = np.zeros((2, plan.lanes))
    for lane, reads in enumerate(lane_reads):
        part = _OpenPart(plan)
        for batch in fill_batches(reads, tokens, budget):
            cost = int(tokens[batch].sum())
            lane_tokens[lane] += cost
            fills.append(cost / budget.max_cost)
            given = (tokens[batch] - 2).tolist()
            passes, slots = count_passes(given, plan.pass_tokens)
            seen["passes"] += passes
            seen["slots"] += slots
            seen["packed_passes"] += count_passes(given, plan.pass_tokens, padded=False)[0]
            residues = int(lengths[batch].sum())
            state[0, lane] = max(state[0, lane], residues + weights.read * len(batch))
            part.add(lengths[batch], cost)
            row = weights.embedded + weights.vector
            state[1, lane] = max(state[1, lane], part.residues + row * part.rows)
            parts += part.written()
        parts += part.written(at_end=True)
    total = int(tokens.sum())
    return asdict(plan) | {
        "records": len(lengths),
        "tokens": total,
        "batches": len(fills),
        "batch_fill": float(np.mean(fills)),
        "records_per_batch": len(lengths) / len(fills),
        "padding": 1 - total / seen["slots"],
        "pass_fill": total / (seen["packed_passes"] * plan.pass_tokens),
        "padded_pass_fill": seen["slots"] / (seen["passes"] * plan.pass_tokens),
        "lane_imbalance": float(lane_tokens.max() / lane_tokens.mean()),
        "lane_tokens": lane_tokens.tolist(),
        "batch_state_bytes": float(state[0].max()),
        "part_state_bytes": float(state[1].max()),
        "all_state_bytes": float(state.sum()),
        "parts": len(parts),
        "rows_per_part": float(np.mean(parts)),
        "commit_bytes": len(parts) * weights.commit,
        "shuffle_bytes_per_record": float(lengths.mean() * 2 + weights.read + weights.embedded)
        + weights.vector,
    }


class _OpenPart:
    """The part that a lane collects, by the rule of ``WriteParts``."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._rate = (plan.tokens_per_second or 0) / plan.lanes
        self._weight = self._sequence = 0
        self._seconds = 0.0
        self.rows = self.residues = 0

    def add(self, lengths: Integers, tokens: int) -> None:
        """Adds a block."""
        self.rows += len(lengths)
        self.residues += int(lengths.sum())
        self._weight += int((1 + lengths // RESIDUES_PER_RECORD).sum())
        # The first block opens the first part, so that its own time is not counted.
        if self._rate and (self._sequence or self.rows > len(lengths)):
            self._seconds += tokens / self._rate

    def written(self, at_end: bool = False) -> list[int]:
        """Returns the rows of the part if it is written now."""
        limit = self._plan.checkpoint_seconds
        full = is_full(self._weight, self._seconds, self._sequence, limit)
        if not self.rows or not (full or at_end):
            return []
        rows = self.rows
        self.rows = self.residues = self._weight = 0
        self._seconds = 0.0
        self._sequence += 1
        return [rows]


def spread(lane_tokens: Sequence[int], workers: int) -> float:
    """Returns the most that a worker gets, to the mean, where the engine hashes keys."""
    shares = np.zeros(workers)
    for lane, tokens in enumerate(lane_tokens):
        shares[lane_of(f"lane {lane}", workers)] += tokens
    return float(shares.max() / shares.mean())


ROWS = {
    "keys (lanes)": "{lanes:,}",
    "batches": "{batches:,}",
    "records of a batch": "{records_per_batch:,.0f}",
    "fill of a batch": "{batch_fill:.1%}",
    "fill of a pass, packed": "{pass_fill:.1%}",
    "padding, where passes are padded": "{padding:.1%}",
    "largest key to the mean, in tokens": "{lane_imbalance:.3f}",
    "state of a key before the model, at most": "{batch_state_bytes:,.0f} B",
    "state of a key before a part, at most": "{part_state_bytes:,.0f} B",
    "state of all keys, at most": "{all_state_bytes:,.0f} B",
    "parts": "{parts:,}",
    "rows of a part": "{rows_per_part:,.0f}",
    "all commit records": "{commit_bytes:,} B",
    "shuffled for each record": "{shuffle_bytes_per_record:,.0f} B",
}


def format_table(results: Sequence[dict[str, Any]], workers: Sequence[int]) -> str:
    """Returns what was seen as Markdown, a column for each number of lanes."""
    lines = ["| " + " | ".join([name, *(text.format(**each) for each in results)]) + " |"
             for name, text in ROWS.items()]  # fmt: skip
    for count in workers:
        shares = (f"{spread(each['lane_tokens'], count):.2f}" for each in results)
        lines.append(f"| busiest of {count:,} workers to the mean | " + " | ".join(shares) + " |")
    lines.insert(1, "|---" * (len(results) + 1) + "|")
    return "\n".join(lines)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options of this benchmark."""
    add = parser.add_argument
    add("--records", type=positive, default=10_000_000, help="(%(default)s)")
    add("--lanes", type=positive, nargs="+", default=[1, 64, 256, 1024], help="(%(default)s)")
    add("--workers", type=positive, nargs="+", default=[4, 16, 64], help="(%(default)s)")
    add("--pass_tokens", type=positive, default=CUDA_TOKENS, help="(%(default)s)")
    add("--checkpoint_seconds", type=float, default=60.0, help="(%(default)g)")
    add("--tokens_per_second", type=float, help="of all GPUs together (default: no clock)")
    add("--seed", type=int, default=0, help="of the draw (%(default)s)")


def run(options: argparse.Namespace, kept: Kept) -> int:
    """Runs the simulation and prints what was seen."""
    weights = weigh(read_sequences()[:2000])
    lengths = draw_lengths(options.records, options.seed)
    results = []
    for lanes in options.lanes:
        plan = Plan(
            lanes, options.pass_tokens, options.checkpoint_seconds, options.tokens_per_second
        )
        results.append(simulate(lengths, plan, weights))
    print(f"{len(lengths):,} records, {results[0]['tokens']:,} tokens; a record weighs, in bytes")
    print(json.dumps(asdict(weights)), end="\n\n")
    print(format_table(results, options.workers))
    told = [{k: v for k, v in each.items() if k != "lane_tokens"} for each in results]
    kept.keep({"weights": asdict(weights), "results": told})
    return 0

"""A forecast in words for a person, and as JSON for a program."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import numpy as np

from pipeline.failures import count_failed, tell_kinds
from pipeline.planning.forecast import Forecast
from pipeline.planning.work import Work
from pipeline.remarks import tell_passed_over
from pipeline.shared_ids import tell_sharing_an_id
from transforms.items import DeadLetter
from transforms.text import counted, duration, printable, sized

_BAR = 40  # columns
_SHORT_SECONDS = 60
_EXAMPLE_FIELDS = ("source", "ordinal", "id", "length", "message")


def as_json(plan: Forecast) -> dict[str, Any]:
    """Returns all that was found out as plain values."""
    seen, config = plan.survey, plan.config
    duplicates = seen.count_duplicates()
    return {
        "input_root": plan.listing.root,
        "passed_over_by_name": plan.listing.passed_over,
        "refusals": list(plan.refusals),
        "totals": {
            "files": len(seen.files),
            "failed_files": sum(not file.readable for file in seen.files),
            "bytes": seen.total("size"),
            **{n: seen.total(n) for n in ("read", "residues", "to_embed", "dead_lettered")},
            "residues_used": seen.residues_used,
            "truncated": seen.truncated,
            "duplicates": duplicates,
            "sharing_an_id": seen.ids.count(),
        },
        "lengths": describe_lengths(seen.lengths),
        "dead_letters": [
            {
                "stage": kind.first.stage,
                "error_type": kind.first.error_type,
                "count": kind.count,
                "first": [_example(letter) for letter in kind.examples],
            }
            for kind in seen.refused.all()
        ],
        "model": {"name": config.model, "dim": plan.dim, "config_found": plan.is_known},
        "work": [_work(work) for work in plan.works],
        "output": {
            "parquet_bytes": plan.size.parquet,
            "pt_bytes": plan.size.pt if config.pt else None,
        },
        "memory": {"part_bytes": plan.part_bytes},
        "rate": asdict(plan.rate) if plan.rate else None,
        "seconds": plan.seconds,
        "price_per_gpu_hour": config.price_per_gpu_hour,
        "cost": plan.cost,
        "files": [asdict(file) for file in seen.files],
    }


def _example(letter: DeadLetter) -> dict[str, Any]:
    return {name: getattr(letter, name) for name in _EXAMPLE_FIELDS}


def _work(work: Work) -> dict[str, Any]:
    values = asdict(work)
    return {
        **values.pop("setting"),
        **values,
        "saved_share": work.saved,
        "padding_share": work.padding,
        "pass_fill": work.fill,
    }


def describe_lengths(lengths: Counter[int]) -> dict[str, Any]:
    """Returns shortest, longest, mean and median, and a histogram of bins that double.

    Args:
        lengths: How many records have so many residues.
    """
    if not lengths:
        return {"min": None, "median": None, "mean": None, "max": None, "histogram": []}
    values, counts = (np.array(list(held)) for held in (lengths.keys(), lengths.values()))
    bins: Counter[int] = Counter()
    for length, count in lengths.items():
        bins[length.bit_length()] += count
    return {
        "min": min(lengths),
        "median": int(np.quantile(values, 0.5, weights=counts, method="inverted_cdf")),
        "mean": float(np.average(values, weights=counts)),
        "max": max(lengths),
        "histogram": [
            {"from": 1 << bits - 1, "to": (1 << bits) - 1, "records": bins[bits]}
            for bits in range(min(bins), max(bins) + 1)
        ],
    }


def in_words(plan: Forecast) -> list[str]:
    """Returns the lines that a person reads."""
    return [
        *_tell_input(plan),
        *_tell_dead_letters(plan),
        *_tell_lengths(plan),
        *_tell_work(plan),
        *_tell_needs(plan),
        *_tell_time(plan),
    ]


def _tell_input(plan: Forecast) -> Iterator[str]:
    seen = plan.survey
    yield (
        f"{printable(plan.listing.root)}: {counted(len(seen.files), 'file')}, "
        f"{sized(seen.total('size'))}, with {_records(seen.total('read'))} of "
        f"{seen.total('residues'):,} residues."
    )
    yield from tell_passed_over(plan.listing)
    yield (
        f"To be embedded: {_records(seen.total('to_embed'))}, of which the model gets "
        f"{seen.residues_used:,} residues."
    )


def _records(number: int) -> str:
    return counted(number, "record") or "no records"


def _tell_dead_letters(plan: Forecast) -> Iterator[str]:
    seen = plan.survey
    records, files = seen.total("dead_lettered"), sum(not file.readable for file in seen.files)
    if failed := count_failed(records, files):
        yield f"Would fail: {failed}."
    yield from tell_kinds(seen.refused.all())


def _tell_lengths(plan: Forecast) -> Iterator[str]:
    told = describe_lengths(plan.survey.lengths)
    if not told["histogram"]:
        return
    yield (
        f"Lengths: {told['min']:,} to {told['max']:,} residues, median {told['median']:,}, "
        f"mean {told['mean']:,.0f}."
    )
    most = max(each["records"] for each in told["histogram"])
    ranges = [f"{each['from']:,}-{each['to']:,}" for each in told["histogram"]]
    width = max(map(len, ranges))
    for name, each in zip(ranges, told["histogram"], strict=True):
        bar = "#" * -(-_BAR * each["records"] // most)
        yield f"  {name:>{width}} {each['records']:>9,} {bar}".rstrip()
    if plan.survey.truncated:
        limit = plan.config.residues.truncation_seq_length
        yield (
            f"  {counted(plan.survey.truncated, 'record')} longer than {limit:,}: the model gets "
            f"the first {limit:,} residues."
        )


def _place(device: str) -> str:
    """Returns the beginning of a sentence of what would be on a device, here or elsewhere."""
    kind, _, _ = device.partition(":")
    return {"cpu": "On a CPU", "cuda": f"On a GPU ({device})"}.get(kind, f"On {device}")


def _tell_work(plan: Forecast) -> Iterator[str]:
    duplicates = counted(plan.survey.count_duplicates(), "record") or "no record"
    yield f"Duplicates: {duplicates} with the sequence of one before."
    if shared := plan.survey.ids.count():
        yield f"Ids: {tell_sharing_an_id(shared)}"
    for work in plan.works:
        setting = work.setting
        # Cores side by side are given smaller ones at the end of a batch.
        at_least = " or more" if setting.device == "cpu" else ""
        memory_allows = setting.device.startswith("cuda") and not plan.config.toks_per_batch
        yield (
            f"{_place(setting.device)}, {setting.dtype}, {setting.pass_tokens:,} tokens a pass"
            f"{' where memory allows' * memory_allows}:"
        )
        yield (
            f"  {work.computed_tokens:,} tokens to compute, {work.saved:.1%} saved by duplicates, "
            f"in {counted(work.batches, 'batch') or 'no batches'}"
        )
        yield (
            f"  packed: no padding, {_passes(work.passes)}{at_least}, {work.fill:.0%} full; "
            f"padded: {work.padding:.1%} padding, {_passes(work.padded_passes)}{at_least}"
        )
        yield (
            f"  memory: weights {sized(work.weights_bytes)}, vectors kept for duplicates "
            f"{sized(work.kept_bytes)}, a part {sized(plan.part_bytes)}"
        )
    yield "  Beside these memory holds Python with torch and Beam, and what a pass works with."


def _passes(number: int) -> str:
    return counted(number, "pass") or "no passes"


def _tell_needs(plan: Forecast) -> Iterator[str]:
    size = plan.size
    pt = f" and {sized(size.pt)} of .pt" if plan.config.pt else ""
    yield f"Output: {sized(size.parquet)} of Parquet{pt}, vectors of {plan.dim:,} values."
    if not plan.is_known:
        yield (
            f"  The config.json of {printable(plan.config.model)} is not on this machine: width "
            "and weights are those of ESM-2 650M."
        )


def _tell_time(plan: Forecast) -> Iterator[str]:
    if plan.rate is None or plan.seconds is None:
        yield "Time: not known; give --like OUT, a run of this model here, or --tokens_per_second."
        return
    rate = plan.rate
    of = f", as the run in {printable(plan.config.like or '')} went on {rate.device}, {rate.dtype}"
    yield (
        f"Time: {duration(plan.seconds)} at {rate.tokens_per_second:,.0f} tokens a second"
        f"{of if rate.device else ''}."
    )
    if rate.device and rate.seconds < _SHORT_SECONDS:
        yield f"  That run took only {duration(rate.seconds)}, and much of it was not the model."
    if plan.cost is not None:
        hours = plan.seconds / 3600
        yield f"Cost: {plan.cost:,.2f} for {hours:,.2f} hours of a GPU."

"""Results as Markdown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.entries import ENTRIES

_COLUMNS = (
    "how", "budget", "residues/s", "to ours", "rounds apart", "residues/CPU-s", "to ours by CPU-s",
    "in the model", "padding",
    "peak memory, MB", "worst difference", "least cosine", "without a vector",
    "of the ceiling, all / unique residues",
)  # fmt: skip


def format_table(result: Mapping[str, Any]) -> str:
    """Returns a result as Markdown, a table for each input."""
    return "\n\n".join([_describe_run(result), *(_format_mix(result, m) for m in result["mixes"])])


def fill_page(page: str, result: Mapping[str, Any]) -> str:
    """Returns a page with the tables of a result in their places.

    Args:
        page: Markdown, with a line ``<!-- large -->`` before and a line ``<!-- /large -->`` after
            the place of the input ``large``, and so on. What is between them is replaced.
        result: As ``python -m benchmarks peers`` writes it.

    Raises:
        ValueError: There is no place for an input.
    """
    for mix in result["mixes"]:
        begin, end = f"<!-- {mix} -->\n", f"<!-- /{mix} -->"
        before, found, rest = page.partition(begin)
        _, found_too, after = rest.partition(end)
        if not found or not found_too:
            raise ValueError(f"the page has no place for {mix}: {begin.strip()} ... {end}")
        content = f"{_describe_run(result)}\n\n{_format_mix(result, mix)}\n"
        page = before + begin + content + end + after
    return page


def _format_mix(result: Mapping[str, Any], mix: str) -> str:
    content = result["mixes"][mix]
    lines = [_describe_mix(mix, content), "", _row(_COLUMNS), _row("---" for _ in _COLUMNS)]
    lines += [_format_entry(name, entry) for name, entry in content["entries"].items()]
    return "\n".join(lines)


def _describe_run(result: Mapping[str, Any]) -> str:
    machine = result["machine"]
    return (
        f"Shape {result['shape']}, {result['dtype']} on {machine.get('gpu', machine['processor'])}"
        f", {result['threads']} of {machine['cores']} cores; torch {machine['torch']}, "
        f"transformers {machine['transformers']}, apache-beam {machine['apache-beam']}; "
        f"{result['time']}."
    )


def _describe_mix(mix: str, content: Mapping[str, Any]) -> str:
    return (
        f"`{mix}`: {content['records']:,} records, {content['residues']:,} residues, "
        f"{content['unique_residues']:,} in distinct sequences; matmul ceiling "
        f"{content['ceiling_flops_per_second'] / 1e9:,.0f} GFLOP/s; median of "
        f"{len(content['ceilings'])} rounds."
    )


def _format_entry(name: str, entry: Mapping[str, Any]) -> str:
    label = ENTRIES[name].label
    if entry["versions"]:
        label += f" ({', '.join(f'{name} {number}' for name, number in entry['versions'].items())})"
    summary = entry["summary"]
    if entry["failure"] is not None:
        return _row([label, f"not measured: {entry['failure']}", *[""] * (len(_COLUMNS) - 2)])
    memory = f"{summary['peak_mb']:,.0f}"
    if summary["peak_cuda_mb"] is not None:
        memory += f" + {summary['peak_cuda_mb']:,.0f} on the GPU"
    return _row(
        [
            label,
            f"{entry['budget']:,}" if entry["budget"] else "default",
            f"{summary['residues_per_second']:,.0f}",
            _format_ratio(summary, "ratio_to_ours"),
            f"{summary['spread'] - 1:.0%}",
            f"{summary['residues_per_cpu_second']:,.0f}",
            _format_ratio(summary, "ratio_by_cpu_time"),
            f"{summary['share_in_model']:.1%}",
            f"{summary['padding']:.1%}",
            memory,
            f"{summary['worst_difference']:.1e}",
            f"{summary['least_cosine']:.7f}",
            f"{summary['failures']:,}",
            f"{summary['share_of_ceiling']:.1%} / {summary['share_of_ceiling_unique']:.1%}",
        ]
    )


def _format_ratio(summary: Mapping[str, Any], name: str) -> str:
    return f"{summary[name]:.2f}" if name in summary else ""


def _row(cells: Any) -> str:
    return f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"

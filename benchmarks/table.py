"""Results of ``peers`` and ``device`` as Markdown."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from benchmarks.entries import ENTRIES

Summary = Mapping[str, Any]


def _share(name: str) -> Callable[[Summary], str]:
    def tell(summary: Summary) -> str:
        return " / ".join(f"{share:.1%}" for share in summary["shares"].get(name, ()))

    return tell


def _memory(summary: Summary) -> str:
    cuda = summary["peak_cuda_mb"]
    return f"{summary['peak_mb']:,.0f}" + (f" + {cuda:,.0f} on the GPU" if cuda else "")


def _ratio(name: str) -> Callable[[Summary], str]:
    return lambda summary: f"{summary[name]:.3f}" if name in summary else ""


COLUMNS: Mapping[str, Callable[[Summary], str]] = {
    "residues/s": lambda summary: f"{summary['residues_per_second']:,.0f}",
    "to ours": _ratio("ratio_to_ours"),
    "rounds apart": lambda summary: f"{summary['spread'] - 1:.0%}",
    "to ours by CPU time": _ratio("ratio_by_cpu_time"),
    "in the model": lambda summary: f"{summary['share_in_model']:.1%}",
    "padding": lambda summary: f"{summary['padding']:.1%}",
    "peak memory, MB": _memory,
    "worst difference": lambda summary: f"{summary['worst_difference']:.1e}",
    "least cosine": lambda summary: f"{summary['least_cosine']:.7f}",
    "of the ceiling, all / unique residues": _share("ceiling"),
}
SUSTAINED = {"of the sustained": _share("sustained")}


def format_rows(
    rows: Iterable[Mapping[str, Any]],
    columns: Mapping[str, Callable[[Summary], str]] = COLUMNS,
    more: Sequence[str] = (),
) -> str:
    """Returns a table.

    Args:
        rows: Each with ``entry``, ``budget``, ``versions``, and ``summary`` or ``failure``.
        columns: How each is told from a summary.
        more: Fields of a row that are told before them.
    """
    names = ["how", "budget", *more, *columns]
    lines = [_line(names), _line("---" for _ in names)]
    for row in rows:
        label = ENTRIES[row["entry"]].label
        if versions := ", ".join(f"{n} {number}" for n, number in row["versions"].items()):
            label += f" ({versions})"
        if failure := row["failure"]:
            lines.append(_line([label, f"not measured: {failure}", *[""] * (len(names) - 2)]))
            continue
        summary = row["summary"]
        if lost := summary["without_vector"]:
            label += f", {lost:,} records without a vector"
        budget = f"{row['budget']:,}" if row["budget"] else "default"
        told = [tell(summary) for tell in columns.values()]
        lines.append(_line([label, budget, *(f"{row[name]}" for name in more), *told]))
    return "\n".join(lines)


def format_peers(run: Mapping[str, Any]) -> str:
    """Returns a run of ``peers``: a heading and a table for each input."""
    return "\n\n".join(_format_mix(run, mix) for mix in run["mixes"])


def fill_page(page: str, run: Mapping[str, Any]) -> str:
    """Returns a page with the tables of a run of ``peers`` in their places.

    Args:
        page: Markdown, with a line ``<!-- large -->`` before and a line ``<!-- /large -->`` after
            the place of the input ``large``, and so on. What is between them is replaced.
        run: The run.

    Raises:
        ValueError: There is no place for an input.
    """
    for mix in run["mixes"]:
        begin, end = f"<!-- {mix} -->\n", f"<!-- /{mix} -->"
        before, found, rest = page.partition(begin)
        _, found_too, after = rest.partition(end)
        if not found or not found_too:
            raise ValueError(f"the page has no place for {mix}: {begin.strip()} ... {end}")
        page = f"{before}{begin}{_format_mix(run, mix)}\n{end}{after}"
    return page


def describe_run(run: Mapping[str, Any]) -> str:
    """Returns in a sentence what was run on what."""
    machine, options = run["machine"], run["options"]
    return (
        f"Shape {options['shape']}, {run['dtype']} on {machine.get('gpu', machine['processor'])}, "
        f"{options['threads']} of {machine['cores']} cores; torch {machine['torch']}, "
        f"transformers {machine['transformers']}, apache-beam {machine['apache-beam']}; "
        f"{run['time']}."
    )


def _format_mix(run: Mapping[str, Any], mix: str) -> str:
    content = run["mixes"][mix]
    rows = [{"entry": name} | entry for name, entry in content["entries"].items()]
    described = (
        f"`{mix}`: {content['records']:,} records, {content['residues']:,} residues, "
        f"{content['unique_residues']:,} in distinct sequences; matmul ceiling "
        f"{content['flops_per_second']['ceiling'] / 1e9:,.0f} GFLOP/s; rounds: "
        f"{run['options']['rounds']}."
    )
    return f"{describe_run(run)}\n\n{described}\n\n{format_rows(rows)}"


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"

"""What a person reads at the end of a run."""

from __future__ import annotations

from pipeline.checks import Plan
from pipeline.failures import MOST_SHOWN, count_failed, describe_failed
from pipeline.outputs import FAILURES_LOG
from pipeline.remarks import tell_passed_over, tell_sharing_an_id
from pipeline.run_report import Report
from transforms.inputs.nucleotides import tell_nucleotides
from transforms.text import counted, printable


def in_words(report: Report, plan: Plan) -> list[str]:
    """Returns the lines that a person reads at the end of a run."""
    root = printable(plan.output.root)
    new = counted(report.total("embedded_this_run"), "protein") or "Nothing"
    lines = [f"{new} embedded in {report.seconds:,.1f} s."]
    if not plan.todo:
        is_whole = not report.unfinished and not report.failed
        lines = [f"Nothing to do{': every file is finished' * is_whole}."]
    files = counted(len(report.files), "file") or "no file"
    lines.append(
        f"{root} now holds {counted(report.total('embedded'), 'vector') or 'no vectors'} of "
        f"{plan.checkpoint.hidden_size} values from {files}:"
    )
    if report.total("embedded"):
        lines.append("  embeddings/*.parquet  one row per protein")
    if any(outcome.pt for outcome in report.files):
        lines.append("  pt/*_ESM.pt           one per FASTA file")
    lines.append("  run_report.json       what became of each file")
    lines += tell_passed_over(plan.listing)
    if report.unfinished:
        others = counted(len(report.unfinished), "file")
        first = printable(report.unfinished[0].source, MOST_SHOWN)
        lines.append(f"Not finished, and not among the inputs: {others}, the first: {first}.")
    if report.sharing_an_id:
        lines.append(tell_sharing_an_id(report.sharing_an_id))
    lines += map(printable, tell_nucleotides(report.nucleotides))
    if report.dead_letters:
        lines += _tell_dead_letters(report)
    if plan.checkpoint.model == "demo" and report.total("embedded"):
        lines.append("The demo model has random weights: these vectors carry no biology.")
        lines.append("For real ones give --model Synthyra/FastESM2_650.")
    return lines


def _tell_dead_letters(report: Report) -> list[str]:
    files = len(report.failed)
    records = report.dead_letters - files
    failed = count_failed(records, files)
    lines = [f"{failed} failed: see dead_letters/ and {FAILURES_LOG}."]
    for failures in report.failures:
        first = failures.first
        told = describe_failed(first.source, first.ordinal, first.id, first.message)
        lines.append(f"  {failures.count:,} {first.error_type} ({first.stage}), the first: {told}")
    return lines

"""What a person reads at the end of a run."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.failures import MOST_SHOWN, count_failed, tell_kinds
from pipeline.file_states import FAILED, UNFINISHED
from pipeline.outputs import FAILURES_LOG
from pipeline.remarks import tell_passed_over
from pipeline.run_report import Report
from pipeline.shared_ids import tell_sharing_an_id
from transforms.esm.checkpoints import DEMO_MODEL
from transforms.inputs.finding import Listing
from transforms.inputs.nucleotides import tell_nucleotides
from transforms.output.commits import Output
from transforms.text import counted, printable


def tell_run(report: Report, had_work: bool) -> str:
    """Returns in a sentence what a run has done."""
    if had_work:
        new = sum(file.rows_of(report.run) for file in report.files)
        return f"{counted(new, 'protein') or 'Nothing'} embedded in {report.seconds:,.1f} s."
    is_whole = not (report.with_status(UNFINISHED) or report.with_status(FAILED))
    return f"Nothing to do{': every file is finished' * is_whole}."


def tell_output(report: Report, output: Output, listing: Listing) -> Iterator[str]:
    """Yields the lines on what an output holds after a run."""
    root, files = printable(output.root), counted(len(report.files), "file") or "no file"
    if report.rows:
        embedded = sum(file.rows > 0 for file in report.files)
        some = f"{embedded:,} of " * (embedded < len(report.files))
        dim = dict(output.configuration)["dim"]
        vectors = counted(report.rows, "vector")
        yield f"{root} now holds {vectors} of {dim} values from {some}{files}:"
        yield "  embeddings/*.parquet  one row per protein"
    else:
        yield f"{root} now holds no vectors from {files}:"
    if any(file.pt for file in report.files):
        yield "  pt/*_ESM.pt           one per FASTA file"
    yield "  run_report.json       what became of each file"
    yield from tell_passed_over(listing)
    if unfinished := report.with_status(UNFINISHED):
        others = counted(len(unfinished), "file")
        first = printable(unfinished[0].source, MOST_SHOWN)
        yield f"Not finished, and not among the inputs: {others}, the first: {first}."
    if report.sharing_an_id:
        yield tell_sharing_an_id(report.sharing_an_id)
    yield from map(printable, tell_nucleotides(report.nucleotides))
    if report.dead_letters:
        files_failed = len(report.with_status(FAILED))
        failed = count_failed(report.dead_letters - files_failed, files_failed)
        yield f"{failed} failed: see dead_letters/ and {FAILURES_LOG}."
        yield from tell_kinds(report.failures)
    if output.model == DEMO_MODEL and report.rows:
        yield "The demo model has random weights: these vectors carry no biology."
        yield "For real ones give --model Synthyra/FastESM2_650."

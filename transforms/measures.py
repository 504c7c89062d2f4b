"""What is measured, by name: the same numbers for Beam's metrics and for Prometheus."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


class Measure(NamedTuple):
    """What an event adds to a metric.

    Attributes:
        name: Of the metric, as in :data:`METRICS`.
        value: What is added to a sum, or one observation of a distribution.
        labels: Values of the metric's labels.
    """

    name: str
    value: float = 1
    labels: tuple[str, ...] = ()


@dataclass(frozen=True)
class Metric:
    """A sum, or with ``buckets`` a distribution.

    Attributes:
        name: Its name, with the unit; Prometheus adds ``fastesm_`` before it, and to a sum
            ``_total``.
        text: What it says, in one sentence.
        labels: What it is broken down by: things of few values, never files or records.
        buckets: Upper bounds of the buckets in which observations are counted.
        beam_name: Its name among Beam's metrics, which are whole numbers; empty for ``name``.
        beam_factor: By what a value is multiplied there.
    """

    name: str
    text: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()
    beam_name: str = ""
    beam_factor: int = 1

    def name_for_beam(self, labels: tuple[str, ...]) -> str:
        """Returns its name among Beam's metrics, which have no labels: with the measure's in it."""
        return "_".join((self.beam_name or self.name, *labels))


_FILL = tuple(tenths / 10 for tenths in range(1, 11))
_LATENCY = (0.5, 1, 2, 5, 10, 30, 60, 300, 1800, 7200, 21600, 86400)

METRICS = {
    metric.name: metric
    for metric in (
        Metric("files_opened", "Files that were read to their end once."),
        Metric("input_bytes", "Bytes of those files."),
        Metric("records_read", "Records in those files."),
        Metric("residues_read", "Residues of those records."),
        Metric("records_skipped", "Records that an earlier run, or round, had committed."),
        Metric("records_embedded", "Records of which vectors were computed."),
        Metric("residues_embedded", "Residues of those records, before truncation."),
        Metric(
            "dead_letters",
            "Records and files that failed, those committed before and met again too.",
            labels=("stage", "reason"),
        ),
        Metric("files_failed", "Files that could not be read to their end."),
        Metric("parts_committed", "Parts that are on disk with their commit record."),
        Metric("rows_committed", "Vectors in those parts."),
        Metric("files_finished", "Files of which every record has an outcome."),
        Metric(
            "file_latency_seconds",
            "From when a file was complete, or found, until its .pt is on disk.",
            buckets=_LATENCY,
            beam_name="file_latency_milliseconds",
            beam_factor=1000,
        ),
        Metric(
            "batch_fill_ratio",
            "Tokens of a batch as a share of its budget.",
            buckets=_FILL,
            beam_name="batch_fill_percent",
            beam_factor=100,
        ),
        Metric("passes", "Runs of the model."),
        Metric("tokens", "Tokens of sequences that the model was given, with BOS and EOS."),
        Metric("padding_tokens", "Tokens that were computed beside them, to fill up."),
        Metric(
            "pass_seconds",
            "Time of those runs; some go side by side.",
            beam_name="pass_microseconds",
            beam_factor=1_000_000,
        ),
        Metric("out_of_memory", "Passes that the device could not take; they are halved."),
        Metric("model_loads", "Models that were read into memory."),
    )
}

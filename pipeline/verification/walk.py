"""The whole of an output, opened again: every part, every file, what is between them, a sample.

It is walked part by part and then file by file, so memory holds two parts and one file.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from pipeline.recorded import policy_of
from pipeline.verification.files import OpenPart, check_file, gather
from pipeline.verification.findings import Finding, remark
from pipeline.verification.inputs import check_input
from pipeline.verification.parts import OpenedPart, check_part, open_part
from pipeline.verification.pts import check_failures, check_pt
from pipeline.verification.reports import check_report
from pipeline.verification.sample import Sample, check_sample
from pipeline.verification.strays import find_strays
from transforms import storage
from transforms.errors import ConfigurationError
from transforms.esm.model import ModelConfig
from transforms.messages import has_messages
from transforms.output.commits import Commits, FileRecord, PartRecord, read_commits


@dataclass(frozen=True, slots=True)
class Verified:
    """An output that is to be verified.

    Attributes:
        root: The output root.
        configuration: What its rows were computed with.
        committed: What it has committed.
        report: Name of the report of its last run.
    """

    root: str
    configuration: Mapping[str, Any]
    committed: Commits
    report: str

    @property
    def rows(self) -> int:
        """How many rows it has committed."""
        parts = self.committed.parts.values()
        return sum(part.rows for part in parts)


def read_all(root: str) -> Commits | Finding:
    """Returns what an output has committed, or what is wrong with its records."""
    try:
        return read_commits(root)
    except ConfigurationError as error:
        return Finding("damaged", str(error))
    except (AttributeError, KeyError, TypeError) as error:
        return Finding("damaged", f"commits/: a record is not as it must be ({error!r})")


def verify(output: Verified, sample: Sample, model: ModelConfig | None) -> Iterator[Finding]:
    """Yields all that is wrong with an output.

    Args:
        output: The output; nothing may write to it meanwhile.
        sample: Draws the records that are computed again.
        model: What they are computed with; None if none are.

    Raises:
        ConfigurationError: The model cannot be had.
    """
    parts = output.committed.parts

    # A part often serves several files one after the other.
    @lru_cache(maxsize=2)
    def open_named(name: str) -> OpenedPart:
        return open_part(output.root, parts[name], output.configuration)

    def open_again(part: PartRecord) -> OpenedPart:
        return open_named(part.part)

    for part in parts.values():
        yield from check_part(open_again(part), output.configuration)
    yield from find_strays(output.root, output.committed)
    yield from check_report(output.root, output.report, output.committed)
    yield from _check_files(output, open_again, sample)
    if model is not None:
        if (drawn := len(sample.drawn)) < (wanted := min(sample.size, output.rows)):
            why = "the inputs of the others are gone, or differ"
            yield remark("sample", f"{drawn:,} of {wanted:,} vectors were computed again: {why}")
        yield from check_sample(sample, parts, open_again, model, output.configuration)


def _check_files(output: Verified, open_again: OpenPart, sample: Sample) -> Iterator[Finding]:
    configuration = output.configuration
    policy = policy_of(configuration)
    for source, parts in _sources(output.committed):
        record = output.committed.files.get(source)
        content = gather(source, record, parts, open_again)
        yield from check_file(content)
        if record is not None:
            yield from check_pt(output.root, content, record, open_again, configuration)
            yield from check_failures(output.root, content, configuration)
        # Messages are gone once they are acknowledged.
        if (record or content.versions) and not has_messages(configuration):
            url = _url(source, record, configuration["input_root"])
            yield from check_input(content, url, policy, sample.offer)


def _sources(committed: Commits) -> list[tuple[str, list[PartRecord]]]:
    """Returns all files with their parts, those of one part one after the other."""
    parts_of: dict[str, list[PartRecord]] = {source: [] for source in committed.files}
    parts_of |= committed.by_source()
    return sorted(parts_of.items(), key=lambda item: ([part.part for part in item[1]], item[0]))


def _url(source: str, record: FileRecord | None, input_root: str) -> str:
    return record.url if record else storage.join(input_root, source)

"""The whole of an output, opened again: every part, every file, what is between them, a sample.

It is walked part by part and then file by file, so memory holds two parts and one file.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from pipeline.file_states import find_states
from pipeline.outputs import REPORT
from pipeline.recorded import policy_of, read_recorded
from pipeline.recorded_model import find_recorded_model
from pipeline.verification.files import OpenPart, check_file, gather_content
from pipeline.verification.findings import Finding, Findings, Result, remark
from pipeline.verification.inputs import check_input
from pipeline.verification.parts import OpenedPart, check_part, open_part
from pipeline.verification.pts import check_failures, check_pt
from pipeline.verification.reports import check_report
from pipeline.verification.sample import Sample, check_sample
from pipeline.verification.strays import find_strays
from transforms import storage
from transforms.errors import ConfigurationError
from transforms.esm.model import EsmModelHandler, ModelConfig
from transforms.messages import has_messages
from transforms.output.commits import Commits, PartRecord, read_commits
from transforms.output.holders import Holder, read_holders, state_of


@dataclass(frozen=True)
class VerifyConfig:
    """What is to be verified, and how.

    Attributes:
        output: The output root.
        sample: How many vectors are computed again.
        seed: What draws them; None for anything.
        model: Where the model is now; None for where it was.
        device: Where it runs.
        most: Findings of one kind that are told.
    """

    output: str
    sample: int = 16
    seed: int | None = None
    model: str | None = None
    device: str = "auto"
    most: int = 10


def verify_output(config: VerifyConfig) -> Result:
    """Verifies an output; changes nothing in it.

    Raises:
        ConfigurationError: It cannot be verified; the message says why.
        OSError: It cannot be read at all.
    """
    root = storage.absolute(config.output)
    configuration = read_recorded(root)
    runs = _check_idle(root)
    seed = random.randrange(1 << 32) if config.seed is None else config.seed
    result = Result(root, seed, Findings(config.most), Findings(config.most))
    committed = _read_all(root)
    if isinstance(committed, Finding):
        result.faults.add(committed)
    else:
        result.rows = sum(part.rows for part in committed.parts.values())
        result.parts, result.files = len(committed.parts), len(committed.files)
        sample = Sample(min(config.sample, result.rows), seed)
        model = _find_model(config, configuration) if sample.size else None
        for finding in _verify(root, configuration, committed, sample, model):
            (result.faults if finding.is_fault else result.remarks).add(finding)
        result.sampled = len(sample.drawn)
    if _check_idle(root) != runs:
        raise ConfigurationError(f"A run was at work in {root} meanwhile. Verify it again.")
    return result


def _check_idle(root: str) -> list[Holder]:
    """Makes sure that no run is at work, whose files come and go.

    Returns:
        The runs that were.

    Raises:
        ConfigurationError: One is.
    """
    holders = read_holders(root)
    for holder in holders:
        if state_of(holder) in ("alive", "silent"):
            raise ConfigurationError(f"A run is at work in {root} ({holder}). Wait for its end.")
    return holders


def _find_model(config: VerifyConfig, configuration: Mapping[str, Any]) -> ModelConfig:
    """Returns the model of an output, in the precision that others are measured by.

    Raises:
        ConfigurationError: It cannot be had.
    """
    advice = "Give --model the place where it is now, or --sample 0 to compute nothing again."
    model = find_recorded_model(configuration, config.model, config.device, "float32", advice)
    # Kept in this process: weights that cannot be loaded show before all is read.
    EsmModelHandler(model).load_model()
    return model


def _read_all(root: str) -> Commits | Finding:
    """Returns what an output has committed, or what is wrong with its records."""
    try:
        return read_commits(root)
    except ConfigurationError as error:
        return Finding("damaged", str(error))
    except (AttributeError, KeyError, TypeError) as error:
        return Finding("damaged", f"commits/: a record is not as it must be ({error!r})")


def _verify(
    root: str,
    configuration: Mapping[str, Any],
    committed: Commits,
    sample: Sample,
    model: ModelConfig | None,
) -> Iterator[Finding]:
    """Yields all that is wrong with an output, to which nothing may write meanwhile."""
    parts = committed.parts

    # A part often serves several files one after the other.
    @lru_cache(maxsize=2)
    def open_named(name: str) -> OpenedPart:
        return open_part(root, parts[name], configuration)

    def open_again(part: PartRecord) -> OpenedPart:
        return open_named(part.part)

    for part in parts.values():
        yield from check_part(open_again(part), configuration)
    yield from find_strays(root, committed)
    yield from check_report(root, REPORT, committed)
    yield from _check_files(root, configuration, committed, open_again, sample)
    if model is not None:
        if (drawn := len(sample.drawn)) < sample.size:
            why = "the inputs of the others are gone, or differ"
            yield remark(
                "sample", f"{drawn:,} of {sample.size:,} vectors were computed again: {why}"
            )
        yield from check_sample(sample, parts, open_again, model, configuration)


def _check_files(
    root: str,
    configuration: Mapping[str, Any],
    committed: Commits,
    open_again: OpenPart,
    sample: Sample,
) -> Iterator[Finding]:
    policy = policy_of(configuration)
    # Those of one part one after the other.
    files = sorted(find_states(committed), key=lambda file: [part.part for part in file.parts])
    for file in files:
        record = committed.files.get(file.source)
        content = gather_content(file.source, record, file.parts, open_again)
        yield from check_file(content)
        if record is not None:
            yield from check_pt(root, content, record, open_again, configuration)
            yield from check_failures(root, content, configuration)
        # Messages are gone once they are acknowledged.
        if (record or content.versions) and not has_messages(configuration):
            url = file.url or storage.join(configuration["input_root"], file.source)
            yield from check_input(content, url, policy, sample.offer)

"""All that a report tells of an output, as of one moment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from pipeline.failures import count_failures, iterate_dead_letters
from pipeline.overview import Overview, make_overview
from pipeline.reporting.closeness import Agreement, Closeness, agree, find_closest
from pipeline.reporting.composition import composition
from pipeline.reporting.labels import Labels, read_labels
from pipeline.reporting.past import (
    Computed,
    Growth,
    RunPace,
    find_computed,
    find_growth,
    find_pace,
)
from pipeline.reporting.projection import Projection, project_pca, project_umap
from pipeline.reporting.sample import Sample
from pipeline.reporting.sequences import NoSequencesError, read_sequences
from pipeline.reporting.survey import Survey, survey_rows
from pipeline.settled import read_settled
from transforms import storage
from transforms.errors import ConfigurationError
from transforms.messages import has_messages
from transforms.output.commits import Commits

EXAMPLES = 3
"""Dead letters of each kind that are shown."""


@dataclass(frozen=True, slots=True)
class ReportConfig:
    """What is asked for.

    Attributes:
        output: The output root.
        map_rows: How many rows the map shows at the most.
        labels: A table of labels; None for none.
        label_column: Its column; None for the second one.
        out: Where the page goes: a name that ends in ``.html``, or a folder; None for a folder
            beside the output.
    """

    output: str
    map_rows: int
    labels: str | None = None
    label_column: str | None = None
    out: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Map:
    """The rows of a sample, and how they lie.

    Attributes:
        sample: The rows.
        projections: Their points, PCA first; none without rows.
        labels: The labels that were given; None for none.
        groups: The label of each, or else its file; None for none.
        closeness: The nearest other rows of each; None where there are no two.
        agreement: How often that is of the same group; None without it.
        composition: The same of the nearest by amino-acid composition; None where that is not
            known.
        no_composition: Why it is not, as a part of a sentence; empty where nobody asks.
    """

    sample: Sample
    projections: tuple[Projection, ...]
    labels: Labels | None
    groups: tuple[str | None, ...]
    closeness: Closeness | None
    agreement: Agreement | None
    composition: Agreement | None = None
    no_composition: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Findings:
    """What is known of an output.

    Attributes:
        overview: Its files, what has failed, and who is at work in it.
        survey: What is known of its rows.
        map: A sample of them.
        growth: How its rows have come.
        pace: How fast the last run went; None where that is not known.
        computed: What the model computed in it; None where that is not known.
    """

    overview: Overview
    survey: Survey
    map: Map
    growth: Growth
    pace: RunPace | None
    computed: Computed | None

    @property
    def dim(self) -> int:
        """Returns the width of the vectors; 0 where nothing is known of them yet."""
        return len(self.survey.moments.mean)

    @property
    def thing(self) -> str:
        """Returns what an input is called: records come in files, or in pulls of messages."""
        return "pull" if has_messages(self.overview.configuration) else "file"


def find_out(config: ReportConfig) -> Findings:
    """Looks at an output, which a run may go on to write and a compaction to merge.

    Raises:
        ConfigurationError: There is no output, it is damaged, or labels cannot be had.
        OSError: A file cannot be read.
    """
    root = storage.absolute(config.output)
    return read_settled(root, partial(_find_out, root, config))


def _find_out(root: str, config: ReportConfig, committed: Commits) -> Findings:
    failures = count_failures(iterate_dead_letters(root, committed), EXAMPLES)
    overview = make_overview(root, committed, failures)
    parts = committed.parts_with_rows()
    dim = overview.configuration.get("dim", 0)
    if not isinstance(dim, int) or (parts and not dim):
        raise ConfigurationError(
            f"{root} does not tell how wide its vectors are: commits/output.json is damaged. Put "
            "it back from a copy."
        )
    survey = survey_rows(root, parts, dim, config.map_rows)
    return Findings(
        overview=overview,
        survey=survey,
        map=_make_map(survey.sampler.result(), config, committed),
        growth=find_growth(parts),
        pace=find_pace(overview.run_report),
        computed=find_computed(overview.run_report),
    )


def _make_map(sample: Sample, config: ReportConfig, committed: Commits) -> Map:
    groups: list[str | None] = sample.column("source")
    labels = None
    if config.labels and len(sample):
        ids, accessions = sample.column("id"), sample.column("accession")
        wanted = {name for name in (*ids, *accessions) if name}
        labels = read_labels(config.labels, config.label_column, wanted)
        groups = labels.of(ids, accessions)
    closeness = find_closest(sample.vectors)
    projections: tuple[Projection, ...] = ()
    if len(sample):
        found = (project_pca(sample.vectors), project_umap(sample.vectors, closeness))
        projections = tuple(each for each in found if each)
    agreement = agree(closeness, groups) if closeness else None
    counted, why_not = None, ""
    if agreement and agreement.rows and len(set(groups)) > 1:
        counted, why_not = _agree_by_composition(sample, groups, committed)
    return Map(sample, projections, labels, tuple(groups), closeness, agreement, counted, why_not)


def _agree_by_composition(
    sample: Sample, groups: Sequence[str | None], committed: Commits
) -> tuple[Agreement | None, str]:
    rows = list(zip(sample.column("source"), sample.column("ordinal"), strict=True))
    try:
        sequences = read_sequences(rows, committed.files)
    except NoSequencesError as error:
        return None, str(error)
    closest = find_closest(composition(sequences).astype(np.float32))
    return agree(closest, groups) if closest else None, ""

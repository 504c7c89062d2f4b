"""FASTA that an output is searched with, embedded as the rows of that output were."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from pipeline.recorded import policy_of
from pipeline.recorded_model import find_recorded_model
from pipeline.searching.queries import Queries, Query, SearchConfig
from transforms.direct import embed_files
from transforms.errors import ConfigurationError
from transforms.esm.model import EsmModelHandler
from transforms.inputs.finding import find_fasta
from transforms.items import DeadLetter, EmbeddingBlock

_ADVICE = (
    "Give --model the place where it is now, or search by an --id of the output, which needs no "
    "model."
)


def embed_queries(config: SearchConfig, configuration: Mapping[str, Any]) -> Queries:
    """Embeds what is searched with, by the model and the residue policy of the output.

    Raises:
        ConfigurationError: There is no such file or no record, or the model is another one or
            cannot be had.
    """
    files = find_fasta(config.queries).files
    policy = policy_of(configuration)
    dtype = config.dtype or configuration["dtype"]
    model = find_recorded_model(configuration, config.model, config.device, dtype, _ADVICE)
    handler = EsmModelHandler(model, policy.truncation_seq_length)
    proteins: list[Query] = []
    vectors = [np.zeros((0, configuration["dim"]), np.float32)]
    failures: list[DeadLetter] = []
    for outcome in embed_files(files, policy, handler, configuration["dim"]):
        if isinstance(outcome, EmbeddingBlock):
            proteins += (Query(p.id, p.source, p.ordinal) for p in outcome.proteins)
            vectors.append(outcome.vectors)
        else:
            failures.append(outcome)
    if not proteins and not failures:
        named = ", ".join(config.queries)
        raise ConfigurationError(f"{named} holds no record. Give --query a FASTA file with some.")
    return Queries(tuple(proteins), np.concatenate(vectors), tuple(failures))

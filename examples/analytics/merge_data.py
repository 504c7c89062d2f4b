"""VirNucPro's ``merge_data``: nucleotide and protein vectors of an id, one after the other.

    python examples/analytics/merge_data.py reads_DNABERT_S.pt out/pt/reads_ESM.pt merged.pt

Writes what the old one wrote, for DNABERT-S and ESM-2 rows of 768 + 1280 = 2048 values, except
that ``ids`` are those of the rows. The old one wrote all nucleotide ids, so from the first id
without a protein on every row had the id of another; and where an id was there twice it took the
last vector for both.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch

LABELS = {"host": [0], "viral": [1], None: None}


class Merged(NamedTuple):
    """What was merged, and what was not.

    Attributes:
        ids: Of n rows, in the order of the nucleotides.
        data: float32 tensor of shape (n, D_nucleotide + D_protein).
        without_protein: Ids of nucleotides that have no protein, in their order.
        without_nucleotide: Ids of proteins that have no nucleotide, in their order.
    """

    ids: list[str]
    data: torch.Tensor
    without_protein: list[str]
    without_nucleotide: list[str]


def merge(
    nucleotide_ids: Sequence[str],
    nucleotides: Sequence[torch.Tensor],
    protein_ids: Sequence[str],
    proteins: Sequence[torch.Tensor],
) -> Merged:
    """Puts the vectors of each id that has both one after the other.

    Raises:
        ValueError: An id has two different vectors on one side, so that which belong together is
            not known; vectors of one side differ in width; there are more or fewer of them than
            ids; or no id has both.
    """
    first = _by_id("nucleotide", nucleotide_ids, nucleotides)
    second = _by_id("protein", protein_ids, proteins)
    ids = [name for name in nucleotide_ids if name in second]
    if not ids:
        raise ValueError(
            f"no id is on both sides: {next(iter(first), None)!r} is a nucleotide, "
            f"{next(iter(second), None)!r} a protein"
        )
    return Merged(
        ids,
        torch.stack([torch.cat((first[name], second[name])) for name in ids]),
        [name for name in nucleotide_ids if name not in second],
        [name for name in protein_ids if name not in first],
    )


def _by_id(
    kind: str, ids: Sequence[str], vectors: Sequence[torch.Tensor]
) -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = {}
    for name, vector in zip(ids, vectors, strict=True):
        if vector.shape != vectors[0].shape:
            raise ValueError(
                f"{kind} {name!r} has {len(vector)} values, {ids[0]!r} has {len(vectors[0])}"
            )
        if not torch.equal(found.setdefault(name, vector), vector):
            raise ValueError(f"{kind} {name!r} has two different vectors; make its ids unique")
    return found


def _load(path: str, key: str) -> dict[str, Any]:
    try:
        content: dict[str, Any] = torch.load(path, weights_only=True)
    except OSError:
        raise
    except Exception as error:  # whatever bytes that are no .pt lead to
        raise ValueError(f"{path} cannot be read as a .pt: {error}") from error
    if not isinstance(content, dict) or not {key, "data"} <= content.keys():
        held = sorted(content) if isinstance(content, dict) else type(content).__name__
        raise ValueError(f"{path} has {held}, not {key!r} and 'data'")
    return content


def reasons(esm_data: str) -> dict[str, str]:
    """Returns why a protein has no vector, by its id, from the failures file beside a ``.pt``."""
    path = Path(f"{esm_data.removesuffix('.pt')}.failures.jsonl")
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return {f["id"]: f"{f['error_type']}: {f['message']}" for f in map(json.loads, lines)}


def merge_data(
    DNABERT_S_data: str,  # noqa: N803, as its callers know it
    ESM_data: str,  # noqa: N803
    merged_file: str,
    data_type: str | None = None,
) -> Merged:
    """Merges two files into a third, with the arguments of the old function.

    Args:
        DNABERT_S_data: ``{'nucleotide': [ids], 'data': [{'mean_representation': [floats]}]}``.
        ESM_data: The ``_ESM.pt`` of a run.
        merged_file: Gets ``{'ids': [n ids], 'data': (n, D) tensor, 'labels': [0 or 1]}``.
        data_type: ``host`` for label 0, ``viral`` for 1; None for no ``labels``.

    Raises:
        ValueError: They cannot be merged: :func:`merge`.
    """
    labels = LABELS[data_type]
    dna, esm = _load(DNABERT_S_data, "nucleotide"), _load(ESM_data, "proteins")
    try:
        nucleotides = [torch.tensor(each["mean_representation"]) for each in dna["data"]]
    except (KeyError, TypeError, IndexError) as error:
        raise ValueError(f"{DNABERT_S_data}: an entry has no 'mean_representation'") from error
    merged = merge(dna["nucleotide"], nucleotides, esm["proteins"], esm["data"])
    content = {"ids": merged.ids, "data": merged.data}
    torch.save(content if labels is None else {**content, "labels": labels}, merged_file)
    why = reasons(ESM_data)
    for name in merged.without_protein:
        print(f"{name}: left out, has no protein: {why.get(name, 'not in it')}", file=sys.stderr)
    for name in merged.without_nucleotide:
        print(f"{name}: left out, has no nucleotide", file=sys.stderr)
    return merged


def main() -> None:
    """Merges; exits with 3 if an id was left out."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("DNABERT_S_data")
    parser.add_argument("ESM_data")
    parser.add_argument("merged_file")
    parser.add_argument("--data_type", choices=["host", "viral"])
    try:
        merged = merge_data(**vars(parser.parse_args()))
    except (ValueError, OSError) as error:
        parser.error(str(error))
    missing = len(merged.without_protein) + len(merged.without_nucleotide)
    print(f"{tuple(merged.data.shape)} of {len(merged.ids)} ids; {missing} left out")
    sys.exit(3 if missing else 0)


if __name__ == "__main__":
    main()

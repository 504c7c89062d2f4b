"""The formats of ``python -m pipeline.export``, and what each of them needs."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import ModuleType

from pipeline.extras import require


@dataclass(frozen=True, slots=True)
class Format:
    """A format.

    Attributes:
        packages: The packages that it needs beyond ours: what pip calls each, by what is imported.
        has_keys: Whether rows are named by one key that can be chosen; else all columns are there.
        needs_unique_keys: Whether no two rows can have the same key.
        contents: For a folder, patterns of the files that lie in it, the first of one that is
            always there. Nothing for a file.
        has_card: Whether it comes with a text that names a licence.
    """

    packages: Mapping[str, str] = field(default_factory=dict)
    has_keys: bool = False
    needs_unique_keys: bool = False
    contents: tuple[str, ...] = ()
    has_card: bool = False


_HF = (r"data/train-\d{5,}-of-\d{5,}\.parquet", r"README\.md")
_LANCE = (
    r"_versions/\d+\.manifest",
    r"_versions/latest_version_hint\.json",
    r"_transactions/[^/]+\.txn",
    r"_deletions/[^/]+\.(arrow|bin)",
    r"_indices/.+",
    r"data/[^/]+\.lance",
)

FORMATS = {
    "h5": Format({"h5py": "h5py"}, has_keys=True, needs_unique_keys=True),
    "npz": Format(has_keys=True),
    "csv": Format(),
    "pt": Format(has_keys=True),
    "anndata": Format({"anndata": "anndata"}, has_keys=True, needs_unique_keys=True),
    "hf": Format(contents=_HF, has_card=True),
    "lance": Format({"lance": "pylance"}, contents=_LANCE),
}

KEYS = {
    "id": ("id",),
    "accession": ("accession", "id"),
    "source_ordinal": ("source", "ordinal"),
}
"""What a row can be named by, and the columns that this is made of."""


def load_format(name: str) -> ModuleType:
    """Returns the module that writes a format, ``to_<name>``.

    Raises:
        ConfigurationError: A package that it needs is not installed.
    """
    require(f"--to {name}", FORMATS[name].packages, "export")
    return importlib.import_module(f"pipeline.exports.to_{name}")

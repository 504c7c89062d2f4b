"""The card of a Hugging Face dataset: what it holds, how it was made, how to cite it."""

from __future__ import annotations

from typing import Any

import numpy as np
import yaml

from pipeline.exports.source import Source
from transforms.esm.checkpoints import DEMO_MODEL
from transforms.text import printable

_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"),
          (10_000_000, "1M<n<10M"), (100_000_000, "10M<n<100M"))  # fmt: skip

_ESM2 = """
```bibtex
@article{lin2023evolutionary,
  title   = {Evolutionary-scale prediction of atomic-level protein structure with a language model},
  author  = {Lin, Zeming and Akin, Halil and Rao, Roshan and Hie, Brian and Zhu, Zhongkai and Lu,
             Wenting and Smetanin, Nikita and Verkuil, Robert and Kabeli, Ori and Shmueli, Yaniv and
             dos Santos Costa, Allan and Fazel-Zarandi, Maryam and Sercu, Tom and Candido, Salvatore
             and Rives, Alexander},
  journal = {Science},
  volume  = {379},
  number  = {6637},
  pages   = {1123--1130},
  year    = {2023},
  doi     = {10.1126/science.ade2574}
}
```
"""

_DEMO = """\
**These are vectors of the built-in demo model, whose weights are random: they carry no biology.**

"""


def make_card(source: Source, license_id: str | None) -> str:
    """Returns the card of the rows of an output."""
    about = source.describe()
    model = _code(source.model)
    is_demo = source.model == DEMO_MODEL
    return f"""\
---
{_front_matter(source, license_id)}---

# Protein embeddings of {model}

{_DEMO if is_demo else ""}One float32 vector of {source.dim:,} values for each of {source.rows:,} \
proteins, in the column `embedding`.

{_table(_counts(source))}

## How it was made

{_table((name, _code(value)) for name, value in about.items() if name not in ("rows", "key"))}

A row is known by `source` and `ordinal`, the input file and the place in it. `sequence_sha256` is
that of the sequence after the residue policy and before truncation; the sequences themselves are
not here.

## Reading it

```python
from datasets import load_dataset

rows = load_dataset("path/of/this/folder", split="train").with_format("numpy")
```

## Licence

{_licence(license_id)}

## How to cite

- The sequences: name the database, its release and its licence. They are not known to this card.
- The software: {about["made_with"]}.
- The model: {"none, its weights are random." if is_demo else f"{model}, and ESM-2:"}
{"" if is_demo else _ESM2}"""


def _front_matter(source: Source, license_id: str | None) -> str:
    size = next((name for most, name in _SIZES if source.rows < most), "n>100M")
    files = [{"split": "train", "path": "data/train-*.parquet"}]
    text: str = yaml.safe_dump(
        {
            "license": license_id or "unknown",
            "pretty_name": f"Protein embeddings of {printable(source.model)}",
            "tags": ["biology", "protein", "embeddings"],
            "size_categories": [size],
            "configs": [{"config_name": "default", "data_files": files}],
        },
        sort_keys=False,
        allow_unicode=True,
    )
    return text


def _counts(source: Source) -> list[tuple[str, str]]:
    # Two numbers a row: of a hundred million rows not more than a part takes.
    columns = ["sequence_length", "truncated"]
    tables = list(source.read_columns(columns))
    lengths, truncated = (
        np.concatenate([table.column(name).to_numpy() for table in tables]) for name in columns
    )
    return [
        ("proteins", f"{source.rows:,}"),
        ("input files", f"{_count_files(source):,}"),
        ("records that failed, and are not here", f"{source.dead_letters:,}"),
        ("shortest", f"{lengths.min():,} residues"),
        ("median", f"{np.quantile(lengths, 0.5, method='inverted_cdf'):,.0f} residues"),
        ("mean", f"{lengths.mean():,.1f} residues"),
        ("longest", f"{lengths.max():,} residues"),
        ("truncated before the model", f"{int(truncated.sum()):,}"),
    ]


def _count_files(source: Source) -> int:
    held = (each for part in source.parts for each in part.sources.items())
    return len({name for name, of_file in held if of_file.rows})


def _table(rows: Any) -> str:
    return "\n".join(["| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows)])


def _code(value: object) -> str:
    """Returns a value as code, in which nothing is markup."""
    return f"`{printable(str(value)).replace('`', chr(39)).replace('|', chr(92) + '|')}`"


def _licence(license_id: str | None) -> str:
    if license_id:
        return f"{_code(license_id)}, as given by whoever made this export."
    return (
        "Not given (`--license` of the export). Vectors are made of sequences and a model, each of "
        "which\nhas a licence of its own."
    )

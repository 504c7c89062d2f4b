"""The page: what was found, as HTML that holds all it needs and can fetch nothing."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib import resources
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

import pipeline
from pipeline.failures import MOST_SHOWN
from pipeline.file_states import FAILED
from pipeline.recorded import describe_vectors
from pipeline.reporting.accounting import account, judge, of_most_interest
from pipeline.reporting.chart import Charts, data_uri
from pipeline.reporting.findings import Findings
from pipeline.reporting.groups import COLOURS, Groups
from pipeline.reporting.row_charts import norm_outliers
from pipeline.reporting.scatter import map_data
from pipeline.reporting.survey import MOST_IDS
from pipeline.reporting.twins import tolerance
from pipeline.telling import state_of_all
from transforms.esm.checkpoints import DEMO_MODEL
from transforms.text import counted, printable

MOST_KINDS = 50
"""Reasons of dead letters of which a page has examples."""

GENERATOR = "fastesm-beam report"
"""What a page says it was made by, near its beginning."""

_STATES = {
    "alive": "A run is at work: this is what was committed when the page was made.",
    "silent": "A run holds the output and has not been heard of for a while.",
    "dead": "The last run died. The same command carries on from what is committed.",
}


def begin_page() -> str:
    """Returns what stands for a page until it is made."""
    return (
        f'<!doctype html><meta charset="utf-8"><meta name="generator" content="{GENERATOR}">'
        "<p>A report was begun here and is not finished. The same command makes it.</p>\n"
    )


def make_page(
    found: Findings, groups: Groups, charts: Charts, pictures: Mapping[str, bytes]
) -> str:
    """Returns the page.

    Args:
        found: What it tells.
        groups: The groups of the map.
        charts: Its pictures.
        pictures: Of each chart that is there, by name, the PNG.
    """
    style, script = (_read(name) for name in ("style.css", "map.js"))
    return (
        _environment()
        .from_string(_read("page.html.jinja"))
        .render(
            generator=f"{GENERATOR} {pipeline.__version__}",
            policy=_policy(style, script),
            style=Markup(style),
            script=Markup(script),
            found=found,
            made=f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
            groups=groups,
            colours=COLOURS,
            charts=charts,
            map_data=map_data(found.map, groups) if found.map.projections else None,
            uris={name: Markup(data_uri(png)) for name, png in pictures.items()},
            **_told(found),
        )
    )


def _told(found: Findings) -> dict[str, Any]:
    """Returns what the template tells beside pictures."""
    seen = found.overview
    configuration = seen.configuration
    identical = found.survey.twins.result()
    limit = tolerance(str(configuration.get("dtype", "")))
    failed = counted(seen.count(FAILED), f"whole {found.thing}")
    files = of_most_interest(seen.files)
    return {
        "thing": found.thing,
        "verdict": judge(seen.files),
        "sentences": account(seen.files, found.thing),
        "state": _STATES.get(state_of_all(seen), ""),
        "is_demo": configuration.get("model") == DEMO_MODEL,
        "faults": found.survey.faults,
        "dead_letters": sum(failures.count for failures in found.overview.failures),
        "failed_files": f", {failed} among them" if failed else "",
        "shared_ids": found.survey.shared_ids.count(),
        "most_ids": MOST_IDS,
        "most_kinds": MOST_KINDS,
        "files": files,
        "more_files": len(seen.files) - len(files),
        "identical": identical,
        "is_close": identical.distance <= limit,
        "limit": limit,
        "outliers": norm_outliers(found),
        "made_with": _made_with(found),
    }


def _made_with(found: Findings) -> list[tuple[str, str]]:
    told = list(describe_vectors(found.overview.configuration).items())
    report = found.overview.run_report
    told += [(name, report[name]) for name in ("device", "toks_per_batch") if report.get(name)]
    versions = report.get("versions")
    if isinstance(versions, dict):
        told += list(versions.items())
    return [(str(name), str(value)) for name, value in told]


def _environment() -> Environment:
    """Returns what fills in the template: every text is made printable and escaped."""
    environment = Environment(
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_finalize,
    )
    environment.filters["number"] = lambda value: f"{value:,}"
    return environment


def _finalize(value: Any) -> Any:
    is_text = isinstance(value, str) and not isinstance(value, Markup)
    return printable(value, MOST_SHOWN) if is_text else value


def _policy(style: str, script: str) -> str:
    """Returns what the page may do: show pictures that it holds, and run our script, known by hash.

    Content Security Policy Level 3. Should a text ever come out as markup, it can neither run nor
    fetch anything.
    """
    return (
        f"default-src 'none'; img-src data:; style-src '{_hash(style)}'; "
        f"script-src '{_hash(script)}'; base-uri 'none'; form-action 'none'"
    )


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _read(name: str) -> str:
    return resources.files("pipeline.reporting").joinpath(name).read_text("utf-8")

"""A report from its options to what a person is told."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from pipeline.exports.target import check_place
from pipeline.extras import require
from pipeline.reporting import row_charts, run_charts
from pipeline.reporting.chart import Chart, Charts
from pipeline.reporting.findings import Findings, ReportConfig, find_out
from pipeline.reporting.groups import Groups, make_groups
from pipeline.reporting.projection import FEWEST_FOR_UMAP
from transforms import storage
from transforms.errors import ConfigurationError
from transforms.text import counted, printable

REPORT_NAME = "report.html"

_PACKAGES = {"matplotlib": "matplotlib", "jinja2": "Jinja2"}


def write_report(config: ReportConfig) -> str:
    """Looks at an output and writes a page about it, and its pictures beside it.

    Returns:
        What was written, in a sentence or two.

    Raises:
        ConfigurationError: It cannot be done as asked; nothing was written.
        OSError: A file cannot be read or written.
    """
    require("A report", _PACKAGES, "report")
    from pipeline.reporting.page import begin_page, make_page  # which need one of them

    root = storage.absolute(config.output)
    page = _find_place(root, config.out)
    found = find_out(config)
    labels = found.map.labels
    groups = make_groups(labels.column if labels else found.thing, found.map.groups)
    charts = make_charts(found, groups)
    pictures = {chart.name: chart.render() for chart in charts.all() if chart.is_there}
    html = make_page(found, groups, charts, pictures)
    folder = _pictures_of(page)
    storage.check_writable(folder)
    if not storage.exists(page):  # pictures without one may be anybody's
        storage.overwrite(page, begin_page().encode())
    _write_pictures(folder, charts.all(), pictures)
    storage.overwrite(page, html.encode())  # last: who sees it finds its pictures
    return _tell(found, page, folder, len(pictures), len(html))


def _write_pictures(folder: str, charts: Sequence[Chart], pictures: Mapping[str, bytes]) -> None:
    storage.delete(storage.join(folder, storage.STAGING))
    for chart in charts:
        path = storage.join(folder, f"{chart.name}.png")
        if chart.is_there:
            storage.overwrite(path, pictures[chart.name])
        else:
            storage.delete(path)  # that of an earlier report


def make_charts(found: Findings, groups: Groups) -> Charts:
    """Returns the pictures of a report, in the order of the page."""
    of_rows = (
        row_charts.lengths_chart,
        row_charts.neighbours_chart,
        row_charts.norms_chart,
        row_charts.spread_chart,
    )
    of_run = (
        run_charts.growth_chart,
        run_charts.speed_chart,
        run_charts.batches_chart,
        run_charts.failures_chart,
    )
    return Charts(
        row_charts.map_chart(found, groups),
        tuple(make(found) for make in of_rows),
        tuple(make(found) for make in of_run),
    )


def _find_place(root: str, out: str | None) -> str:
    """Returns where the page goes.

    Raises:
        ConfigurationError: It cannot go there.
    """
    if out is None and not storage.is_local(root):
        raise ConfigurationError(
            f"{root} is not on this machine, where a report is written. Give --out with a local "
            "path."
        )
    path = check_place(out or f"{root.rstrip('/')}_report", root)
    if not (out or path).endswith(".html"):
        path = storage.join(path, REPORT_NAME)
    if storage.exists(path):
        if _is_ours(path):
            return path
        raise ConfigurationError(
            f"{path} is there and no report, so it is not replaced. Give another --out."
        )
    if storage.match(storage.join(pictures := _pictures_of(path), "")):
        raise ConfigurationError(
            f"{pictures} holds files, and {path}, whose pictures they would be, is not there. "
            "Delete the folder, or give another --out."
        )
    return path


def _pictures_of(page: str) -> str:
    return f"{page.removesuffix('.html')}_pictures"


def _is_ours(path: str) -> bool:
    from pipeline.reporting.page import GENERATOR

    return not storage.is_directory(path) and GENERATOR.encode() in storage.read_bytes(path)[:2000]


def _tell(found: Findings, page: str, folder: str, pictures: int, size: int) -> str:
    rows = counted(found.survey.rows, "protein") or "no protein"
    return (
        f"{printable(page)}: {rows}, {size / 1e6:,.1f} MB, opens without a network. "
        f"{counted(pictures, 'picture') or 'No picture'} in {printable(os.path.basename(folder))}/."
        f"{_tell_umap(found)}"
    )


def _tell_umap(found: Findings) -> str:
    has_pca_alone = len(found.map.projections) == 1 and len(found.map.sample) >= FEWEST_FOR_UMAP
    return "\nFor UMAP beside PCA: pip install '.[umap]' or umap-learn." * has_pca_alone

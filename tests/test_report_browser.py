"""The page of ``python -m pipeline.report`` in a real browser; needs Chromium."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline import report
from tests.browser import CHROMIUM, NAMES, Browser, browsing
from tests.command import exit_code_of
from tests.helpers import commit, make_block, make_output
from tests.helpers import make_protein as protein
from tests.report_helpers import CONFIGURATION, HOSTILE, hostile_output
from transforms.output.configuration import write_configuration

pytest.importorskip("matplotlib")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason=f"needs one of {', '.join(NAMES)}")


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browsing(tmp_path_factory.mktemp("profile")) as started:
        started.resize(1200, 1400)
        yield started


def make_page(output: str, page: Path) -> Path:
    assert exit_code_of(report.main, output, "--out", page) == 0
    return page


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("page")
    output = make_output(folder)
    write_configuration(output.root, CONFIGURATION)
    rows = [
        protein(n, source, id=f"{source}-{n}") for source in ("a.fa", "b.fa") for n in range(20)
    ]
    commit(output, make_block(*rows))
    return make_page(output.root, folder / "page.html")


def assert_quiet(browser: Browser, page: Path) -> None:
    """Nothing came to the console, and nothing was asked for but the page and what it holds."""
    assert browser.complaints == []
    others = [url for url in browser.requests if not url.startswith("data:")]
    assert others == [page.as_uri()]


def test_a_page_opens_without_a_complaint_and_asks_nobody(browser: Browser, page: Path) -> None:
    for is_dark in (False, True):
        browser.resize(1200, 1400, is_dark=is_dark)
        browser.open(page)
        assert_quiet(browser, page)
        assert browser.evaluate("document.querySelectorAll('#map .dot').length") == 40
        broken = "[...document.images].filter((each) => !each.naturalWidth).length"
        assert browser.evaluate(broken) == 0
    ground = browser.evaluate("getComputedStyle(document.body).backgroundColor")
    browser.resize(1200, 1400)
    assert browser.evaluate("getComputedStyle(document.body).backgroundColor") != ground


@pytest.mark.parametrize(
    "markup",
    [
        '<img src="https://example.org/x.png">',
        "<script>document.title = 'ran'</script>",
        '<p style="color: red">x</p>',
        '<link rel="stylesheet" href="https://example.org/x.css">',
        '<iframe src="https://example.org/"></iframe>',
    ],
)
def test_what_is_not_of_the_page_is_stopped_and_told(
    markup: str, browser: Browser, page: Path, tmp_path: Path
) -> None:
    # So that the silence above says something.
    changed = tmp_path / "page.html"
    changed.write_text(page.read_text().replace("<main>", f"<main>{markup}"))
    browser.open(changed)
    assert any("Content Security Policy" in str(each) for each in browser.complaints)
    assert browser.evaluate("document.title") != "ran"


def test_a_hostile_text_is_shown_and_does_not_run(browser: Browser, tmp_path: Path) -> None:
    page = make_page(hostile_output(tmp_path).root, tmp_path / "page.html")
    browser.open(page)
    assert_quiet(browser, page)
    assert browser.evaluate("document.scripts.length") == 2
    assert HOSTILE in browser.evaluate("document.body.innerText")
    point_at_first(browser)
    assert browser.evaluate("document.querySelector('#tip b').textContent").startswith(HOSTILE)
    assert browser.evaluate("document.querySelectorAll('#tip script').length") == 0
    browser.evaluate("document.querySelector('.legend button').click()")
    assert_quiet(browser, page)


def point_at_first(browser: Browser) -> None:
    browser.evaluate("document.getElementById('map').scrollIntoView()")
    box = "document.querySelector('#map .dot').getBoundingClientRect()"
    x, y = browser.evaluate(f"[{box}.x + {box}.width / 2, {box}.y + {box}.height / 2]")
    browser.point(x, y)


def test_the_map_tells_an_id_and_lights_up_its_group(browser: Browser, page: Path) -> None:
    browser.open(page)
    assert browser.evaluate("document.getElementById('tip').hidden")
    point_at_first(browser)
    told = browser.evaluate("document.getElementById('tip').innerText")
    assert browser.evaluate("document.querySelectorAll('#projections button').length") != 1
    source = told.split("-")[0]
    assert source in ("a.fa", "b.fa")
    assert "6 residues" in told
    lit = "[...document.querySelectorAll('#map .lit .dot')].length"
    assert browser.evaluate(lit) == 20
    browser.point(1, 1)
    assert browser.evaluate("document.getElementById('tip').hidden")
    assert browser.evaluate(lit) == 0
    assert_quiet(browser, page)


def test_the_map_finds_ids_and_groups(browser: Browser, page: Path) -> None:
    browser.open(page)
    lit = "document.querySelectorAll('#map .dot.lit').length"
    for text, count in (("B.FA", 20), ("a.fa-1", 11), ("nothing", 0)):
        browser.evaluate(
            f"find.value = '{text}'; find.dispatchEvent(new Event('input')); undefined"
        )
        assert browser.evaluate(lit) == count
        assert browser.evaluate("document.getElementById('found').textContent") == f"{count} of 40"
    press = "document.querySelector('.legend button').click()"
    browser.evaluate(press)
    assert browser.evaluate(lit) == 20
    browser.evaluate(press)
    assert browser.evaluate("document.getElementById('map').classList.contains('focus')") is False


def test_a_narrow_page_is_not_wider_than_its_window(browser: Browser, tmp_path: Path) -> None:
    page = make_page(hostile_output(tmp_path).root, tmp_path / "page.html")
    browser.resize(360, 800)
    try:
        browser.open(page)
        assert browser.evaluate("document.documentElement.scrollWidth") == 360
        # No point lies on what an axis is called.
        boxes = (
            "[...document.querySelectorAll('.axis, #map')].map((e) => e.getBoundingClientRect())"
        )
        up, plane, across = browser.evaluate(f"{boxes}.map((box) => [box.top, box.bottom])")
        assert up[1] <= plane[0] < plane[1] <= across[0]
    finally:
        browser.resize(1200, 1400)

"""The report in Chromium: all of it is seen, tables are used, nobody is kept out."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from helpers.browsers import browsing, watched
from helpers.small_cases import small_pack
from helpers.small_report import (
    PATCHING,
    SURVEY,
    WIDE,
    cell,
    displayed,
    failing_cells,
    save,
    small_run,
)
from nbformat.v4 import new_markdown_cell
from second_look.files import write_json
from second_look.outputs import Run, table_html
from second_look.running.report import build_report

pytestmark = pytest.mark.browser
NAMES = [SURVEY, PATCHING, "03_dcgan"]
PATIENCE = 80  # quarters of a second that a page gets on a busy machine
# What a table of a notebook may hold: numbers of every form, gaps, names.
TABLE = pd.DataFrame(
    {
        "model": [f"model {k:02d}" for k in range(15)],
        "AUC": [np.nan, *np.linspace(-1, 2000, 13), 0.5],
        "n": [10 * k + 3 for k in range(15)][::-1],
    }
)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return small_run(tmp_path / "small")


def build(run: Run) -> Path:
    return build_report(run.folder, NAMES)


@pytest.fixture(scope="module")
def full_report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report with every kind of content: figures, tables, cases, an error."""
    run = small_run(tmp_path_factory.mktemp("report") / "small")
    path = run.folder / "cases" / "01_cases.json"
    write_json(path, small_pack())
    run.wrote(path)
    shown_table = f'<figure id="02_t" class="table"><figcaption>T.</figcaption>{table_html(TABLE)}'
    cases = '<figure id="01_cases" class="cases"><figcaption>Cases.</figcaption></figure>'
    cells = [
        new_markdown_cell("# 02 · Patching"),
        new_markdown_cell("## A table"),
        cell("t", displayed(text_html=f"{shown_table}</figure>")),
        cell("c", displayed(text_html=cases)),
    ]
    save(run.folder, PATCHING, [*cells, *failing_cells()[2:]])
    return build(run)


@pytest.fixture(scope="module")
def browser(chromium: str) -> Iterator[Any]:
    with browsing(chromium) as started:
        yield started


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1200, 390])
def test_a_reader_sees_all_of_it(run: Run, browser: Any, width: int, scheme: str) -> None:
    save(run.folder, PATCHING, failing_cells())
    build(run)
    tab = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    complaints: list[str] = []
    asked: list[str] = []
    tab.on("console", lambda message: complaints.append(message.text))
    tab.on("pageerror", lambda error: complaints.append(str(error)))
    tab.on("request", lambda request: asked.append(request.url))
    tab.goto((run.folder / "report.html").as_uri())
    for folded in tab.locator("details").all():
        folded.evaluate("fold => { fold.open = true }")
    widths = tab.evaluate("[...document.images].map(image => image.naturalWidth)")
    page_width = tab.evaluate("document.documentElement.scrollWidth")
    row_text = tab.locator("#claim-area-mass").inner_text()
    backgrounds = tab.evaluate("getComputedStyle(document.body).backgroundColor")
    tab.close()
    assert complaints == []
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == []
    assert sorted(widths) == [40, 1200]
    assert page_width <= width
    assert "1.52 [1.22, 1.84] % of image" in row_text
    assert (backgrounds == "rgb(255, 255, 255)") == (scheme == "light")


def test_what_is_too_wide_for_a_phone_is_seen_by_the_check(browser: Any, tmp_path: Path) -> None:
    (tmp_path / "wide.html").write_text(f"<table><tr>{WIDE}</tr></table>")
    tab = browser.new_page(viewport={"width": 390, "height": 900})
    tab.goto((tmp_path / "wide.html").as_uri())
    assert tab.evaluate("document.documentElement.scrollWidth") > 390
    tab.close()


# ------------------------------------------------------------------ tables


def column(table: Any, number: int) -> list[str]:
    return table.locator(f"tbody tr:visible td:nth-child({number})").all_inner_texts()


def test_a_table_is_sorted_by_the_numbers_of_a_column(browser: Any, full_report: Path) -> None:
    with watched(browser, full_report, width=1200) as page:
        table = page.locator("figure[id='02_t'] table")
        table.get_by_role("button", name="AUC").click()
        values = [float(text.replace(",", "")) for text in column(table, 2)[:-1]]
        assert values == sorted(values)
        assert column(table, 2)[-1] == "–"
        assert table.locator("th").nth(1).get_attribute("aria-sort") == "ascending"
        table.get_by_role("button", name="AUC").click()
        values = [float(text.replace(",", "")) for text in column(table, 2)[:-1]]
        assert values == sorted(values, reverse=True)
        assert column(table, 2)[-1] == "–"
        table.get_by_role("button", name="model").click()
        assert column(table, 1) == sorted(TABLE["model"])
        assert table.locator("th").nth(1).get_attribute("aria-sort") is None


def test_a_long_table_is_searched(browser: Any, full_report: Path) -> None:
    with watched(browser, full_report, width=1200) as page:
        figure = page.locator("figure[id='02_t']")
        figure.get_by_label("Search this table").fill("MODEL 1")
        assert column(figure, 1) == [f"model {k}" for k in range(10, 15)]
        assert "5 of 15 rows" in figure.inner_text()
        figure.get_by_label("Search this table").fill("")
        assert len(column(figure, 1)) == 15


def test_a_table_too_wide_for_a_phone_shows_that_it_goes_on(
    browser: Any, full_report: Path
) -> None:
    with watched(browser, full_report, width=390) as page:
        frame = page.locator(".scroll:has(> table)", has_text="a_rather_long_value_0").first
        wide, seen_width = frame.evaluate("frame => [frame.scrollWidth, frame.clientWidth]")
        assert wide > seen_width
        assert frame.evaluate("f => getComputedStyle(f).backgroundImage").count("gradient") == 4


def test_contents_say_where_one_is(browser: Any, full_report: Path) -> None:
    with watched(browser, full_report, width=1400) as page:
        page.locator(f"section[id='{PATCHING}']").scroll_into_view_if_needed()
        at_the_run = page.locator("nav a[href='#run'][aria-current]")
        for _ in range(PATIENCE):  # pictures that load on the way make the page longer
            page.evaluate("scrollTo(0, document.documentElement.scrollHeight)")
            if at_the_run.count():
                break
            page.wait_for_timeout(250)
        at_the_run.wait_for(state="attached")
        page.evaluate("scrollTo(0, 0)")
        at_the_run.wait_for(state="detached")


# ------------------------------------------------------------------ for everybody, and on paper


# The widest and the narrowest page in the quick tests, the others in the slow ones.
@pytest.mark.parametrize(
    ("width", "scheme"),
    [
        (1440, "light"),
        (390, "dark"),
        *(
            pytest.param(width, scheme, marks=pytest.mark.slow)
            for width in (1440, 1024, 768, 390)
            for scheme in ("light", "dark")
            if (width, scheme) not in {(1440, "light"), (390, "dark")}
        ),
    ],
)
def test_axe_finds_nothing_that_keeps_readers_out(
    browser: Any, full_report: Path, width: int, scheme: str
) -> None:
    pytest.importorskip("axe_core_python", reason="pip install axe-core-python")
    axe = (files("axe_core_python") / "axe.min.js").read_text("utf-8")
    with watched(browser, full_report, width=width, color_scheme=scheme) as page:
        page.evaluate("document.querySelectorAll('details').forEach(fold => { fold.open = true })")
        page.locator("div.case-viewer").scroll_into_view_if_needed()
        page.locator(".case-viewer canvas").first.wait_for()
        page.evaluate(axe)
        found_by_axe = page.evaluate("axe.run(document, { resultTypes: ['violations'] })")
    problems = [
        f"{rule['id']}: {rule['help']}: {node['html'][:200]}"
        for rule in found_by_axe["violations"]
        for node in rule["nodes"]
    ]
    assert not problems, "\n".join(problems)


def test_on_paper_no_column_is_cut(browser: Any, full_report: Path) -> None:
    with watched(browser, full_report, width=700) as page:
        page.emulate_media(media="print")
        page.evaluate("document.querySelectorAll('details').forEach(fold => { fold.open = true })")
        assert page.evaluate("document.documentElement.scrollWidth") <= 700
        too_wide = page.evaluate(
            "[...document.querySelectorAll('table, img')].filter(x => x.clientWidth)"
            ".filter(x => x.getBoundingClientRect().right > 701).map(x => x.outerHTML.slice(0, 80))"
        )
    assert too_wide == []

"""The viewer in Chromium, by use: a report of a small run, its script, and known pixels."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from helpers.browsers import browsing, watched
from helpers.small_cases import BRIGHT, COLS, DARK, ROWS, small_pack
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from second_look.outputs import open_run
from second_look.running.report import build_report

pytestmark = pytest.mark.browser
NOTEBOOK = "05_mask_rcnn"
BLUE, ORANGE = (86, 180, 233), (213, 94, 0)
# The pixel of a canvas under a point of the mammogram, wherever one looks at it.
PIXEL = """(canvas, [row, col]) => {
  const view = canvas.viewer, ratio = window.devicePixelRatio;
  const scale = view.scale * ratio;
  const x = Math.floor(canvas.width / 2 + (col - view.col) * scale);
  const y = Math.floor(canvas.height / 2 + (row - view.row) * scale);
  const copy = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  copy.drawImage(canvas, x, y, 1, 1, 0, 0, 1, 1);
  return [...copy.getImageData(0, 0, 1, 1).data].slice(0, 3);
}"""


def report_with_cases(folder: Path, pack: dict[str, Any]) -> Path:
    """The report of a run whose only notebook shows these cases."""
    run = open_run(folder, notebook=NOTEBOOK)
    path = folder / "cases" / "05_cases.json"
    path.parent.mkdir()
    path.write_text(json.dumps(pack))
    run.wrote(path)
    figure = (
        '<figure id="05_cases" class="cases"><figcaption>About these cases.</figcaption></figure>'
    )
    cells = [
        new_markdown_cell("# 05 · Mask R-CNN\n\nWhat does it find?"),
        new_code_cell(
            "show()",
            outputs=[new_output("display_data", {"text/html": figure})],
            metadata={"tags": ["answer"]},
        ),
    ]
    (folder / "notebooks").mkdir()
    nbformat.write(new_notebook(cells=cells), folder / "notebooks" / f"{NOTEBOOK}.ipynb")
    return build_report(folder, [NOTEBOOK])


@pytest.fixture(scope="module")
def browser(chromium: str) -> Iterator[Any]:
    with browsing(chromium) as started:
        yield started


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return report_with_cases(tmp_path_factory.mktemp("cases") / "small", small_pack())


@pytest.fixture
def tab(browser: Any, report: Path) -> Iterator[Any]:
    """The report with its first case open; nothing may be complained about in the end."""
    with watched(browser, report, width=1200) as page:
        settled(page)
        yield page


def settled(page: Any) -> None:
    """Go to the viewer and wait until its case is drawn."""
    page.locator("div.case-viewer").scroll_into_view_if_needed()
    page.locator(".case-viewer canvas").first.wait_for()
    page.wait_for_function("!document.querySelector('[data-opening]')")


def pixel(page: Any, row: float, col: float, view: int = 0) -> tuple[int, ...]:
    canvas = page.locator(".case-viewer canvas").nth(view)
    return tuple(canvas.evaluate(PIXEL, [row, col]))


def status(page: Any) -> str:
    return page.locator(".case-viewer .status").inner_text()


def choice(page: Any, name: str) -> Any:
    return page.locator(f".case-viewer select[name={name}]")


def press(page: Any, *keys: str, view: int = 0) -> None:
    page.locator(".case-viewer canvas").nth(view).focus()
    for key in keys:
        page.keyboard.press(key)
    page.wait_for_function("!document.querySelector('[data-opening]')")


def similar(colour: tuple[int, ...], expected: tuple[int, ...], tolerance: int = 3) -> bool:
    return all(abs(a - b) <= tolerance for a, b in zip(colour, expected, strict=True))


def test_a_case_opens_with_both_views_and_the_pixels_of_the_mammogram(tab: Any) -> None:
    assert status(tab) == "1 of 4 · hit · mass, malignant · score 0.90"
    titles = tab.locator(".case-viewer .title").all_inner_texts()
    assert titles == [
        "a_CC · L CC · malignant · density 2", "a_MLO · L MLO · malignant · density 2"
    ]  # fmt: skip
    assert similar(pixel(tab, 20, 50), (DARK,) * 3)
    assert similar(pixel(tab, 20, 150), (BRIGHT,) * 3)
    assert similar(pixel(tab, 60, 20), BLUE, 60)  # the outline of the true square
    assert similar(pixel(tab, 80, 140), ORANGE, 60)  # the box of the detection
    assert "made: by a test." in tab.locator(".case-viewer").inner_text()


def test_layers_are_turned_on_and_off(tab: Any) -> None:
    assert not similar(pixel(tab, 200, 50), (DARK,) * 3, 20)  # the heat map, score 1
    press(tab, "h", "t", "d")
    assert similar(pixel(tab, 200, 50), (DARK,) * 3)
    assert similar(pixel(tab, 60, 20), (DARK,) * 3)
    assert similar(pixel(tab, 80, 140), (BRIGHT,) * 3)
    tab.get_by_label(re.compile(r"^\s*Detections")).check()
    assert similar(pixel(tab, 80, 140), ORANGE, 60)
    tab.get_by_label(re.compile(r"^\s*Scores from")).fill("0.75")
    assert similar(pixel(tab, 80, 140), (BRIGHT,) * 3)  # its score is 0.7
    press(tab, "[", "[")
    assert similar(pixel(tab, 80, 140), ORANGE, 60)
    press(tab, "h")
    tab.get_by_label(re.compile(r"^\s*Opacity")).fill("1")
    assert similar(pixel(tab, 200, 50), (252, 255, 164), 4)
    tab.get_by_label(re.compile(r"^\s*Opacity")).fill("0")
    assert similar(pixel(tab, 200, 50), (DARK,) * 3)


def test_zoom_and_pan_reach_native_pixels(tab: Any) -> None:
    canvas = tab.locator(".case-viewer canvas").first
    start = canvas.evaluate("c => c.viewer.scale")
    frame = canvas.bounding_box()
    assert start == pytest.approx(min(frame["width"] / COLS, frame["height"] / ROWS), rel=0.02)
    press(tab, "1")
    frame = canvas.bounding_box()  # focus may have scrolled the page
    assert canvas.get_attribute("data-zoom") == "1.000"
    # Two neighbouring pixels of the mammogram are two neighbouring ones of the screen.
    assert similar(pixel(tab, 20.5, 99.5), (DARK,) * 3)
    assert similar(pixel(tab, 20.5, 100.5), (BRIGHT,) * 3)
    start = canvas.evaluate("c => [c.viewer.row, c.viewer.col]")
    tab.mouse.move(frame["x"] + 100, frame["y"] + 100)
    tab.mouse.down()
    tab.mouse.move(frame["x"] + 130, frame["y"] + 80)
    tab.mouse.up()
    centre = canvas.evaluate("c => [c.viewer.row, c.viewer.col]")
    assert centre == pytest.approx([start[0] + 20, start[1] - 30])
    under = canvas.evaluate("c => c.viewer.place(230, 230)")
    tab.mouse.move(frame["x"] + 230, frame["y"] + 230)
    tab.mouse.wheel(0, -120)
    tab.wait_for_function("document.querySelector('.case-viewer canvas').viewer.scale > 1")
    assert canvas.evaluate("c => c.viewer.place(230, 230)") == pytest.approx(under, abs=1)
    press(tab, "0", "ArrowRight")
    assert canvas.evaluate("c => c.viewer.col") > COLS / 2
    press(tab, "f")
    assert canvas.evaluate("c => [c.viewer.row, c.viewer.col]") == [60, 40]


def test_the_wheel_scrolls_the_page_until_a_picture_is_clicked(tab: Any) -> None:
    canvas = tab.locator(".case-viewer canvas").first
    scale = canvas.evaluate("c => c.viewer.scale")
    canvas.hover()
    tab.mouse.wheel(0, -120)
    tab.wait_for_timeout(100)
    assert canvas.evaluate("c => c.viewer.scale") == scale


def test_window_and_level_change_the_grey(tab: Any) -> None:
    press(tab, "h")
    tab.get_by_label(re.compile(r"^\s*Window")).fill("50")
    tab.get_by_label(re.compile(r"^\s*Level")).fill("25")
    # 0 to half of the range becomes black to white.
    assert similar(pixel(tab, 20, 50), (2 * DARK,) * 3, 4)
    assert pixel(tab, 20, 150) == (255, 255, 255)
    press(tab, "i")
    assert similar(pixel(tab, 20, 50), (255 - 2 * DARK,) * 3, 4)
    tab.get_by_role("button", name="Reset").click()
    assert similar(pixel(tab, 20, 50), (DARK,) * 3)


def test_cases_are_stepped_through_and_filtered(tab: Any) -> None:
    press(tab, "n")
    assert status(tab).startswith(
        "2 of 4 · miss · calcification, benign without callback · score 0.10"
    )
    tab.get_by_role("button", name="Next").click()
    tab.wait_for_function("!document.querySelector('[data-opening]')")
    assert status(tab) == "3 of 4 · false alarm · normal · score 0.80"
    assert tab.locator(".case-viewer canvas").count() == 1
    press(tab, "p", "p", "p")
    assert status(tab).startswith("4 of 4")
    assert choice(tab, "outcome").locator("option").all_inner_texts() == [
        "all (4)", "hit (1 of 9)", "miss (1)", "false alarm (2)"
    ]  # fmt: skip
    choice(tab, "kind").select_option("calcification")
    assert status(tab).startswith("1 of 1 · miss")
    choice(tab, "density").select_option("3")
    assert "choose other filters" in status(tab)
    choice(tab, "kind").select_option("")
    assert status(tab).startswith("1 of 2 · false alarm")
    tab.wait_for_function("!document.querySelector('[data-opening]')")


def test_an_empty_layer_and_hostile_text_are_shown_as_text(tab: Any) -> None:
    choice(tab, "density").select_option("3")
    tab.wait_for_function("!document.querySelector('[data-opening]')")
    assert tab.locator(".case-viewer .notes li").all_inner_texts() == [
        "Truth: this image has no lesion.",
        "Detections: the model reports nothing.",
        "Heat map: none for this image.",
    ]
    assert tab.locator(".case-viewer .title").inner_text().startswith("<b>bare</b>")
    assert tab.locator(".case-viewer b").count() == 0


def test_keys_have_their_help_and_controls_their_names(tab: Any) -> None:
    assert not tab.get_by_text("next and previous case").is_visible()
    press(tab, "?")
    assert tab.get_by_text("next and previous case").is_visible()
    names = tab.locator(".case-viewer :is(input, select, button, canvas)").evaluate_all(
        "all => all.map(x => x.ariaLabel || x.labels?.[0]?.textContent || x.textContent)"
    )
    assert all(name.strip() for name in names)


def test_nothing_is_decoded_before_a_reader_gets_there(browser: Any, report: Path) -> None:
    with watched(browser, report, width=1200, height=100) as page:
        page.wait_for_timeout(200)
        assert page.locator(".case-viewer canvas").count() == 0
        settled(page)
        assert page.locator(".case-viewer canvas").count() == 2


def test_a_layer_that_a_model_lacks_is_off_with_its_reason(browser: Any, tmp_path: Path) -> None:
    pack = small_pack(missing={"heat": "A detector has none."})
    with watched(browser, report_with_cases(tmp_path / "small", pack), width=390) as page:
        settled(page)
        assert page.get_by_label(re.compile(r"^\s*Heat map")).is_disabled()
        assert "None: A detector has none." in page.locator(".controls").inner_text()
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        press(page, "h")
        assert similar(pixel(page, 200, 50), (DARK,) * 3)


def test_two_fingers_enlarge(browser: Any, report: Path) -> None:
    with watched(browser, report, width=390, has_touch=True) as page:
        settled(page)
        canvas = page.locator(".case-viewer canvas").first
        start = canvas.evaluate("c => c.viewer.scale")
        canvas.evaluate(
            """c => {
              c.setPointerCapture = () => {};
              const frame = c.getBoundingClientRect();
              const send = (type, pointerId, x) => c.dispatchEvent(new PointerEvent(type, {
                pointerId, pointerType: "touch", clientX: frame.left + x, clientY: frame.top + 50,
                buttons: 1, bubbles: true }));
              send("pointerdown", 1, 50); send("pointerdown", 2, 70);
              send("pointermove", 2, 90); send("pointerup", 1, 50); send("pointerup", 2, 90);
            }"""
        )
        assert canvas.evaluate("c => c.viewer.scale") == pytest.approx(2 * start)

"""The report: one page that needs nothing else, scorecard first, readable on a phone."""

from __future__ import annotations

import base64
import io
import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest
from helpers.small_report import (
    PATCHING,
    SURVEY,
    cell,
    displayed,
    failing_cells,
    png,
    save,
    small_run,
)
from nbformat.v4 import (
    new_markdown_cell,
)
from PIL import Image
from second_look.claims import CLAIMS
from second_look.errors import OutputError
from second_look.outputs import Run, open_run, table_html
from second_look.running import report_pictures
from second_look.running.report import build_report, contained, markdown
from second_look.running.report_pictures import as_webp, shrink_pictures

NAMES = [SURVEY, PATCHING, "03_dcgan"]


class Page(HTMLParser):
    """What a page holds: tags with their attributes, and the text outside of tags."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    def values(self, name: str) -> list[str]:
        return [attributes[name] or "" for _, attributes in self.tags if name in attributes]

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return small_run(tmp_path / "small")


def build(run: Run) -> str:
    return build_report(run.folder, NAMES).read_text(encoding="utf-8")


def row(text: str, claim: str) -> Page:
    match = re.search(rf'<tr id="claim-{claim}">.*?</tr>', text, re.DOTALL)
    assert match is not None
    return Page(match[0])


def test_it_opens_with_what_the_code_can_learn(run: Run) -> None:
    assert "Can this code learn?" not in build(run)
    scorecard = open_run(run.folder, notebook="08_scorecard")
    table = pd.DataFrame(
        [("Mask R-CNN", "share of lesions found", 0.9, 0.8, 0.95, 46, 0.2, "brightest blobs", "",
          "yes")],
        columns=["method", "measure", "value", "low", "high", "n", "null", "beside", "reason",
                 "learnt"],
    )  # fmt: skip
    scorecard.table(table, "positive_control", "What was learnt.")
    text = build(run)
    assert "Mask R-CNN, share of lesions found: 0.90 [0.80, 0.95] (brightest blobs: 0.20)" in text
    assert text.index("Can this code learn?") < text.index('id="scorecard"')


# ------------------------------------------------------------------ scorecard


def test_every_claim_has_a_row_in_the_papers_order(run: Run) -> None:
    ids = re.findall(r'<tr id="claim-([\w-]+)">', build(run))
    assert ids == [claim.id for claim in CLAIMS]


def test_the_paper_and_this_run_stand_side_by_side(run: Run) -> None:
    text = build(run)
    mias = row(text, "data-mias")
    assert mias.text == "images in MIAS (Data) 322 322 counted 322 reproduced 01 · Survey"
    assert mias.values("href") == [f"#{SURVEY}"]
    mass = row(text, "area-mass")
    assert "1.2 % of image 1.52 [1.22, 1.84] % of image 26 undecided: the interval" in mass.text
    assert mass.values("href") == ["#01_areas"]
    assert row(text, "area-calc").values("href") == [f"#{SURVEY}"]
    sizes = row(text, "size-range").text
    assert "1,024 to 4,096 px 1,024 px 1,234 reproduced in part" in sizes


def test_what_no_notebook_measures_says_so_and_links_nowhere(run: Run) -> None:
    unmeasured = row(build(run), "fig-3a")
    assert unmeasured.text == "AUC of Mask R-CNN per image (Fig. 3a) 0.93 not measured notebook 05"
    assert unmeasured.values("href") == []


def test_the_scorecard_is_counted(run: Run) -> None:
    text = Page(build(run)).text
    scorecard = text[text.index("Scorecard: the paper") :]
    data = scorecard[scorecard.index(" data: ") : scorecard.index(" statements: ")]
    for count in ("1 reproduced", "1 reproduced in part", "1 undecided", "1 higher than the paper"):
        assert f" {count} " in f"{data} "
    assert "When does a claim count as reproduced?" in text
    assert "equivalence margin, fixed beforehand" in text
    assert "<li>" not in text, "the rule is shown as markup"


def test_a_claim_measured_twice_has_two_rows(run: Run) -> None:
    open_run(run.folder, notebook=PATCHING).result("data-mias", 321, n=321)
    text = build(run)
    assert "not reproduced" not in row(text, "data-mias").text
    assert re.findall(r'<tr id="(claim-data-mias[^"]*)">', text) == [
        "claim-data-mias",
        f"claim-data-mias-{2 + [item.id for item in CLAIMS].index('data-mias')}",
    ]


def test_synthetic_images_are_said_before_anything_else(run: Run) -> None:
    assert "mammograms are synthetic" not in build(run)
    run.result("patch-classes", 4, synthetic=True)
    text = Page(build(run)).text
    assert text.index("mammograms are synthetic") < text.index("Scorecard: the paper")
    assert "not a medical device" in text


def test_related_work_is_there(run: Run) -> None:
    assert "9 Levy and Jain 2016 masses found by radiologists, GoogLeNet accuracy 0.929" in (
        Page(build(run)).text
    )


# ------------------------------------------------------------------ notebooks


def test_prose_figures_and_tables_are_there_with_the_code_folded(run: Run) -> None:
    text = build(run)
    page = Page(text)
    assert "<h2>01 · Survey: which <em>images</em>?</h2>" in text
    assert f'<h3 id="{SURVEY}-1">How many &amp; why?</h3>' in text
    assert "<strong>Found:</strong> 3 of <code>4</code>." in text
    assert "<pre>a &lt; b</pre>" in text
    assert "Areas of lesions." in page.values("alt")
    assert all(page.values("alt"))
    assert text.count("<figcaption>Areas of lesions.</figcaption>") == 1
    outside = re.sub(r"<details.*?</details>", "", text, flags=re.DOTALL)
    for folded in ("run.figure", "stride", "said red"):
        assert folded in "".join(page.words)
        assert folded not in outside
    assert "parameters: defaults" in text
    assert "parameters of this run" in text


def test_progress_widgets_and_colour_codes_are_gone(run: Run) -> None:
    text = build(run)
    for gone in ("100%|####", "a bar", "\x1b", "<Figure size", "&lt;Figure size"):
        assert gone not in text
    assert "said red &lt;b&gt;" in text


def test_contents_lead_to_every_section_and_ids_are_unique(run: Run) -> None:
    page = Page(build(run))
    ids = page.values("id")
    assert len(ids) == len(set(ids))
    assert {link[1:] for link in page.values("href") if link.startswith("#")} <= {*ids, PATCHING}
    assert {f"#{SURVEY}", f"#{SURVEY}-1", f"#{SURVEY}-2", "#scorecard"} <= set(page.values("href"))


def test_a_failed_notebook_shows_its_error_plainly(run: Run) -> None:
    save(run.folder, PATCHING, failing_cells())
    text = build(run)
    assert "This notebook stopped with an error." in text
    assert "<strong>This cell failed.</strong> DataError: row 3 &lt;bad&gt;" in text
    assert "<pre>Traceback</pre>" in text
    assert "An Exception was encountered" not in text


@pytest.mark.parametrize(
    "content",
    ["", "[1]", '{"cells": 3}', '{"cells": [3]}', '{"cells": [{"cell_type": "code"}]}',
     '{"cells": [{"cell_type": "code", "metadata": {}, "source": "x", "outputs": [3]}]}',
     '{"cells": [{"cell_type": "code", "metadata": {}, "source": "x"}]}'],
)  # fmt: skip
def test_an_executed_notebook_that_is_none_is_left_out(run: Run, content: str) -> None:
    (run.folder / "notebooks" / f"{PATCHING}.ipynb").write_text(content)
    assert f'id="{PATCHING}"' not in build(run)


def test_an_out_of_date_notebook_says_so(run: Run) -> None:
    assert "Out of date:" not in build(run)
    save(run.folder, PATCHING, [new_markdown_cell("# 02 · Patching")])
    assert "Out of date:" in build(run)


def test_a_notebook_that_the_last_run_did_not_reach_says_so(run: Run) -> None:
    facts = json.loads((run.folder / "run.json").read_text())
    facts["notebooks"][SURVEY]["status"] = "not reached"
    (run.folder / "run.json").write_text(json.dumps(facts))
    assert "From an earlier run:" in build(run)


def test_how_it_was_made(run: Run) -> None:
    text = Page(build(run)).text
    assert "Commit abc123 with uncommitted changes" in text
    assert f"{SURVEY} done 12.5 812 3" in text
    assert "numpy 2.0" in text
    assert 'source: "phantom"' in text
    assert "Not run in this set: 02_patching, 03_dcgan." in text


def test_an_empty_folder_gives_a_page_that_measured_nothing(tmp_path: Path) -> None:
    text = Page(build_report(tmp_path, NAMES).read_text()).text
    cannot = [item for item in CLAIMS if item.unmeasured]
    assert text.count(" not measured ") >= len(CLAIMS) - len(cannot)
    assert all(item.unmeasured in text for item in cannot)
    assert "Not run in this set: 01_data_survey, 02_patching, 03_dcgan." in text


# ------------------------------------------------------------------ one page, nothing else


def test_the_page_names_nothing_outside_of_itself(run: Run) -> None:
    page = Page(build(run))
    tags = [tag for tag, _ in page.tags]
    assert not {"iframe", "object", "embed"} & set(tags)
    assert all("src" not in attributes for tag, attributes in page.tags if tag == "script")
    assert all(source.startswith("data:") for source in page.values("src"))
    assert [link for link in page.values("href") if not link.startswith(("#", "data:"))] == []
    assert tags.count("style") == 1
    assert "default-src 'none'" in build(run)


HOSTILE = {
    "script": "<SCRIPT src=x>alert(1)</SCRIPT >",
    "script after a comment": "<!--><script>alert(1)</script>-->",
    "nested script": "<scr<script>ipt>alert(1)</script>",
    "script with a slash": "<script/src=//e.org/a.js></script>",
    "meta refresh": '<meta http-equiv="refresh" content="0;url=https://e.org">',
    "base": '<base href="https://e.org/">',
    "link": '<link rel="stylesheet" href="https://e.org/a.css">',
    "style": "<style>body { display: none }</style>",
    "iframe": '<iframe src="https://e.org">frame</iframe>',
    "iframe with a document": '<iframe srcdoc="<script>alert(1)</script>"></iframe>',
    "object": '<object data="https://e.org/a.swf"><embed src="a.swf"></object>',
    "form": '<form action="https://e.org"><input name="a"><button>go</button></form>',
    "javascript link": '<a href="javascript:alert(1)">a</a>',
    "javascript link with entities": '<a href=" jAvascrip&#x74;&#58;alert(1)">a</a>',
    "javascript link with a tab": '<a href="java\tscript:alert(1)">a</a>',
    "link with data": '<a href="data:text/html,<script>alert(1)</script>">a</a>',
    "vbscript link": '<a href="vbscript:a">a</a>',
    "handler": '<p onclick="alert(1)" ONMOUSEOVER=alert(1)>a</p>',
    "handler of a picture": "<img src=x onerror=alert(1)>",
    "handler of an embedded picture": '<img src="data:image/png;base64,AA==" onload=alert(1)>',
    "svg with onload": '<svg onload="alert(1)"><script>alert(1)</script></svg>',
    "svg with a link": '<svg><a xlink:href="javascript:alert(1)">a</a></svg>',
    "math with a link": "<math><mtext><img src=x onerror=alert(1)></mtext></math>",
    "style with url": '<p style="background:url(https://e.org/a.png)">a</p>',
    "cell with url": '<table><tr><td style="background:url(https://e.org/a.png)">a</td></table>',
    "fixed over the page": '<div style="position:fixed;top:0;left:0">a</div>',
    "picture from elsewhere": '<img src="https://e.org/a.png" srcset="https://e.org/b.png 2x">',
    "picture in a background": '<table background="https://e.org/a.png"><tr><td>a</td></tr></table>',
    "picture that is a page": '<img src="data:text/html,<script>alert(1)</script>">',
    "tags in an attribute": '<img alt="<table><img onerror=a>" src="data:image/png;base64,AA==">',
    "quote that stays open": '<img alt="a src="x" onerror="alert(1)"',
    "anchor of the page itself": '<figure id="scorecard">a</figure>',
    "broken nesting": "</div></section></main><b><p></b><table><tr><i></table></table>",
}
TAKEN_OUT = {
    "script", "style", "meta", "base", "link", "iframe", "object", "embed", "form", "input",
    "button", "svg", "math",
}  # fmt: skip


@pytest.mark.parametrize("markup", HOSTILE.values(), ids=HOSTILE)
@pytest.mark.parametrize("render", [contained, markdown])
def test_nothing_of_a_notebook_acts_on_the_page(markup: str, render: Callable[[str], str]) -> None:
    text = render(f"<p>start</p>{markup}<p>end</p>")
    page = Page(text)
    assert not TAKEN_OUT & {tag for tag, _ in page.tags}
    names = {name for _, attributes in page.tags for name in attributes}
    assert names <= {"class", "href", "src", "alt", "tabindex", "style"}
    assert set(page.values("style")) <= {""}
    assert all(source.startswith("data:image/") for source in page.values("src"))
    assert all(link.startswith(("#", "https://")) for link in page.values("href"))
    assert "start" in page.text
    # Balanced: what follows on the page is not drawn into it.
    assert [text.count(f"<{tag}") - text.count(f"</{tag}>") for tag in ("div", "table", "b")] == [
        0
    ] * 3


def test_what_a_script_that_is_not_closed_would_take_stays_in_its_own_output(run: Run) -> None:
    cells = [
        new_markdown_cell("# 02 · Patching\n\n<script>alert(1)"),
        cell("x", displayed(text_html="<b>bold<script>alert(2)"), displayed(text_html="<!-- open")),
        new_markdown_cell("## Later"),
    ]
    save(run.folder, PATCHING, cells)
    text = build(run)
    assert "alert" not in text
    assert f'<h3 id="{PATCHING}-1">Later</h3>' in text
    assert "<b>bold</b>" in text
    assert "How this was made" in text


def test_foreign_pictures_are_named_and_links_stay_on_the_page() -> None:
    image = '<img alt="a &gt; b" src="data:image/png;base64,AA==">'
    text = contained(f"<img src='b.png'>{image}<p>c</p>")
    assert Page(text).text == "(a picture that is not on this page) c"
    assert f'<div class="scroll picture" tabindex="0">{image}</div>' in text
    links = (
        "[a](02_patching.ipynb) [b](./02_patching.py) [c](../figures/01_areas.png) [d](other.md)"
    )
    assert Page(markdown(links)).values("href") == ["#02_patching", "#02_patching", "#01_areas"]
    assert Page(markdown("[a](../tables/01_counts.csv)")).values("href") == ["#01_counts"]
    assert Page(markdown("[a](https://doi.org/1)")).values("href") == ["https://doi.org/1"]


def test_what_the_notebooks_show_comes_through() -> None:
    text = markdown(
        "## A *b* `c`\n\n| left | right |\n|:--|--:|\n| 1 | $x_1 < y$ |\n\n$$\\frac{a}{b}$$\n\n"
        "```python\nif a < b:\n    pass\n```\n\n1. one\n2. two\n\n> quote\n\n**bold** ~~no~~ a<br>b"
    )
    page = Page(text)
    assert "<h2" in text
    assert "<em>b</em> <code>c</code>" in text
    assert page.values("style") == ["text-align:left", "text-align:right"] * 2
    assert "$x_1 < y$" in page.text
    assert "\\frac{a}{b}" in page.text
    assert re.search(r"<pre>.*if.*&lt;", text)
    assert '<div class="scroll" tabindex="0"><table>' in text
    for tag in ("ol", "li", "blockquote", "strong", "pre", "br"):
        assert f"<{tag}" in text, tag


def test_tables_of_a_run_come_through_unchanged() -> None:
    table = pd.DataFrame({"image_id": ["a<b"], "AUC": [0.75]})
    markup = (
        f'<figure id="01_t" class="table"><figcaption>T.</figcaption>{table_html(table)}</figure>'
    )
    assert (
        contained(markup).replace('<div class="scroll" tabindex="0">', "").replace("</div>", "")
        == markup
    )
    styled = Page(contained(table.to_html()))
    assert styled.text == "image_id AUC 0 a<b 0.75"
    assert styled.values("class") == ["scroll", "dataframe"]


def test_the_same_outputs_give_the_same_page(run: Run) -> None:
    assert build(run) == build(run)


def test_folders_of_this_machine_are_left_out(run: Run) -> None:
    save(run.folder, SURVEY, [cell(f"outputs = '{run.folder}'", tags=("injected-parameters",))])
    text = build(run)
    assert str(run.folder) not in text
    assert "outputs/small" in text


def test_pictures_shrink_until_the_page_fits(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    size = len(build(run))
    monkeypatch.setattr(report_pictures, "MOST_BYTES", int(0.8 * size))
    text = build(run)
    assert len(text.encode()) < 0.8 * size
    pictures = re.findall(r"base64,([A-Za-z0-9+/=]+)", text)
    sizes = [Image.open(io.BytesIO(base64.b64decode(picture))).size for picture in pictures]
    assert sizes == [(900, 225), (40, 20)]
    monkeypatch.setattr(report_pictures, "MOST_BYTES", 1000)
    with pytest.raises(OutputError, match=r"report\.html: .*Show fewer or smaller figures"):
        build(run)


def test_shrinking_keeps_what_is_small_enough() -> None:
    page = f'<img src="data:image/png;base64,{png(40, 20)}">'
    assert shrink_pictures(page, 40) == page
    assert shrink_pictures(page, 20) != page


def test_pictures_are_webp_where_that_is_smaller(run: Run) -> None:
    text = build(run)
    assert "data:image/webp" in text
    tiny = f'<img src="data:image/png;base64,{png(1, 1)}">'
    assert len(as_webp(tiny)) <= len(tiny)


def test_a_notebook_opens_with_its_answer_and_folds_its_steps(run: Run) -> None:
    cells = [
        new_markdown_cell("# 02 · Patching\n\nHow many patches?"),
        cell("count()", displayed(text_html="<p>a step</p>")),
        cell("draw()", displayed(text_html="<figure>the figure</figure>"), tags=("answer",)),
        cell("say()", displayed(text_markdown="**Nine.**"), tags=("answer",)),
    ]
    save(run.folder, PATCHING, cells)
    section = re.search(rf'<section id="{PATCHING}">.*?</section>', build(run), re.DOTALL)
    assert section is not None
    texts = ["How many patches?", "<strong>Nine.</strong>", "the figure", "<summary>How:", "a step"]
    places = [section[0].index(text) for text in texts]
    assert places == sorted(places)
    assert "count" in section[0]
    assert '<details class="steps">' in section[0]

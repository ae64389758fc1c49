"""The report: one page with the scorecard first, then every notebook that ran.

The page needs no other file and no network; a content policy in its head forbids both, and every
script but its own two (report_scripts.py). What the notebooks show passes a list of permitted tags
and attributes (nh3) on its way to the page.

nbconvert's HTML exporter would not shorten this module: even its `basic` template brings prompts,
nested frames and scripts of widgets. Folded code and failed cells would need a template that
replaces its blocks; headings, links and contents the same work as here. Its Markdown renderer is
used.
"""

from __future__ import annotations

import html
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nh3
import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined
from nbconvert.filters.ansi import strip_ansi
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import PythonLexer

from second_look.errors import NotApplicableError
from second_look.files import read_object, write_text
from second_look.outputs import readable
from second_look.paper import RELATED_WORK
from second_look.records import Records, load_results, remedy
from second_look.running.executed import read_executed
from second_look.running.report_pictures import fitted
from second_look.running.report_scripts import cases_of, policy, scripts, style
from second_look.studies.scorecard import card as scorecard
from second_look.studies.scorecard import positive_control
from second_look.verdicts import (
    CANNOT,
    IN_PART,
    NOT_MEASURED,
    NOT_REPRODUCED,
    REPRODUCED,
    RULE,
    SYNTHETIC,
    head,
)

OUT_OF_DATE = "out of date"
_CLASSES = {
    REPRODUCED: "yes",
    IN_PART: "part",
    NOT_REPRODUCED: "no",
    head(SYNTHETIC): "none",
    NOT_MEASURED: "none",
    CANNOT: "none",
}
# Cells whose output answers the question of their notebook: the report shows them first.
ANSWER = "answer"
_SKIPPED_TAGS = {"papermill-error-cell-tag"}
_TAGS = {"parameters": "parameters: defaults", "injected-parameters": "parameters of this run"}
_WIDGET = "application/vnd.jupyter.widget-view+json"
_CONTENT_DROPPED = {"script", "style", "iframe", "object", "noscript", "template", "svg", "math"}
_ATTRIBUTES = {
    "*": {"class"},
    "a": {"href"},
    "figure": {"id"},
    "img": {"alt", "src"},
    "ol": {"start"},
    "td": {"colspan", "rowspan", "style"},
    "th": {"colspan", "rowspan", "scope", "style"},
}
_FIGURE_ID = re.compile(r"\d\d_\w+")
_LINK_WITHIN = re.compile(
    r"(?:\./)?(\d\d_\w+)\.(?:ipynb|py)|\.\./(?:figures|tables)/(\w+)\.(?:png|svg|csv)"
)
# These read what nh3 has written, where < and > stand in tags only.
_IMAGE_TAG = re.compile(r"<img\b[^>]*>")
_TABLE_TAGS = re.compile(r"<table\b[^>]*>|</table>")
_HEADING = re.compile(r"<h([1-6])[^>]*>(.*?)</h\1>", re.DOTALL)
_TAG = re.compile(r"<[^>]+>")


@dataclass
class Section:
    """One notebook on the page.

    Attributes:
        name: Of the notebook, and its anchor on the page.
        title: Its first heading.
        status: Of its last run, as run.json says.
        intro: HTML of its first cell: what it asks.
        answer: HTML of what its cells tagged "answer" show: what was found, and a figure.
        body: HTML of all else.
        headings: (anchor, text) of its sections.
        failed: Whether a cell of it stopped with an error.
        not_applicable: Whether the data set does not hold what it is about.
        outdated: What has changed since it ran and what to do; "" where it is up to date.
    """

    name: str
    title: str = ""
    status: str = ""
    intro: str = ""
    answer: str = ""
    body: str = ""
    headings: list[tuple[str, str]] = field(default_factory=list)
    failed: bool = False
    not_applicable: bool = False
    outdated: str = ""


def build_report(outputs: Path, notebooks: Sequence[str]) -> Path:
    """Write report.html from what the notebooks left.

    Args:
        outputs: Folder of the run, with notebooks/, results.json and run.json.
        notebooks: Names of all notebooks of the project, in their order.

    Returns:
        The page.

    Raises:
        OutputError: It cannot be written, or is too large even with small pictures.
    """
    run = read_object(outputs / "run.json")
    states = run.get("notebooks", {})
    records = Records(outputs)
    outdated = {
        name: _outdated(name, records, str(states.get(name, {}).get("status", "")))
        for name in notebooks
    }
    sections = [
        _section(name, content, str(states.get(name, {}).get("status", "")), outdated[name])
        for name in notebooks
        if (content := read_executed(outputs / "notebooks" / f"{name}.ipynb"))
    ]
    results = records.with_verdicts(load_results(outputs), filter(outdated.get, outdated))
    anchors = {section.name for section in sections}
    markup = "".join(section.answer + section.body for section in sections)
    anchors |= set(re.findall(r'<figure id="([^"]+)"', markup))
    cases = cases_of(outputs, records, anchors)
    programs = scripts(with_cases=bool(cases))
    rows = _scorecard(results, anchors, {part.name: part.title.split(":")[0] for part in sections})
    synthetic = any(row["verdict"] == SYNTHETIC for row in results)
    page = _template().render(
        name=outputs.name,
        run=run,
        states=states,
        rows=rows,
        counts=_counts(results),
        rule=markdown(RULE),
        learnt=_learnt(outputs, records, synthetic=synthetic),
        synthetic=synthetic,
        related=RELATED_WORK,
        sections=sections,
        cases=cases,
        terms=sorted({term for part in cases for term in part.terms}),
        scripts=programs,
        script_policy=policy(programs),
        viewer_style=style() if cases else "",
        missing=[name for name in notebooks if name not in anchors],
        highlight_light=HtmlFormatter(style="default").get_style_defs("pre"),
        highlight_dark=HtmlFormatter(style="github-dark").get_style_defs("pre"),
    )
    path = outputs / "report.html"
    # The page is for others, who have no use for the folders of this machine.
    page = page.replace(html.escape(str(outputs.resolve())), f"outputs/{html.escape(outputs.name)}")
    write_text(path, fitted(page, path))
    return path


def _learnt(outputs: Path, records: Records, *, synthetic: bool) -> str:
    """The positive control of notebook 08 as HTML; "" where there is none or it is out of date."""
    path = outputs / "tables" / f"{positive_control.TABLE}.csv"
    if not path.is_file() or records.problem(path):
        return ""
    return markdown(positive_control.sentences(pd.read_csv(path), synthetic=synthetic))


def _template() -> Any:  # noqa: ANN401
    environment = Environment(
        loader=PackageLoader("second_look.running"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["readable"] = readable
    return environment.get_template("report.html")


# ------------------------------------------------------------------ scorecard


def _scorecard(
    results: Sequence[Mapping[str, Any]], anchors: set[str], titles: Mapping[str, str]
) -> list[dict[str, str]]:
    """The rows of the scorecard, each with its colour, its notebook's title and its anchor."""
    return [
        {
            **row,
            "kind": _CLASSES.get(head(row["verdict"]), "other"),
            "where": titles.get(row["notebook"], f"notebook {row['notebook'].split('_', 1)[0]}"),
            "anchor": next(
                (anchor for anchor in (row["figure"], row["notebook"]) if anchor in anchors), ""
            ),
        }
        for row in scorecard.rows(results)
    ]


def _counts(results: Sequence[Mapping[str, Any]]) -> list[tuple[str, list[tuple[str, str, int]]]]:
    """(topic, [(verdict, kind, number of rows)]), results apart from parameter counts."""
    table = scorecard.counts(results)
    return [
        (
            str(topic),
            [
                (row.verdict, _CLASSES.get(row.verdict, "other"), row.rows)
                for row in of_topic.itertuples()
            ],
        )
        for topic, of_topic in table.groupby("topic", sort=False)
    ]


# ------------------------------------------------------------------ notebooks


def _outdated(name: str, records: Records, status: str) -> str:
    """What has changed since a notebook ran, and what to do; "" where it is up to date."""
    if causes := records.causes(name):
        start = min(causes)
        return f"{causes[start]}. {remedy(start)}"
    if status == OUT_OF_DATE:
        change = "its code, parameters or data have changed since, or its last run was broken off"
        return f"{change}. {remedy(name)}"
    return ""


def _section(name: str, notebook: Mapping[str, Any], status: str, outdated: str) -> Section:
    section = Section(name, title=name, status=status, outdated=outdated)
    steps: list[str] = []
    answers: list[str] = []
    for cell in notebook["cells"]:
        tags = set(cell["metadata"].get("tags", []))
        source = "".join(cell["source"])
        if tags & _SKIPPED_TAGS or not source.strip():
            continue
        if cell["cell_type"] == "markdown":
            text = _anchored(markdown(source), section)
            if section.intro or steps:
                steps.append(text)
            else:
                section.intro = text
        elif cell["cell_type"] == "code":
            steps.append(_code(source, next((_TAGS[tag] for tag in tags & set(_TAGS)), "code")))
            displays = "\n".join(_output(output, section) for output in cell["outputs"])
            if ANSWER in tags and not section.failed:
                answers.append(displays)
            else:
                steps.append(displays)
        if section.not_applicable:
            break
    section.body = "\n".join(step for step in steps if step)
    # Sentences come first, then the figures that they are about.
    section.answer = "\n".join(sorted(answers, key=lambda answer: "<figure" in answer))
    return section


def markdown(text: str) -> str:
    """Markdown as HTML that the page may hold, as `contained` makes it."""
    renderer = IPythonRenderer(escape=False, exclude_anchor_links=True)
    return contained(str(MarkdownWithMath(renderer=renderer).render(text)))


def contained(markup: str) -> str:
    """HTML without anything that acts, loads or changes the page around it.

    Links to notebooks, figures and tables of the project become links within the page. Tables, and
    on phones pictures, can be scrolled sideways where they are too wide.
    """
    markup = _CLEANER.clean(markup)
    markup = _TABLE_TAGS.sub(_scrolled_table, markup)
    return _IMAGE_TAG.sub(_scrolled_image, markup)


def _permitted(tag: str, attribute: str, value: str) -> str | None:
    """The value that an attribute has on the page; None: it goes."""
    if attribute == "src":
        return value if value.startswith("data:image/") else None
    if attribute == "id":
        return value if _FIGURE_ID.fullmatch(value) else None
    if attribute != "href" or value.startswith(("#", "https://", "http://")):
        return value
    link = _LINK_WITHIN.fullmatch(value)
    return f"#{link[1] or link[2]}" if link else None


_CLEANER = nh3.Cleaner(
    tags=(nh3.ALLOWED_TAGS | {"tfoot"}) - {"area", "map"},
    clean_content_tags=_CONTENT_DROPPED,
    attributes=_ATTRIBUTES,
    attribute_filter=_permitted,
    filter_style_properties={"text-align"},
    url_schemes={"data", "http", "https"},
    link_rel=None,
)


def _scrolled_table(match: re.Match[str]) -> str:
    if match[0] == "</table>":
        return "</table></div>"
    return f'<div class="scroll" tabindex="0">{match[0]}'


def _scrolled_image(match: re.Match[str]) -> str:
    if ' src="' not in match[0]:
        return "<em>(a picture that is not on this page)</em>"
    return f'<div class="scroll picture" tabindex="0">{match[0]}</div>'


def _anchored(markup: str, section: Section) -> str:
    """Headings one level lower, below the page's own, each with its anchor."""

    def heading(match: re.Match[str]) -> str:
        level, text = int(match[1]), html.unescape(_TAG.sub("", match[2]))
        if level == 1 and section.title == section.name:
            section.title = text
            return f"<h2>{match[2]}</h2>"
        anchor = f"{section.name}-{len(section.headings) + 1}"
        section.headings.append((anchor, text))
        return f'<h{min(level + 1, 6)} id="{anchor}">{match[2]}</h{min(level + 1, 6)}>'

    return _HEADING.sub(heading, markup)


def _folded(summary: str, body: str, kind: str) -> str:
    return f'<details class="{kind}"><summary>{summary}</summary>{body}</details>'


def _code(source: str, summary: str) -> str:
    lit = highlight(source, PythonLexer(), HtmlFormatter(nowrap=True))
    return _folded(summary, f'<pre tabindex="0"><code>{lit}</code></pre>', "code")


def _output(output: Mapping[str, Any], section: Section) -> str:
    kind = output["output_type"]
    if kind == "stream":
        text = html.escape(strip_ansi("".join(output["text"])))
        return (
            _folded("printed", f"<pre>{text}</pre>", "code") if output["name"] == "stdout" else ""
        )
    if kind == "error" and output["ename"] == NotApplicableError.__name__:
        section.not_applicable = True
        message = html.escape(output["evalue"])
        return f'<p class="note"><strong>Not applicable to this data set.</strong> {message}</p>'
    if kind == "error":
        section.failed = True
        message = html.escape(f"{output['ename']}: {output['evalue']}")
        trace = html.escape(strip_ansi("\n".join(output["traceback"])))
        return (
            f'<div class="error" role="alert"><strong>This cell failed.</strong> {message}'
            f"{_folded('traceback', f'<pre>{trace}</pre>', 'code')}</div>"
        )
    return _displayed(output.get("data", {}), section)


def _displayed(data: Mapping[str, Any], section: Section) -> str:
    """The richest form of a displayed value; widgets, such as progress bars, show nothing."""
    texts = {kind: "".join(text) for kind, text in data.items() if isinstance(text, str | list)}
    if _WIDGET in data:
        return ""
    if "text/html" in texts:
        return f'<div class="output">{contained(texts["text/html"])}</div>'
    if "image/png" in texts:
        picture = "".join(texts["image/png"].split())
        alt = html.escape(f"Figure of {section.title}")
        return contained(
            f'<figure><img alt="{alt}" src="data:image/png;base64,{picture}"></figure>'
        )
    if "text/markdown" in texts:
        return f'<div class="output">{markdown(texts["text/markdown"])}</div>'
    plain = texts.get("text/plain", "")
    return f"<pre>{html.escape(strip_ansi(plain))}</pre>" if plain else ""

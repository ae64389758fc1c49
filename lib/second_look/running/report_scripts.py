"""The scripts of the report: the case viewer with its cases, and sorting and search of tables.

They are the only ones that a browser runs on the page: its content policy names their digests.
"""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from second_look.errors import OutputError
from second_look.files import read_json
from second_look.records import Records
from second_look.viewer import FOLDER

# Puts a viewer where a notebook showed one, once a reader gets there; nothing is decoded earlier.
_MOUNT = """
const begin = new IntersectionObserver((entries) => {
  for (const { isIntersecting, target } of entries) if (isIntersecting) {
    begin.unobserve(target);
    mount(target, JSON.parse(document.getElementById(target.dataset.cases).textContent));
  }
});
for (const data of document.querySelectorAll("script.cases")) {
  const figure = document.getElementById(data.dataset.figure);
  const root = document.createElement("div");
  root.className = "case-viewer";
  root.dataset.cases = data.id;
  figure.append(root);
  begin.observe(root);
}
"""


@dataclass(frozen=True)
class Cases:
    """The cases of one notebook.

    Attributes:
        figure: Anchor of the figure that they belong to.
        data: JSON that may stand in a script element.
        terms: What may be done with the pictures, a sentence a data set.
    """

    figure: str
    data: str
    terms: list[str]


def cases_of(outputs: Path, records: Records, anchors: set[str]) -> list[Cases]:
    """The cases whose figure is on the page and that are not out of date.

    Args:
        outputs: Folder of the run.
        records: Of it.
        anchors: Of the figures on the page.
    """
    result = []
    for path in sorted((outputs / FOLDER).glob("*.json")):
        if path.stem not in anchors or records.problem(path):
            continue
        pack = read_json(path)
        if not isinstance(pack, dict):
            raise OutputError(f"{path}: cannot be read. Run its notebook again.")
        # No tag may begin within a script element.
        data = json.dumps(pack, ensure_ascii=False).replace("<", "\\u003c")
        result.append(Cases(path.stem, data, list(pack["terms"])))
    return result


def scripts(*, with_cases: bool) -> list[str]:
    """The scripts of the page, in their order.

    Args:
        with_cases: Whether there are cases to look at.
    """
    tables = files("second_look.running") / "templates" / "report.js"
    viewer = files("second_look.viewer") / "viewer.js"
    texts = [tables.read_text("utf-8")]
    return [*texts, viewer.read_text("utf-8") + _MOUNT] if with_cases else texts


def style() -> str:
    """The style of the viewer."""
    return (files("second_look.viewer") / "viewer.css").read_text("utf-8")


def policy(texts: list[str]) -> str:
    """What a content policy says of scripts: these and no others.

    Args:
        texts: Of `scripts`.
    """
    digests = (base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in texts)
    return " ".join(f"'sha256-{digest}'" for digest in digests)

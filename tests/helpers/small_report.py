"""A small folder of outputs for the tests of the report: executed notebooks, results, a run."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from PIL import Image
from second_look.outputs import Run, open_run

SURVEY, PATCHING = "01_data_survey", "02_patching"
WIDE = "".join(f"<td>a_rather_long_value_{k}</td>" for k in range(20))


def png(width: int = 40, height: int = 20, seed: int = 0) -> str:
    noise = np.random.default_rng(seed).integers(0, 255, (height, width, 3), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(noise).save(stream, "PNG")
    return base64.b64encode(stream.getvalue()).decode()


def displayed(**data: str) -> Any:
    bundle = {key.replace("_", "/"): value for key, value in data.items()}
    return new_output("display_data", bundle)


def cell(source: str, *outputs: Any, tags: tuple[str, ...] = ()) -> Any:
    return new_code_cell(source, outputs=list(outputs), metadata={"tags": list(tags)})


def figure_html(anchor: str, picture: str, caption: str) -> str:
    return (
        f'<figure id="{anchor}"><img style="max-width:100%" alt="{caption}" '
        f'src="data:image/png;base64,{picture}"><figcaption>{caption}</figcaption></figure>'
    )


def survey_cells() -> list[Any]:
    return [
        new_markdown_cell(
            "# 01 · Survey: which *images*?\n\nSee [patching](02_patching.ipynb), "
            "![far](https://example.org/a.png) and <script>alert(1)</script>a text."
        ),
        cell("stride = 64", tags=("parameters",)),
        cell("stride = 32", tags=("injected-parameters",)),
        new_markdown_cell("## How many & why?\n\n| a | b |\n|---|---|\n| 1 | 2 |"),
        cell(
            "run.figure(f, 'areas')",
            new_output("stream", name="stdout", text="said \x1b[31mred\x1b[0m <b>\n"),
            new_output("stream", name="stderr", text="100%|####| 3/3"),
            displayed(**{"application_vnd.jupyter.widget-view+json": "{}", "text_plain": "a bar"}),
            displayed(text_html=figure_html("01_areas", png(1200, 300), "Areas of lesions.")),
        ),
        cell("table", displayed(text_html=f"<style>p {{}}</style><table><tr>{WIDE}</tr></table>")),
        cell("plot()", displayed(image_png=png(seed=1), text_plain="<Figure size 1x1>")),
        cell("Markdown(x)", displayed(text_markdown="**Found:** 3 of `4`.")),
        cell("x", new_output("execute_result", {"text/plain": "a < b"}, execution_count=1)),
        new_markdown_cell("## How many & why?"),
    ]


def failing_cells() -> list[Any]:
    error = new_output(
        "error", ename="DataError", evalue="row 3 <bad>", traceback=["\x1b[31mTraceback\x1b[0m"]
    )
    return [
        new_markdown_cell(
            "An Exception was encountered.", metadata={"tags": ["papermill-error-cell-tag"]}
        ),
        new_markdown_cell("# 02 · Patching: how many?"),
        cell("1 / 0", error),
    ]


def save(outputs: Path, name: str, cells: list[Any]) -> None:
    path = outputs / "notebooks" / f"{name}.ipynb"
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(new_notebook(cells=cells), path)


def run_json(outputs: Path) -> None:
    state = {
        "status": "done", "seconds": 12.5, "peak_memory_mb": 812, "seed": 3,
        "parameters": {"source": "phantom", "seed": 3},
    }  # fmt: skip
    facts = {
        "commit": "abc123", "dirty": True, "device": "a GPU", "platform": "Linux", "python": "3.11",
        "versions": {"numpy": "2.0"},
        "notebooks": {SURVEY: state, PATCHING: {**state, "status": "out of date"}},
    }  # fmt: skip
    (outputs / "run.json").write_text(json.dumps(facts))


def small_run(folder: Path) -> Run:
    """An outputs folder with one executed notebook and four results."""
    run = open_run(folder, notebook=SURVEY)
    save(run.folder, SURVEY, survey_cells())
    run_json(run.folder)
    run.result("data-mias", 322, n=322, how="counted")
    run.result("area-mass", 1.52149, low=1.21977, high=1.83514, n=26, figure="areas")
    run.result("area-calc", 0.9, low=0.8, high=1.0, figure="not_on_the_page")
    run.result("size-range", 1024, low=1024, high=1024, n=1234)
    return run

"""Notebooks, and cells, that a data set has nothing for: the run goes on, the report says why."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from helpers.small_project import USE, USE_PARAMETERS, Project, small_project
from second_look.errors import NotApplicableError
from second_look.running.notebooks import without_cells
from second_look.running.pipeline import run
from second_look.running.processes import run_code

PART = "03_part"
REFUSES = """\
from pathlib import Path
from second_look.errors import NotApplicableError
from second_look.outputs import open_run
run = open_run(outputs, notebook="02_use")
run.uses(Path(outputs) / "dataset" / "prepared" / "lesions.parquet")
if not pd.read_parquet(Path(outputs) / "dataset" / "prepared" / "lesions.parquet")["code"].any():
    raise NotApplicableError("it needs lesion outlines; this set has none.", "small")
"""
NEEDS = "located = 1 / 0"


def lesions(project: Project, codes: list[int]) -> None:
    path = project.set / "dataset" / "prepared" / "lesions.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    pd.DataFrame({"code": codes}).to_parquet(path)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """02 needs outlines, 03 does in one of its cells; no lesion has any."""
    project = small_project(tmp_path)
    project.write(USE, USE_PARAMETERS, f"import pandas as pd\n{REFUSES}", "print('never shown')")
    project.write(PART, USE_PARAMETERS, NEEDS, "print('whole images')", tagged={NEEDS: "outlines"})
    lesions(project, [0, 0])
    return project


def test_the_run_goes_on_and_the_report_says_why(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    report = run(project.params, project.notebooks, project.outputs)
    assert project.statuses() == ["done", "not applicable", "done"]
    assert "02_use: not applicable: small: it needs lesion outlines" in capsys.readouterr().out
    page = report.read_text()
    assert "Not applicable to this data set." in page
    assert "This notebook stopped with an error" not in page
    assert "never shown" not in page
    assert "Not run on this data set: it needs lesion outlines" in page
    assert "whole images" in page
    run(project.params, project.notebooks, project.outputs)
    assert "02_use: not applicable\n" in capsys.readouterr().out
    assert project.statuses() == ["up to date", "not applicable", "up to date"]


def test_outlines_that_came_later_put_it_out_of_date(project: Project) -> None:
    run(project.params, project.notebooks, project.outputs)
    lesions(project, [0, 2])
    project.write(PART, USE_PARAMETERS, "print('whole images')")
    run(project.params, project.notebooks, project.outputs)
    assert project.statuses() == ["up to date", "done", "done"]
    assert "not_applicable" not in project.manifest(USE)


def test_a_training_leaves_the_cells_out_too(project: Project) -> None:
    project.write(PART, USE_PARAMETERS, NEEDS, training=[NEEDS], tagged={NEEDS: "outlines"})
    run_code(project.notebooks / f"{PART}.ipynb", {}, {"outlines"})
    with pytest.raises(ZeroDivisionError):
        run_code(project.notebooks / f"{PART}.ipynb", {})


def test_cells_side_by_side_have_one_statement() -> None:
    cells = [{"source": str(n), "metadata": {"tags": ["outlines"][n % 3 == 0 :]}} for n in range(6)]
    sources = [cell["source"][:8] for cell in without_cells(cells, {"outlines"})]
    assert sources == ["0", "*Not run", "3", "*Not run"]


def test_it_is_an_error_that_tells_a_user_of_jupyterlab_what_is_missing() -> None:
    assert str(NotApplicableError("it needs outlines.", "set")) == "set: it needs outlines."

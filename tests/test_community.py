"""What contributors meet first: templates, citation, container, updates."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

REPO = Path(__file__).resolve().parents[1]
FORMS = sorted((REPO / ".github" / "ISSUE_TEMPLATE").glob("*.yml"))
# What GitHub knows: https://docs.github.com/communities, syntax of issue forms.
FIELD_TYPES = {"markdown", "textarea", "input", "dropdown", "checkboxes"}


def read_yaml(path: Path) -> Any:
    return YAML(typ="safe").load(path.read_text(encoding="utf-8"))


def text_of(name: str) -> str:
    return (REPO / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("path", [p for p in FORMS if p.stem != "config"], ids=lambda p: p.stem)
def test_issue_forms_have_what_github_asks_for(path: Path) -> None:
    form = read_yaml(path)
    assert {"name", "description", "body"} <= set(form) <= {"name", "description", "body", "labels"}
    fields = [field for field in form["body"] if field["type"] != "markdown"]
    assert {field["type"] for field in form["body"]} <= FIELD_TYPES
    ids = [field["id"] for field in fields]
    assert len(ids) == len(set(ids))
    assert all(field["attributes"]["label"] for field in fields)
    assert any(field.get("validations", {}).get("required") for field in fields)


def test_citation_names_the_software_its_version_and_the_paper() -> None:
    citation = read_yaml(REPO / "CITATION.cff")
    project = tomllib.loads(text_of("pyproject.toml"))["project"]
    assert citation["cff-version"] == "1.2.0"
    assert {"message", "title", "authors"} <= set(citation)
    assert citation["version"] == project["version"]
    assert citation["license"] == project["license"]
    (paper,) = citation["references"]
    assert paper["title"] in " ".join(text_of("README.md").split())
    assert [author["family-names"] for author in paper["authors"]] == [
        "Thatte", "Gunapal", "Landesman", "Lam",
    ]  # fmt: skip


def test_container_sets_up_what_make_sets_up() -> None:
    container = json.loads(text_of(".devcontainer/devcontainer.json"))
    assert container["postCreateCommand"].endswith("make .venv/.ready")
    python = re.search(r"python:(3\.\d+)", container["image"])
    assert python is not None
    assert python[1] in ("3.11", "3.12", "3.13", "3.14")


def test_updates_leave_the_lock_to_make() -> None:
    updates = {
        update["package-ecosystem"]: update
        for update in read_yaml(REPO / ".github/dependabot.yml")["updates"]
    }
    assert set(updates) == {"github-actions", "devcontainers", "pip"}
    allowed = [rule["dependency-name"] for rule in updates["pip"]["allow"]]
    assert allowed == ["torch", "torchvision"]


def test_workflow_runs_the_systems_that_contributing_names() -> None:
    job = read_yaml(REPO / ".github/workflows/ci.yml")["jobs"]["test"]
    systems = {
        (row["os"].split("-")[0], row["python"]) for row in job["strategy"]["matrix"]["include"]
    }
    assert systems == {("ubuntu", "3.11"), ("ubuntu", "3.14"), ("macos", "3.12")}
    contributing = " ".join(text_of("CONTRIBUTING.md").split())
    assert "on Linux with Python 3.11 and 3.14 and on macOS with 3.12" in contributing


def test_changelog_has_a_place_for_changed_results() -> None:
    headings = re.findall(r"^### (.+)$", text_of("CHANGELOG.md"), flags=re.MULTILINE)
    assert "Results changed because" in headings
    assert set(headings) <= {"Added", "Changed", "Fixed", "Removed", "Results changed because"}

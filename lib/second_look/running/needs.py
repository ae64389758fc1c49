"""What the notebooks that would run need and is not there: libraries, data, weights, a GPU."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from second_look.errors import DataError, MissingDataError
from second_look.running.cohorts import data_settings
from second_look.running.provenance import dependencies

SURVEY = "01_data_survey"
# Source -> the command that gets it.
_DOWNLOADS = {
    "mias": "python -m second_look download mias",
    "cbis": "python -m second_look download cbis --patients 20 (or all of them)",
}

Values = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Lack:
    """Something that a notebook needs and that is not there.

    Attributes:
        notebook: The first that needs it; "" for all.
        problem: What it is, and how to get it.
    """

    notebook: str
    problem: str

    def __str__(self) -> str:
        return f"{self.notebook}: {self.problem}" if self.notebook else self.problem


def lacks(values: Values, pending: Collection[str]) -> list[Lack]:
    """What is missing for the notebooks that would run.

    Args:
        values: Notebook -> its parameters, of all notebooks.
        pending: Those that would run.
    """
    missing = [Lack("", problem) for problem in missing_libraries()] if pending else []
    if SURVEY in pending and "source" in values[SURVEY]:
        missing += [Lack(SURVEY, problem) for problem in missing_data(values[SURVEY])]
    if any(_names_weights(values[name]) for name in pending):
        # It brings torchvision with it.
        from second_look.running.weights import needed_weights

        missing += [
            Lack(needed.notebook, f"{needed.parameter}: {needed.problem}")
            for needed in needed_weights(values)
            if needed.problem and needed.notebook in pending
        ]
    return missing


def check_needs(values: Values, pending: Collection[str]) -> None:
    """Raise MissingDataError that names all that is missing, before the first kernel starts."""
    if missing := lacks(values, pending):
        listed = "\n".join(f"  {lack}" for lack in missing)
        raise MissingDataError(f"not everything is there that this run needs:\n{listed}")


def missing_libraries() -> list[str]:
    """The declared dependencies that are not installed, with the command that installs them."""
    missing = []
    for name in dependencies():
        try:
            importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            missing.append(name)
    if not missing:
        return []
    return [f"not installed: {', '.join(missing)}. Install: pip install -r requirements.lock"]


def missing_data(survey: Mapping[str, Any]) -> list[str]:
    """What is missing of the data set, with the command that gets it.

    Args:
        survey: Parameters of notebook 01.
    """
    # The readers of images come with it, which are not needed where everything is up to date.
    from second_look.preparing.reading import data_locations, find_data_root

    settings = data_settings(survey)
    sources = [settings.source, *settings.also]
    commands = [_DOWNLOADS[source] for source in sources if source in _DOWNLOADS]
    hint = f" Get it: {'; '.join(commands)}" if commands else ""
    try:
        data_locations(settings)
        if "folder" in sources:
            table = find_data_root(settings.data_root) / settings.table
            if not table.is_file():
                return [f"{table}: the table of the data set is not there. See README.md."]
    except (MissingDataError, DataError) as error:
        return [f"{error}{hint}"]
    return []


def _names_weights(parameters: Mapping[str, Any]) -> bool:
    """Whether parameters may name files of weights, at a glance."""
    starts = [*parameters.get("starts", ()), *parameters.get("image_starts", ())]
    trained_here = {"random", "phantom", "patches"}
    named = parameters.get("weights") or parameters.get("feature_weights")
    return bool(named) or any(start not in trained_here for start in starts)

"""A finished run as a published set: results, tables, figures, report, models with their cards.

What is published is what the run holds: nothing is computed anew but the cards, from the run's
tables of predictions. Pictures of data sets that may not be passed on are left out, of figures and
report alike; charts stay.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Collection, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from second_look.errors import MissingDataError, OutputError, first_few
from second_look.evaluation.intervals import DRAWS
from second_look.files import clear_write_errors, read_object, write_bytes, write_text
from second_look.preparing.dataset import Dataset, open_dataset
from second_look.preparing.reading import find_data_root
from second_look.published.card import DISCLAIMER, ModelCard
from second_look.published.data_sets import terms_of
from second_look.published.measured import training_data
from second_look.published.of_run import models_of_run
from second_look.published.weights import FOLDER, load_models, save_model
from second_look.records import Records
from second_look.running.report_pictures import WIDTHS, shrink_pictures

REPORT_BYTES = 8_000_000
# Statuses of notebooks that count as finished.
_FINISHED = ("done", "up to date", "not applicable")
# Status of those that were left out on purpose (--only): the page of the set names them.
_NOT_RUN = "not run"
LEFT_OUT = "picture left out: the licence of the images does not let anybody pass them on"
_FIGURE = re.compile(r'<figure id="([^"]+)"[^>]*>.*?</figure>', re.DOTALL)
_IMAGE = re.compile(r"<img\b[^>]*>")
_CASES = re.compile(r'<script type="application/json" class="cases".*?</script>', re.DOTALL)


def publish(run_folder: Path, reference: Path) -> list[Path]:
    """Write a published set from a finished run.

    Args:
        run_folder: Of the run, such as outputs/cbis_mass.
        reference: Folder of all published sets; the set gets a folder with the run's name, in
            place of what an earlier call wrote there.

    Returns:
        The files.

    Raises:
        OutputError: The run is not finished, is out of date or was made with uncommitted code, or
            a file would be too large.
        CheckpointError: A model's weights are not among the checkpoints.
    """
    run_folder = run_folder.resolve()
    run = _finished_run(run_folder)
    data = open_dataset(run_folder)
    target, draft = reference / run_folder.name, reference / f".{run_folder.name}.draft"
    with clear_write_errors(target):
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(parents=True)
        try:
            pictures = terms_of(sorted(data.catalogue.images["dataset"].unique())).pictures
            _copy_results(run_folder, draft, pictures=pictures)
            seed = int(run["notebooks"].get(_WHOLE_IMAGES, {}).get("seed") or 0)
            models = models_of_run(run_folder, data, seed=seed, draws=DRAWS)
            cards = [save_model(model, draft / FOLDER) for model in models.values()]
            write_text(draft / "data.md", data_card(data))
            write_text(draft / "README.md", set_card(run_folder.name, data, cards, run, pictures))
            if cards:
                load_models(draft)  # what cannot be loaded again is not published
            shutil.rmtree(target, ignore_errors=True)
            draft.replace(target)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
    return sorted(path for path in target.rglob("*") if path.is_file())


_WHOLE_IMAGES = "06_patch_transfer_learning"


def _finished_run(folder: Path) -> dict[str, Any]:
    """run.json of a run that may be published.

    Raises:
        OutputError: It may not; says why.
    """
    run = read_object(folder / "run.json")
    if not _lists_notebooks(run):
        raise OutputError(
            f"{folder}: no run has ended here (run.json is not there, or not of this version). "
            "Run run_all.py first."
        )
    entries = {k: v for k, v in run["notebooks"].items() if v.get("status") != _NOT_RUN}
    states = {name: str(entry.get("status")) for name, entry in entries.items()}
    pending = [f"{name} ({state})" for name, state in states.items() if state not in _FINISHED]
    if pending:
        raise OutputError(
            f"{folder}: not finished: {first_few(pending)}. Run run_all.py with its params file."
        )
    records = Records(folder)
    outdated = [name for name in states if records.causes(name)]
    if outdated:
        raise OutputError(
            f"{folder}: out of date: {first_few(outdated)}. Run run_all.py with its params file."
        )
    commits = [run, *entries.values()]
    unknown = any(not entry.get("commit") for entry in commits)
    # Where git could not say whether files differ from the commit, they may.
    if unknown or any(entry.get("dirty") is not False for entry in commits):
        raise OutputError(
            f"{folder}: made with code that {'no commit' if unknown else 'no clean commit'} holds: "
            "nobody could make it again. Commit, and run again."
        )
    return run


def _lists_notebooks(run: Mapping[str, Any]) -> bool:
    """Whether a run.json lists notebooks, as this version writes them."""
    entries = run.get("notebooks")
    return (
        isinstance(entries, dict)
        and entries != {}
        and all(isinstance(part, dict) for part in entries.values())
    )


def _copy_results(folder: Path, draft: Path, *, pictures: bool) -> None:
    """results.json, run.json, tables, figures and report, without paths of this machine."""
    names = ["results.json", "run.json", *(
        f"tables/{path.name}" for path in sorted((folder / "tables").glob("*.csv"))
    )]  # fmt: skip
    for name in names:
        text = (folder / name).read_text(encoding="utf-8")
        write_text(draft / name, without_paths(text, folder))
    charts = set()
    for path in sorted((folder / "figures").glob("*.png")):
        if pictures or is_chart(path.with_suffix(".svg")):
            charts.add(path.stem)
            write_bytes(draft / "figures" / path.name, path.read_bytes())
    report = folder / "report.html"
    if not report.is_file():
        raise OutputError(f"{report} is not there: run run_all.py with its params file.")
    page = without_paths(report.read_text(encoding="utf-8"), folder)
    page = page if pictures else without_pictures(page, charts)
    write_text(draft / "report.html", within_size(page, report, REPORT_BYTES))


def is_chart(svg: Path) -> bool:
    """Whether a figure is drawn of lines and areas alone: pixels are an image element in its SVG.

    A figure without an SVG counts as a picture.
    """
    return svg.is_file() and "<image" not in svg.read_text(encoding="utf-8")


def without_pictures(page: str, charts: Collection[str]) -> str:
    """A report whose only images are those of the figures that are charts; without case viewers."""

    def outside(part: str) -> str:
        return _IMAGE.sub(f"<em>({LEFT_OUT})</em>", part)

    page = _CASES.sub("", page)
    parts, end = [], 0
    for match in _FIGURE.finditer(page):
        parts.append(outside(page[end : match.start()]))
        parts.append(match[0] if match[1] in charts else outside(match[0]))
        end = match.end()
    return "".join([*parts, outside(page[end:])])


def within_size(page: str, path: Path, most_bytes: int) -> str:
    """The page with its pictures as narrow as it takes.

    Raises:
        OutputError: It is too large even so.
    """
    for width in WIDTHS:
        if len(page.encode()) <= most_bytes:
            return page
        page = shrink_pictures(page, width)
    if len(page.encode()) > most_bytes:
        raise OutputError(
            f"{path}: {len(page.encode()) / 1e6:.1f} MB, more than the {most_bytes / 1e6:.0f} MB "
            "that are published. Show fewer pictures (viewer_mb, viewer_cases)."
        )
    return page


def without_paths(text: str, folder: Path) -> str:
    """Text without the folders of this machine: outputs/<set>, params, and data for the data."""
    settings = read_object(folder / "dataset" / "settings.json")
    places = {str(folder): f"outputs/{folder.name}"}
    with suppress(MissingDataError):  # phantoms need none
        places[str(find_data_root(str(settings.get("data_root", ""))).resolve())] = "data"
    run = read_object(folder / "run.json")
    if params := str(run.get("params_file", "")):
        places[params] = f"params/{Path(params).name}"
    for path, name in places.items():
        text = text.replace(path, name)
    return text.replace(f"{Path.cwd()}{os.sep}", "")


def data_card(data: Dataset) -> str:
    """What a set's images are, where they come from, and what was left out, as Markdown."""
    facts = training_data(data)
    images = data.catalogue.images
    counts = images.groupby(["split", "label"]).size()
    lost = data.catalogue.quarantine.groupby(["effect", "code"]).size()
    return "\n".join(
        [
            f"# Data card: {facts.name}",
            "",
            f"- **Source**: {facts.source}.",
            f"- **Licence**: {facts.licence}. Cite {facts.citation}.",
            f"- **Digest**: {facts.digest}; changes with images, labels and splits.",
            f"- **Acquisition**: {facts.acquisition or 'not recorded'}.",
            "- **Split**: by patient; no patient is in two of them.",
            "",
            "| split | patients | images | malignant |",
            "|---|---|---|---|",
            *(
                f"| {split} | {facts.patients[split]:,} | {facts.images[split]:,} | "
                f"{facts.malignant[split]:.0%} |"
                for split in facts.images
            ),
            "",
            "| split | label | images |",
            "|---|---|---|",
            *(f"| {split} | {label} | {n:,} |" for (split, label), n in counts.items()),
            "",
            "What could not be used, or only with a correction:",
            "",
            "| effect | code | number |",
            "|---|---|---|",
            *(f"| {effect} | {code} | {n:,} |" for (effect, code), n in lost.items()),
            "",
        ]
    )


def _left_out(run: Mapping[str, Any]) -> list[str]:
    """Which notebooks the run did not hold, as a line of its page."""
    names = [name for name, entry in run["notebooks"].items() if entry.get("status") == _NOT_RUN]
    return ["", f"Not run: {', '.join(names)}."] if names else []


def set_card(
    name: str, data: Dataset, cards: list[ModelCard], run: Mapping[str, Any], pictures: bool
) -> str:
    """The page that explains a published set, as Markdown."""
    facts = training_data(data)
    rows = [
        f"| [{card.name}]({FOLDER}/{card.name}.md) | {card.model} | {result.measure} by "
        f"{result.unit} | {result.text} | {result.n:,} |"
        for card in cards
        for result in card.results
        if result.measure.startswith(("AUC", "mean AUC", "mAP50"))
    ]
    remark = (
        f"Pictures are of {facts.name}: {facts.licence}, {facts.citation}."
        if pictures
        else f"Figures and report hold charts only: the licence of {facts.name} "
        f"({facts.licence}) does not let anybody pass its images on."
    )
    return "\n".join(
        [
            f"# {name}: a published run",
            "",
            f"**{DISCLAIMER}**",
            "",
            f"Made from commit {run['commit']} with {Path(str(run['params_file'])).name}, on "
            f"{run['device']}. [Report](report.html), results.json, run.json, tables/ and figures/ "
            f"are those of the run. {remark} What the images are: [data.md](data.md).",
            *_left_out(run),
            "",
            "| model | in tables | measure | test patients, 95 % interval | n |",
            "|---|---|---|---|---|",
            *rows,
            "",
            "```",
            f"python -m second_look predict IMAGE --model outputs/reference/{name}",
            f"python run_all.py --params params/{name}.yaml     # makes the run again",
            f"python -m second_look compare outputs/{name} outputs/reference/{name}",
            "```",
            "",
        ]
    )

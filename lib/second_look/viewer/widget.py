"""The viewer in a notebook, and the file of cases that the report shows with the same script."""

from __future__ import annotations

import html
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import anywidget
import pandas as pd
import traitlets
from IPython.display import HTML, display

from second_look.evaluation.detection_tables import truth_table
from second_look.files import write_text
from second_look.inference.windows import score_image
from second_look.models.classifier import Classifier
from second_look.outputs import Run
from second_look.preparing.dataset import Dataset
from second_look.preparing.views import heat_map
from second_look.studies.detection.results import DetectionResults
from second_look.studies.transfer.scheme_a import HEAT_STRIDE, MALIGNANT
from second_look.viewer import FOLDER
from second_look.viewer.cases import (
    OUTCOMES,
    Case,
    choose_cases,
    detection_cases,
    image_cases,
    operating_threshold,
)
from second_look.viewer.pack import Overlays, pack_cases

# False alarms an image, on validation patients, of the score from which a detection counts.
ALARMS = 1.0
# Rows of a heat map: it has a score every few dozen pixels, and between them it is interpolated.
HEAT_ROWS = 160
_HERE = Path(__file__).parent


class CaseViewer(anywidget.AnyWidget):
    """The viewer as a widget of Jupyter.

    Attributes:
        pack: Of pack.pack_cases.
    """

    _esm = _HERE / "viewer.js"
    _css = _HERE / "viewer.css"
    pack = traitlets.Dict().tag(sync=True)


def show_detections(
    run: Run,
    data: Dataset,
    results: DetectionResults,
    model: str,
    *,
    per_outcome: int,
    megabytes: float,
) -> CaseViewer | None:
    """Lesions that a detector hit and missed in test patients, and its false alarms.

    Args:
        run: Of the notebook.
        data: The data set.
        results: Of validation and test.
        model: Name of the detector.
        per_outcome: Most cases of each outcome; 0: no viewer.
        megabytes: Of all pictures.
    """
    validation, test = results.in_split("val"), results.in_split("test")
    threshold = operating_threshold(
        validation.detections[model], validation.truths, validation.images, alarms=ALARMS
    )
    cases = detection_cases(test.detections[model], test.truths, test.images, threshold=threshold)
    missing = {"heat": "A detector scores boxes and makes no heat map."}
    overlays = Overlays(test.truths, test.detections[model], None, threshold, missing)
    about = (
        f"{model}, test patients. A lesion is a hit if the centre of a detection with a score of "
        f"at least {threshold:.2f} is in its box; other such detections are false alarms. At this "
        f"score there is at most {ALARMS:g} false alarm per image of the validation patients."
    )
    return _show(run, data, cases, overlays, about, per_outcome, megabytes)


def show_scheme_a(
    run: Run,
    data: Dataset,
    scores: pd.DataFrame,
    network: Classifier,
    *,
    size: int,
    scales: Mapping[str, float],
    per_outcome: int,
    megabytes: float,
) -> CaseViewer | None:
    """Test images that the paper's rule over windows gets right and wrong, with their heat maps.

    Args:
        run: Of the notebook.
        data: The data set.
        scores: Of scheme_a.image_scores.
        network: The patch model, in evaluation mode.
        size: Of a patch, px.
        scales: Image -> px of a patch per px of the image.
        per_outcome: Most cases of each outcome; 0: no viewer.
        megabytes: Of all pictures.
    """
    images = data.catalogue.images

    def heat(image_id: str) -> Any:  # noqa: ANN401
        windows = score_image(
            network, data.prepared, image_id, size=size, stride=HEAT_STRIDE, scale=scales[image_id]
        )
        row = images.set_index("image_id").loc[image_id]
        shape = (HEAT_ROWS, max(1, round(HEAT_ROWS * int(row["cols"]) / int(row["rows"]))))
        return heat_map(data, image_id, windows, MALIGNANT, shape)

    tested = scores[scores["image_id"].isin(images.loc[images["split"] == "test", "image_id"])]
    cases = image_cases(
        tested, images, data.catalogue.lesions, score="highest", flagged="any window"
    )
    missing = {"detections": "A patch model scores windows and draws no boxes."}
    truths = truth_table(data, splits=("test",))
    about = (
        "Scheme A, test patients. An image is flagged if any of its windows is classified as "
        "malignant: flagged malignant images are hits, others misses; flagged images without a "
        "malignancy are false alarms. Cases are ordered by their highest window score. Heat map: "
        "probability of malignant in the window around each point."
    )
    return _show(
        run, data, cases, Overlays(truths, None, heat, 0, missing), about, per_outcome, megabytes
    )


def _show(
    run: Run,
    data: Dataset,
    cases: list[Case],
    overlays: Overlays,
    about: str,
    per_outcome: int,
    megabytes: float,
) -> CaseViewer | None:
    """Write the cases for the report, show where they go there, and return the widget."""
    if not per_outcome:
        return None
    counts = {name: sum(case.outcome == name for case in cases) for name in OUTCOMES}
    pack = pack_cases(
        data,
        choose_cases(cases, per_outcome=per_outcome),
        overlays,
        counts=counts,
        about=about,
        max_bytes=round(megabytes * 1e6),
    )
    anchor = f"{run.notebook.split('_', 1)[0]}_cases"
    path = run.folder / FOLDER / f"{anchor}.json"
    write_text(path, json.dumps(pack, ensure_ascii=False, allow_nan=False))
    run.wrote(path)
    caption = html.escape(about)
    markup = f'<figure id="{anchor}" class="cases"><figcaption>{caption}</figcaption></figure>'
    display(HTML(markup))  # type: ignore[no-untyped-call]
    return CaseViewer(pack=pack)

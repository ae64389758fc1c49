"""The card of a published model: what it is, what it learnt from, how good it is, and its limits.

A card is a JSON file beside the file of weights that it describes. All that is needed to use the
model stands on it, so nothing of the run that made it has to be there.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from second_look.errors import DataError, ParameterError
from second_look.evaluation.calibration import two_columns
from second_look.evaluation.intervals import Floats
from second_look.evaluation.recalibration import Platt, PriorShift
from second_look.files import read_json, write_json

DISCLAIMER = "Research software, no diagnosis: not a medical device, never use it to treat anybody."
IMAGE, PATCH, DETECTOR = "image", "patch", "detector"
KINDS = (IMAGE, PATCH, DETECTOR)
# Version of the fields below.
FORMAT = 1


@dataclass(frozen=True)
class Result:
    """An estimate on test patients.

    Attributes:
        measure: Such as AUC.
        unit: What is counted: image, breast, patient, lesion or patch.
        value, low, high: The estimate and its 95 % interval over patients; None where undefined.
        n: Units.
        patients: Of these units.
        source: The file of the published set that it was computed from or copied from.
    """

    measure: str
    unit: str
    value: float | None
    low: float | None
    high: float | None
    n: int
    patients: int
    source: str

    @property
    def text(self) -> str:
        """Such as 0.80 [0.75, 0.84]."""
        if self.value is None:
            return "–"
        interval = "" if self.low is None else f" [{self.low:.2f}, {self.high:.2f}]"
        return f"{self.value:.2f}{interval}"


@dataclass(frozen=True)
class Calibration:
    """What turns a score into a probability, fitted on validation patients (Platt 1999).

    Attributes:
        slope, offset: Of the logistic regression on the log odds of the score.
        prevalence: Share of malignant units among those of validation: the probability is for it.
        n, patients: Units and patients that it was fitted to.
        thresholds: Name → score, fixed by validation patients.
    """

    slope: float
    offset: float
    prevalence: float
    n: int
    patients: int
    thresholds: Mapping[str, float]

    def probability(self, scores: npt.ArrayLike, prevalence: float | None = None) -> Floats:
        """Probabilities of malignancy (n,) of scores (n,).

        Args:
            scores: Of the model, 0 to 1.
            prevalence: For which the probabilities shall hold; None: that of validation. Right
                where the images of each class look as they did there (`PriorShift`).

        Raises:
            ParameterError: The prevalence is not between 0 and 1.
        """
        platt = Platt(np.array([self.slope]), np.array([self.offset]))
        shares = platt.apply(two_columns(np.asarray(scores, dtype=np.float64)))
        if prevalence is not None:
            if not 0 < prevalence < 1:
                raise ParameterError(f"a prevalence is between 0 and 1. Got {prevalence:g}.")
            shares = PriorShift.of_positive(self.prevalence, prevalence).apply(shares)
        probabilities: Floats = shares[:, 1]
        return probabilities


@dataclass(frozen=True)
class TrainingData:
    """What a model learnt from.

    Attributes:
        name: Of the data set.
        source, licence, citation: In words.
        acquisition: "film" (digitised), "digital", or "phantom".
        images, patients: Split → number.
        malignant: Split → share of malignant images.
        digest: Changes with the data set.
    """

    name: str
    source: str
    licence: str
    citation: str
    acquisition: str
    images: Mapping[str, int]
    patients: Mapping[str, int]
    malignant: Mapping[str, float]
    digest: str


@dataclass(frozen=True)
class ModelCard:
    """A published model.

    Attributes:
        kind: One of KINDS.
        name: Of the files, such as image.
        model: As the tables of its run name it.
        architecture: Of models.classifier, or models.mask_rcnn for a detector.
        channels: Of its input.
        classes: In the order of its outputs.
        input: What it is fed with: rows and cols (image, detector; px), averaged (image: over the
            picture and its mirror image top to bottom, 0 or 1), maxima (image: as Classifier has
            it, 0 or 1; absent for 0), patch_size (px), window_px and
            window_mm (side of a patch in a prepared training image; 0 unknown), detections
            (most boxes an image).
        data: What it learnt from.
        training: Budget: steps, batch size, learning rate, start, seed.
        calibrations: Unit (image, breast) → Calibration; none for patches and detectors.
        thresholds: Of a detector: name → score, fixed by validation patients.
        results: On test patients.
        limits: In words.
        commit: Of the code that trained it.
        weights: Name of the file of weights.
        sha256: Of that file; "" until it is written.
    """

    kind: str
    name: str
    model: str
    architecture: str
    channels: int
    classes: tuple[str, ...]
    input: Mapping[str, float]
    data: TrainingData
    training: Mapping[str, Any]
    calibrations: Mapping[str, Calibration]
    thresholds: Mapping[str, float]
    results: tuple[Result, ...]
    limits: tuple[str, ...]
    commit: str
    weights: str
    sha256: str = ""
    format: int = FORMAT
    disclaimer: str = field(default=DISCLAIMER)

    def size(self) -> tuple[int, int]:
        """Rows and columns of the picture that the network gets, px."""
        return int(self.input["rows"]), int(self.input["cols"])


def write_card(path: Path, card: ModelCard) -> None:
    """Write a card as JSON."""
    write_json(path, _finite(asdict(card)))


def read_card(path: Path) -> ModelCard:
    """A card from its file.

    Raises:
        DataError: It is not there, is no card, or is one of another version.
    """
    content = read_json(path)
    if not isinstance(content, dict) or "kind" not in content:
        raise DataError("expected the card of a model, a JSON file.", path)
    if content.get("format") != FORMAT or content["kind"] not in KINDS:
        raise DataError(
            f"expected a card of format {FORMAT} and of kind {', '.join(KINDS)}. Got format "
            f"{content.get('format')}, kind {content['kind']!r}.",
            path,
            "Use the version of second_look that wrote it.",
        )
    content["data"] = _value_of(TrainingData, content.get("data"), path)
    calibrations = dict(content.get("calibrations") or {})
    content["calibrations"] = {
        unit: _value_of(Calibration, part, path) for unit, part in calibrations.items()
    }
    content["results"] = tuple(
        _value_of(Result, part, path) for part in content.get("results") or ()
    )
    content["classes"] = tuple(content.get("classes") or ())
    content["limits"] = tuple(content.get("limits") or ())
    card: ModelCard = _value_of(ModelCard, content, path)
    return card


def _value_of(kind: type[Any], content: object, path: Path) -> Any:  # noqa: ANN401
    """A value from its fields; a field too few or too many is an error."""
    names = {part.name for part in fields(kind)}
    got = set(content) if isinstance(content, dict) else set()
    if not isinstance(content, dict) or got != names:
        difference = ", ".join(sorted(names ^ got))
        raise DataError(f"fields of {kind.__name__} are missing or unknown: {difference}.", path)
    return kind(**content)


def _finite(value: object) -> object:
    """The value with None in place of what is no number: JSON has no NaN."""
    if isinstance(value, dict):
        return {key: _finite(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def in_markdown(card: ModelCard) -> str:
    """The card as people read it."""
    shape = ", ".join(f"{name} {value:g}" for name, value in card.input.items())
    data = card.data
    counts = "; ".join(
        f"{split}: {number:,} images of {data.patients[split]:,} patients, "
        f"{data.malignant[split]:.0%} malignant"
        for split, number in data.images.items()
    )
    budget = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in card.training.items())
    lines = [
        f"# Model card: {card.name} ({data.name})",
        f"**{card.disclaimer}**",
        f"- **Model**: {card.model}; {card.architecture}, {card.channels} channels; {shape}.",
        f"- **Classes**: {', '.join(card.classes)}.",
        f"- **Data**: {data.name}, {data.source}. {counts}. Digest {data.digest}.",
        f"- **Licence of the data**: {data.licence}. Cite {data.citation}.",
        f"- **Training**: {budget}. Commit {card.commit}.",
        f"- **Weights**: {card.weights}, float16, sha256 {card.sha256}.",
        "",
        *_result_lines(card),
        *_calibration_lines(card),
        "## Limits",
        "",
        *(f"- {limit}" for limit in card.limits),
    ]
    return "\n".join(lines) + "\n"


def _result_lines(card: ModelCard) -> list[str]:
    rows = [
        f"| {result.measure} | {result.unit} | {result.text} | {result.n:,} | "
        f"{result.patients:,} | {result.source} |"
        for result in card.results
    ]
    head = ["## Test patients", "", "| measure | by | value, 95 % interval | n | patients | from |"]
    return [*head, "|---|---|---|---|---|---|", *rows, ""]


def _calibration_lines(card: ModelCard) -> list[str]:
    lines = []
    for unit, part in card.calibrations.items():
        points = "; ".join(f"{name}: {value:.3f}" for name, value in part.thresholds.items())
        lines.append(
            f"- By {unit}: log odds × {part.slope:.3f} + {part.offset:.3f}, fitted on {part.n:,} "
            f"validation {unit}s of {part.patients:,} patients, {part.prevalence:.1%} of them "
            f"malignant: the probability is for that prevalence. Thresholds on the score: {points}."
        )
    lines += [f"- {name}: {value:.3f}" for name, value in card.thresholds.items()]
    return ["## Calibration and thresholds", "", *lines, ""] if lines else []

"""The models of a finished run, taken from its checkpoints, with their cards.

Tables name models, checkpoints lie in folders named by digests. Which checkpoint a row of a table
came from is found by having every candidate say again what the table holds of some validation
images, with the very code and the half precision that are published. What cannot be reproduced
is not published.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from safetensors import safe_open

from second_look.catalogue import LABELS
from second_look.errors import CheckpointError
from second_look.evaluation.predictions import (
    binary_scores,
    classes,
    positive,
    probabilities,
)
from second_look.evaluation.predictions import checked as checked_predictions
from second_look.evaluation.roc import auc, macro_auc
from second_look.files import read_object, read_parquet
from second_look.inference.windows import score_windows
from second_look.models.weights import load_weights
from second_look.preparing.dataset import Dataset
from second_look.published import measured
from second_look.published.card import DETECTOR, IMAGE, PATCH, Calibration, ModelCard, Result
from second_look.published.scores import class_probabilities, detect_lesions
from second_look.published.weights import Published, build_network, with_half_precision

IMAGE_TABLE = "predictions/06_scheme_b.parquet"
PATCH_TABLE = "predictions/06_patches.parquet"
WINDOW_TABLE = "predictions/windows.parquet"
DETECTION_TABLE = "predictions/mask_rcnn_detections.parquet"
TRUTH_TABLE = "predictions/mask_rcnn_truths.parquet"
# Probabilities may differ by this much between the run and half precision on another machine.
TOLERANCE = 0.02
_NOTEBOOKS = {
    IMAGE: "06_patch_transfer_learning",
    PATCH: "06_patch_transfer_learning",
    DETECTOR: "05_mask_rcnn",
}
# Images and patches that are scored anew to recognise a checkpoint.
_IMAGES, _PATCHES, _DETECTED = 6, 48, 2
_BUDGET = (
    "seed", "steps", "batch_size", "learning_rate", "start", "weights", "balance",
    "label_smoothing", "weight_decay", "optimizer", "precision",
)  # fmt: skip


@dataclass(frozen=True)
class Checkpoint:
    """Weights of a training.

    Attributes:
        file: With the weights.
        identity: Everything that decided what came out.
    """

    file: Path
    identity: Mapping[str, Any]

    @property
    def budget(self) -> dict[str, Any]:
        """How it was trained, for the card."""
        return {name: self.identity[name] for name in _BUDGET if self.identity.get(name) != ""
                and name in self.identity}  # fmt: skip


def checkpoints(folder: Path, task: str) -> Iterator[Checkpoint]:
    """The trainings of a kind of task, such as "image-", that have left weights."""
    for file in sorted((folder / "checkpoints").glob(f"{task}*/weights.safetensors")):
        try:
            with safe_open(file, "pt") as content:
                identity = json.loads((content.metadata() or {})["identity"])
        except (OSError, ValueError, KeyError) as error:
            raise CheckpointError(f"{file}: cannot be read ({error}).") from None
        yield Checkpoint(file, identity)


def models_of_run(folder: Path, data: Dataset, *, seed: int, draws: int) -> dict[str, Published]:
    """The best whole-image, patch and detection model of a run, kind → model.

    The best is that with the highest validation AUC (image: malignant or not; patch: mean over
    classes), or FROC for detectors; a kind that the run has not trained is missing.

    Args:
        folder: Of the run.
        data: Its data set.
        seed: Of the intervals.
        draws: Bootstrap samples.

    Raises:
        CheckpointError: No checkpoint says what the table of predictions holds.
    """
    makers = {IMAGE: image_model, PATCH: patch_model, DETECTOR: detector_model}
    tables = {IMAGE: IMAGE_TABLE, PATCH: PATCH_TABLE, DETECTOR: DETECTION_TABLE}
    return {
        kind: make(folder, data, seed=seed, draws=draws)
        for kind, make in makers.items()
        if (folder / tables[kind]).is_file()
    }


def image_model(folder: Path, data: Dataset, *, seed: int, draws: int) -> Published:
    """The whole-image model with the highest AUC on validation patients, with its card."""
    table = checked_predictions(_table(folder, IMAGE_TABLE), IMAGE_TABLE)
    rows = _best(table, _malignant_auc)
    first = rows.iloc[0]
    size, model_seed = [int(first["rows"]), int(first["cols"])], int(first["seed"])
    candidates = [
        part
        for part in checkpoints(folder, "image-")
        if part.identity.get("picture_size") == size and part.identity["seed"] == model_seed
    ]
    sample = rows[rows["split"] == "val"].head(_IMAGES)

    def build(part: Checkpoint) -> ModelCard:
        return _card(
            folder, data, part, IMAGE, str(first["model"]),
            {"rows": size[0], "cols": size[1], "averaged": float(bool(first["averaged"]))},
        )  # fmt: skip

    def error(model: Published) -> float:
        shares = class_probabilities(model, data.prepared, list(sample["image_id"]))
        return float(np.abs(shares - probabilities(sample)).max())

    model = _recognised(candidates, build, error, IMAGE_TABLE, str(first["model"]))
    calibrations = measured.calibrations(rows)
    results = measured.image_results(rows, calibrations, seed=seed, draws=draws)
    return _completed(model, results, calibrations=calibrations)


def patch_model(folder: Path, data: Dataset, *, seed: int, draws: int) -> Published:
    """The patch model with the highest mean AUC of the classes on validation patients."""
    rows = _best(checked_predictions(_table(folder, PATCH_TABLE), PATCH_TABLE), _macro_auc)
    first = rows.iloc[0]
    candidates = [
        part
        for part in checkpoints(folder, "patch-")
        if part.identity["seed"] == int(first["seed"])
        and part.identity["architecture"] == first["architecture"]
        and not str(part.identity["task"]).endswith("-shuffled")
    ]
    sample = rows[rows["split"] == "val"].head(_PATCHES)
    window_px, window_mm = _window(rows, data)

    def build(part: Checkpoint) -> ModelCard:
        size = int(part.identity["patch_size"])
        sides = {"patch_size": size, "window_px": window_px, "window_mm": window_mm}
        return _card(folder, data, part, PATCH, str(first["model"]), sides)

    def error(model: Published) -> float:
        size = int(model.card.input["patch_size"])
        windows = sample.assign(excluded="")
        shares = score_windows(model.classifier, data.prepared, windows, size=size)
        return float(np.abs(shares - probabilities(sample)).max())

    model = _recognised(candidates, build, error, PATCH_TABLE, str(first["model"]))
    return _completed(model, measured.patch_results(rows, seed=seed, draws=draws))


def detector_model(folder: Path, data: Dataset, *, seed: int, draws: int) -> Published:
    """The run's detector, with the threshold of one false alarm an image on validation patients."""
    table, truths = _table(folder, DETECTION_TABLE), _table(folder, TRUTH_TABLE)
    name = str(table["model"].iloc[0])
    rows = table[table["model"] == name]
    candidates = list(checkpoints(folder, "mask_rcnn"))
    chosen = rows.loc[rows["split"] == "val", "image_id"].drop_duplicates().head(_DETECTED)

    def build(part: Checkpoint) -> ModelCard:
        frame = part.identity["frame"]
        sides = {"rows": frame["rows"], "cols": frame["cols"],
                 "detections": part.identity["max_detections"]}  # fmt: skip
        return _card(folder, data, part, DETECTOR, name, sides)

    def error(model: Published) -> float:
        detections = detect_lesions(model, data, list(chosen))
        stored = rows[rows["image_id"].isin(chosen)]
        best = [part.groupby("image_id")["score"].max() for part in (detections, stored)]
        return float((best[0] - best[1]).abs().fillna(1.0).max())

    model = _recognised(candidates, build, error, DETECTION_TABLE, name)
    found_results, thresholds = measured.detector_results(rows, truths, data, seed=seed)
    return _completed(model, found_results, thresholds=thresholds)


def _table(folder: Path, name: str) -> pd.DataFrame:
    path = folder / name
    return read_parquet(path)


def _best(table: pd.DataFrame, measure: Callable[[pd.DataFrame], float]) -> pd.DataFrame:
    """The rows of the model and seed with the highest value on validation units."""
    groups = [rows for _, rows in table.groupby(["model", "seed"], sort=False)]
    values = [measure(rows[rows["split"] == "val"]) for rows in groups]
    return groups[int(np.argmax(np.nan_to_num(values, nan=-1.0)))].reset_index(drop=True)


def _malignant_auc(rows: pd.DataFrame) -> float:
    return auc(binary_scores(rows, "malignant"), positive(rows["label"], "malignant"))


def _macro_auc(rows: pd.DataFrame) -> float:
    return macro_auc(probabilities(rows), classes(rows)) if len(rows) else float("nan")


def _window(rows: pd.DataFrame, data: Dataset) -> tuple[float, float]:
    """Median side of a window in prepared training images, px and mm (0 where unknown)."""
    spacing = data.prepared.images.set_index("image_id")["pixel_spacing_mm"]
    lengths = rows.groupby("image_id")["size"].first()
    sides_mm = (lengths * spacing.reindex(lengths.index)).median()
    return float(lengths.median()), float(sides_mm) if np.isfinite(sides_mm) else 0.0


def _recognised(
    candidates: list[Checkpoint],
    build: Callable[[Checkpoint], ModelCard],
    error: Callable[[Published], float],
    table: str,
    name: str,
) -> Published:
    """The candidate that says what the table holds.

    Raises:
        CheckpointError: None does.
    """
    models: dict[str, tuple[float, Published]] = {}
    for part in candidates:
        card = build(part)
        network = build_network(card)
        try:
            load_weights(network, part.file, "detector" if card.kind == DETECTOR else "network")
        except CheckpointError:
            continue  # of another architecture than the code builds today
        model = with_half_precision(Published(card, network))
        models[part.file.parent.name] = (error(model), model)
    if models:
        smallest, closest = min(models.values(), key=lambda pair: pair[0])
        if smallest <= TOLERANCE:
            return closest
    tried = ", ".join(f"{folder} (off by {off:.2g})" for folder, (off, _) in models.items())
    raise CheckpointError(
        f"{table}: no checkpoint gives the predictions of {name!r}. Tried: {tried or 'none'}. "
        "Keep the folder checkpoints of the run, or run the notebook again."
    )


def _card(
    folder: Path, data: Dataset, part: Checkpoint, kind: str, name: str, sides: Mapping[str, float]
) -> ModelCard:
    identity = part.identity
    run = read_object(folder / "run.json")
    maxima = {"maxima": 1.0} if identity.get("maxima") else {}
    return ModelCard(
        kind=kind,
        name=kind,
        model=name,
        architecture=str(identity.get("architecture") or identity["model"]),
        channels=int(identity.get("channels", 1)),
        classes=LABELS,
        input={key: float(value) for key, value in sides.items()} | maxima,
        data=measured.training_data(data),
        training=part.budget,
        calibrations={},
        thresholds={},
        results=(),
        limits=measured.limits(data, kind),
        commit=str(run.get("notebooks", {}).get(_NOTEBOOKS[kind], {}).get("commit") or "unknown"),
        weights=f"{kind}.safetensors",
    )


def _completed(
    model: Published,
    results: list[Result],
    *,
    calibrations: Mapping[str, Calibration] | None = None,
    thresholds: Mapping[str, float] | None = None,
) -> Published:
    card = replace(
        model.card,
        results=tuple(results),
        calibrations=calibrations or {},
        thresholds=thresholds or {},
    )
    return Published(card, model.network)

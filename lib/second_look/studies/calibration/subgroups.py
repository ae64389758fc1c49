"""Whom a model serves worse, and which cases it gets wrong: images by density, view and lesion.

An image's density and view hold for positive and negative images alike. Kind, size and assessment
belong to malignant lesions: there the positives of a group are compared with all negatives.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from second_look.evaluation.detection import SIZES
from second_look.evaluation.groups import KEYS
from second_look.evaluation.intervals import Estimate, Patients, bootstrap, ratio, undefined
from second_look.evaluation.roc import auc_estimate
from second_look.preparing.dataset import Dataset
from second_look.studies.calibration.clinical_value import RISK
from second_look.studies.calibration.measures import AS_IT_IS, Calibrated

IMAGE_COLUMNS = {"breast density": "density", "view": "view", "data set": "dataset"}
LESION_COLUMNS = {"kind": "kind", "BI-RADS assessment": "assessment", "diameter": "diameter"}
NOT_RECORDED = ("age", "scanner")
COLUMNS = [
    *KEYS, "title", "attribute", "level", "positives", "negatives", "patients", "auc", "auc_low",
    "auc_high", "auc_reason", "observed_expected", "oe_low", "oe_high", "oe_reason",
]  # fmt: skip


def image_models(calibrated: Sequence[Calibrated]) -> list[Calibrated]:
    """The groups that judge whole images as malignant or not; only they can be taken apart so."""
    return [m for m in calibrated if m.group.unit == "image" and m.group.target == "malignant"]


def attributes(dataset: Dataset) -> pd.DataFrame:
    """What is known of each image: image_id, IMAGE_COLUMNS and LESION_COLUMNS, "" where unknown.

    Of several malignant lesions in an image the largest one counts.
    """
    images = dataset.catalogue.images.set_index("image_id")
    lesions = dataset.catalogue.lesions.drop(columns="area_px")
    lesions = lesions.merge(dataset.prepared.lesions[["lesion_id", "area_px"]], on="lesion_id")
    lesions = lesions[lesions["pathology"] == "malignant"].sort_values("area_px")
    lesions = lesions.drop_duplicates("image_id", keep="last").set_index("image_id")
    spacing = images["pixel_spacing_mm"].reindex(lesions.index)
    diameter = 2 * np.sqrt(lesions["area_px"] / np.pi) * spacing
    edges = [low for low, _ in SIZES.values()] + [np.inf]
    bands = pd.cut(diameter, edges, right=False, labels=list(SIZES)).astype("string")
    described = images[list(IMAGE_COLUMNS.values())].join(
        pd.DataFrame(
            {
                "kind": lesions["kind"],
                "assessment": lesions["assessment"].astype("string"),
                "diameter": bands,
            }
        )
    )
    return described.astype("string").fillna("").reset_index()


def table(
    calibrated: Sequence[Calibrated], dataset: Dataset, *, seed: int, draws: int
) -> pd.DataFrame:
    """AUC and observed over expected of test images in each group.

    Observed over expected is the number of positives over the sum of their probabilities, after
    Platt where it could be fitted: 1 where risks are right on average. It is given for image
    attributes only: a group of positives has no frequency.

    Returns:
        COLUMNS; groups of one patient or none have no interval, and say why.
    """
    facts_of_images = attributes(dataset).set_index("image_id")
    rows = []
    for model in image_models(calibrated):
        method = RISK if RISK in model.methods else AS_IT_IS
        risks, truth = model.probabilities(method)[:, 1], model.test.classes == 1
        facts = facts_of_images.reindex(model.test.image_ids)
        for attribute, level, members, by_image in _members(facts, truth):
            part = Patients.from_ids(model.test.ids[members])
            scores, positive = model.test.probabilities[members, 1], truth[members]
            area = auc_estimate(scores, positive, part, seed=seed, draws=draws)
            expected = _observed_expected(risks[members], positive, part, seed, draws)
            head = {**model.group.key, "title": model.group.title, "attribute": attribute}
            counts = {"positives": int(positive.sum()), "negatives": int((~positive).sum())}
            cells = head | {"level": level} | counts | {"patients": part.count}
            cells |= _named("auc", "auc", area)
            rows.append(cells | (_named("observed_expected", "oe", expected) if by_image else {}))
    return pd.DataFrame(rows, columns=COLUMNS)


def _members(facts: pd.DataFrame, truth: np.ndarray) -> Iterator[tuple[str, str, np.ndarray, bool]]:
    """Attribute, level, the units that count, whether they are a whole group of images."""
    for columns, by_image in ((IMAGE_COLUMNS, True), (LESION_COLUMNS, False)):
        for attribute, column in columns.items():
            values = facts[column].to_numpy(dtype=str)
            levels = sorted(set(values if by_image else values[truth]), key=lambda v: (v == "", v))
            if len(levels) < 2 and by_image:
                continue  # the whole test set once more
            for level in levels:
                members = values == level
                if not by_image:
                    members = (members & truth) | ~truth
                yield attribute, level or "not given", members, by_image


def _observed_expected(
    risks: np.ndarray, positive: np.ndarray, patients: Patients, seed: int, draws: int
) -> Estimate:
    if not positive.any():
        return undefined("no positive among them", patients)
    observed, expected = patients.sums(positive), patients.sums(risks)
    statistic = {"oe": lambda counts: ratio(counts @ observed, counts @ expected)}
    return bootstrap(statistic, patients, seed=seed, draws=draws)["oe"]


def _named(value: str, prefix: str, estimate: Estimate) -> dict[str, object]:
    return {
        value: estimate.value,
        f"{prefix}_low": estimate.low,
        f"{prefix}_high": estimate.high,
        f"{prefix}_reason": estimate.reason,
    }


def errors(
    calibrated: Sequence[Calibrated], dataset: Dataset, thresholds: dict[str, float]
) -> pd.DataFrame:
    """Missed cancers and false alarms at a threshold, counted by label, density, kind and size.

    Args:
        calibrated: Groups of predictions.
        dataset: What is known of the images.
        thresholds: Title of a group -> its threshold, from validation patients.

    Returns:
        title, error (missed, false alarm), attribute, level, errors, of (test images that could
        have been one), share.
    """
    facts_of_images = attributes(dataset).set_index("image_id")
    facts_of_images["label"] = dataset.catalogue.images.set_index("image_id")["label"].astype(
        "string"
    )
    rows = []
    for model in image_models(calibrated):
        if model.group.title not in thresholds:
            continue
        truth = model.test.classes == 1
        recalled = model.test.probabilities[:, 1] >= thresholds[model.group.title]
        facts = facts_of_images.reindex(model.test.image_ids).set_index(np.arange(len(truth)))
        columns = {"all": None, "breast density": "density", "view": "view"}
        for error, eligible, wrong, further in (
            ("missed", truth, truth & ~recalled, LESION_COLUMNS),
            ("false alarm", ~truth, ~truth & recalled, {"label": "label"}),
        ):
            for attribute, column in (columns | further).items():
                values = facts[column].to_numpy(dtype=str) if column else np.full(len(truth), "")
                for level in sorted(set(values[eligible])):
                    in_level = values == level
                    units, count = int((eligible & in_level).sum()), int((wrong & in_level).sum())
                    name = (level or ("not given" if column else "")).replace("_", " ")
                    title = model.group.title
                    rows.append((title, error, attribute, name, count, units, count / units))
    return pd.DataFrame(
        rows, columns=["title", "error", "attribute", "level", "errors", "of", "share"]
    )


def worst_errors(calibrated: Sequence[Calibrated], *, per_kind: int) -> pd.DataFrame:
    """The malignant test images with the lowest scores, the others with the highest.

    Of the first of `image_models`.

    Returns:
        title, error (missed, false alarm), image_id, score; the worst first.
    """
    parts = []
    for model in image_models(calibrated)[:1]:
        positive = model.test.classes == 1
        scores = pd.DataFrame(
            {
                "title": model.group.title,
                "image_id": model.test.image_ids,
                "score": model.test.probabilities[:, 1],
            }
        )
        parts = [
            scores[positive].nsmallest(per_kind, "score").assign(error="missed"),
            scores[~positive].nlargest(per_kind, "score").assign(error="false alarm"),
        ]
    columns = ["title", "error", "image_id", "score"]
    return pd.concat(parts, ignore_index=True)[columns] if parts else pd.DataFrame(columns=columns)

"""Scheme A of the paper: an image gets a category if one of its patches does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import gammaln

from second_look.catalogue import patient_keys
from second_look.evaluation.intervals import DRAWS, Patients
from second_look.evaluation.predictions import CLASS_SCORES, from_scores, positive
from second_look.evaluation.roc import operating_point
from second_look.evaluation.seeds import OverTrainings, auc_over_trainings
from second_look.inference.windows import score_all, score_image
from second_look.models.classifier import Classifier
from second_look.preparing.dataset import Dataset
from second_look.preparing.views import View, heat_view
from second_look.studies.transfer.patch_models import PatchModel

# Rules that turn the scores of an image's windows into one score of the image.
RULES = {
    "any window": "1 if any window is classified as malignant, as in the paper",
    "highest": "highest score of a window",
    "top mean": "mean of the highest scores",
    "highest, for its number": "share of images without a malignancy, with as many windows, whose "
    "highest score would be lower",
}
MALIGNANT = CLASS_SCORES[-1]
# Heat maps: px of a patch between windows, and rows of the drawn image.
HEAT_STRIDE, HEAT_ROWS = 32, 512


def image_scores(scored: pd.DataFrame, reference: npt.ArrayLike, *, top: int = 5) -> pd.DataFrame:
    """One row per image, with a score by each rule.

    Args:
        scored: Windows of images, from inference.windows.score_all.
        reference: Scores of windows of validation images without a malignancy, from
            `reference_scores`.
        top: Windows that "top mean" averages.

    Returns:
        image_id, windows (their number), positive_windows, and the RULES, each from 0 to 1.
    """
    positive_windows = scored[list(CLASS_SCORES)].to_numpy().argmax(axis=1) == len(CLASS_SCORES) - 1
    scored = scored.assign(positive=positive_windows)
    reference = np.sort(np.asarray(reference, dtype=np.float64))
    rows = []
    for image_id, windows in scored.groupby("image_id", sort=True):
        scores = np.sort(windows[MALIGNANT].to_numpy())[::-1]
        # If a share F of windows scores lower, all of n independent windows do with chance F^n.
        share = (np.searchsorted(reference, scores[0], side="right") + 0.5) / (reference.size + 1)
        rows.append(
            {
                "image_id": image_id,
                "windows": len(windows),
                "positive_windows": int(windows["positive"].sum()),
                "any window": float(windows["positive"].any()),
                "highest": float(scores[0]),
                "top mean": float(scores[:top].mean()),
                "highest, for its number": float(share ** len(windows)),
            }
        )
    return pd.DataFrame(rows)


def reference_scores(scored: pd.DataFrame, images: pd.DataFrame) -> npt.NDArray[np.float64]:
    """Scores of the windows of validation images without a malignancy."""
    image_ids = images[(images["split"] == "val") & (images["label"] != "malignant")]["image_id"]
    scores: npt.NDArray[np.float64] = scored.loc[
        scored["image_id"].isin(set(image_ids)), MALIGNANT
    ].to_numpy()
    return scores


def predictions(
    scores: pd.DataFrame, images: pd.DataFrame, *, seed: int, architecture: str, start: str
) -> pd.DataFrame:
    """The rules as models of images (see predictions.SCHEMA), target malignant.

    Args:
        scores: From `image_scores`.
        images: Of the catalogue.
        seed: Of the patch model.
        architecture: Of the patch model.
        start: Of the patch model.
    """
    columns = ["dataset", "image_id", "patient_id", "split", "label", "laterality", "view"]
    units = images[columns].merge(scores, on="image_id", validate="1:1")
    tables = [
        from_scores(
            units[columns],
            units[rule],
            unit="image",
            target="malignant",
            model=f"scheme A, {rule}",
            seed=seed,
            architecture=architecture,
            start=start,
        )
        for rule in RULES
    ]
    return pd.concat(tables, ignore_index=True)


@dataclass(frozen=True)
class Applied:
    """Scheme A with one patch model.

    Attributes:
        scores: Of `image_scores`.
        predictions: Of `predictions`.
    """

    scores: pd.DataFrame
    predictions: pd.DataFrame


def apply_all(
    models: Sequence[PatchModel],
    data: Dataset,
    *,
    size: int,
    stride: int,
    min_breast_share: float,
    scales: Mapping[str, float],
) -> list[Applied]:
    """Score the windows of all validation and test images with every training of a patch model.

    Args:
        models: Its trainings.
        data: The data set.
        size: Of a patch, px.
        stride: Px of a patch between windows.
        min_breast_share: Of a window that must be on the breast.
        scales: Image -> px of a patch per px of the image.
    """
    images = data.catalogue.images
    image_ids = list(images.loc[images["split"] != "train", "image_id"])
    applied = []
    for model in models:
        windows = score_all(
            model.network, data.prepared, image_ids, size=size, stride=stride,
            min_breast_share=min_breast_share, scales=scales,
        )  # fmt: skip
        scores = image_scores(windows, reference_scores(windows, images))
        table = predictions(
            scores, images, seed=model.seed, architecture=model.network.architecture,
            start=model.start,
        )  # fmt: skip
        applied.append(Applied(scores, table))
    return applied


def auc(predicted: pd.DataFrame, rule: str, *, seed: int, draws: int = DRAWS) -> OverTrainings:
    """AUC of a rule on test images, malignant or not, over the trainings of the patch model.

    Args:
        predicted: Of `predictions`, for every training.
        rule: One of RULES.
        seed: Of the bootstrap.
        draws: Bootstrap samples.
    """
    test = predicted[(predicted["model"] == f"scheme A, {rule}") & (predicted["split"] == "test")]
    by_seed = [of_seed.sort_values("image_id") for _, of_seed in test.groupby("seed")]
    scores = np.stack([of_seed["score"].to_numpy(dtype=np.float64) for of_seed in by_seed])
    patients = Patients.from_ids(patient_keys(by_seed[0]))
    truth = positive(by_seed[0]["label"], "malignant")
    return auc_over_trainings(scores, truth, patients, seed=seed, draws=draws)


def any_window_operating_point(
    scores: pd.DataFrame, images: pd.DataFrame, *, seed: int, draws: int = DRAWS
) -> pd.DataFrame:
    """Sensitivity and specificity of "any window" on test images, with intervals over patients.

    Args:
        scores: From `image_scores`.
        images: Of the catalogue.
        seed: Of the bootstrap.
        draws: Bootstrap samples.

    Returns:
        measure, value, low, high, n.
    """
    test = _test_images(scores, images)
    malignant = positive(test["label"], "malignant")
    patients = Patients.from_ids(patient_keys(test))
    estimates = operating_point(
        test["any window"], malignant, patients, threshold=1, seed=seed, draws=draws
    )
    rows = [
        {
            "measure": measure,
            "value": estimate.value,
            "low": estimate.low,
            "high": estimate.high,
            "n": int(units.sum()),
        }
        for (measure, estimate), units in zip(
            estimates.items(), (malignant, ~malignant), strict=True
        )
    ]
    return pd.DataFrame(rows)


def flagged_by_number(
    scores: pd.DataFrame, images: pd.DataFrame, numbers: Sequence[int]
) -> pd.DataFrame:
    """Share of the test images flagged if only k windows of each, drawn at random, are used.

    An image with m positive windows among n is flagged with probability 1 - C(n-m, k) / C(n, k).
    For comparison, independent windows: 1 - (1 - p)^k, with p the share of positive windows.

    Args:
        scores: From `image_scores`.
        images: Of the catalogue.
        numbers: Values of k.

    Returns:
        malignant (whether the images are), windows (k), flagged, independent, images.
    """
    test = _test_images(scores, images)
    rows = []
    for is_malignant, group in test.groupby(test["label"] == "malignant"):
        total, hits = group["windows"].to_numpy(), group["positive_windows"].to_numpy()
        share = hits.sum() / total.sum()
        for k in numbers:
            drawn = np.minimum(k, total)
            missed = np.exp(_log_choose(total - hits, drawn) - _log_choose(total, drawn))
            rows.append(
                {
                    "malignant": bool(is_malignant),
                    "windows": k,
                    "flagged": float(np.mean(1 - missed)),
                    "independent": 1 - (1 - share) ** k,
                    "images": len(group),
                }
            )
    return pd.DataFrame(rows)


def _test_images(scores: pd.DataFrame, images: pd.DataFrame) -> pd.DataFrame:
    return images[images["split"] == "test"].merge(scores, on="image_id", validate="1:1")


def _log_choose(n: npt.NDArray[np.int64], k: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Logarithm of the binomial coefficient C(n, k); -inf where k > n."""
    possible = k <= n
    remaining = np.where(possible, n - k, 0)
    log_ways: npt.NDArray[np.float64] = gammaln(n + 1) - gammaln(k + 1) - gammaln(remaining + 1)
    return np.where(possible, log_ways, -np.inf)


def choose_heat_maps(
    scores: pd.DataFrame, images: pd.DataFrame, *, per_kind: int
) -> list[tuple[str, str]]:
    """Test images to look at: malignant and not malignant, with the highest and lowest scores.

    Args:
        scores: From `image_scores`.
        images: Of the catalogue.
        per_kind: Images of each of the four kinds.

    Returns:
        (image_id, title).
    """
    ranked = _test_images(scores, images).sort_values("highest", ascending=False)
    malignant = ranked["label"] == "malignant"
    kinds = {
        "malignant, highest score": ranked[malignant].head(per_kind),
        "malignant, lowest score": ranked[malignant].tail(per_kind),
        "not malignant, highest score": ranked[~malignant].head(per_kind),
        "not malignant, lowest score": ranked[~malignant].tail(per_kind),
    }
    return [
        (row.image_id, f"{kind}: {row.highest:.2f}")
        for kind, selected in kinds.items()
        for row in selected.itertuples()
    ]


def heat_maps(
    network: Classifier,
    data: Dataset,
    image_ids: Sequence[str],
    *,
    size: int,
    scales: Mapping[str, float],
) -> list[tuple[View, npt.NDArray[np.float32]]]:
    """Whole mammograms with the probability of "malignant" around each point of the breast.

    Args:
        network: The patch model, in evaluation mode.
        data: The data set.
        image_ids: Images to draw.
        size: Of a patch, px.
        scales: Image -> px of a patch per px of the image.
    """
    maps = []
    for image_id in image_ids:
        scores = score_image(
            network,
            data.prepared,
            image_id,
            size=size,
            stride=HEAT_STRIDE,
            scale=scales[image_id],
        )
        maps.append(heat_view(data, image_id, HEAT_ROWS, scores, MALIGNANT))
    return maps

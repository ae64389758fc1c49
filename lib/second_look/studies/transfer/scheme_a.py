"""Scheme A of the paper: an image gets a category if one of its patches does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import gammaln

from second_look.catalogue import patient_keys
from second_look.evaluation.intervals import DRAWS, Patients
from second_look.evaluation.predictions import CLASS_SCORES, from_scores, positive
from second_look.evaluation.roc import auc_estimate, operating_point
from second_look.inference.windows import score_image
from second_look.models.classifier import Classifier
from second_look.outputs import Run
from second_look.preparing.dataset import Dataset
from second_look.preparing.views import View, heat_view
from second_look.studies.transfer.field import worse_than_the_field

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


def report(
    run: Run, predicted: pd.DataFrame, data: Dataset, *, seed: int, claim_id: str, rule: str
) -> None:
    """Record the AUC on test images, malignant or not, for the paper's claim.

    Nothing is recorded if the AUC is undefined.

    Args:
        run: Of the notebook.
        predicted: From `predictions`.
        data: The data set.
        seed: Of the bootstrap.
        claim_id: Of the paper's claim.
        rule: Model in `predicted`.
    """
    test = predicted[(predicted["model"] == rule) & (predicted["split"] == "test")]
    patients = Patients.from_ids(patient_keys(test))
    truth = positive(test["label"], "malignant")
    estimate = auc_estimate(test["score"], truth, patients, seed=seed)
    if not np.isfinite(estimate.value):
        return
    asked = f"AUC, malignant or not, {rule}, {data.name}, test patients"
    run.result(
        claim_id, estimate.value, low=estimate.low, high=estimate.high, n=estimate.n,
        how="; ".join(filter(None, (asked, estimate.reason))), figure="whole_image_auc",
        verdict=worse_than_the_field(estimate.low, estimate.high),
        synthetic=data.synthetic,
    )  # fmt: skip


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

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

# Rules that make one score of an image from those of its windows.
RULES = {
    "any window": "1 if any window is taken for malignant, as in the paper",
    "highest": "highest score of a window",
    "top mean": "mean of the highest scores",
    "highest, for its number": "share of images without a malignancy, with as many windows, whose "
    "highest score would be lower",
}
MALIGNANT = CLASS_SCORES[-1]
# Heat maps: px of a patch between windows, and rows of the picture.
HEAT_STRIDE, HEAT_ROWS = 32, 512


def image_scores(scored: pd.DataFrame, reference: npt.ArrayLike, *, top: int = 5) -> pd.DataFrame:
    """One row an image: a score by each rule.

    Args:
        scored: Windows of images, from inference.windows.score_all.
        reference: Scores of windows of validation images without a malignancy: what is usual.
        top: Windows that "top mean" averages.

    Returns:
        image_id, windows (their number), positive_windows, and the RULES, each from 0 to 1.
    """
    taken = scored[list(CLASS_SCORES)].to_numpy().argmax(axis=1) == len(CLASS_SCORES) - 1
    windows = scored.assign(taken=taken)
    usual = np.sort(np.asarray(reference, dtype=np.float64))
    rows = []
    for image_id, own in windows.groupby("image_id", sort=True):
        scores = np.sort(own[MALIGNANT].to_numpy())[::-1]
        # One of n windows is above a score that a share F of them reaches with chance 1 - F^n.
        lower = (np.searchsorted(usual, scores[0], side="right") + 0.5) / (usual.size + 1)
        rows.append(
            {
                "image_id": image_id,
                "windows": len(own),
                "positive_windows": int(own["taken"].sum()),
                "any window": float(own["taken"].any()),
                "highest": float(scores[0]),
                "top mean": float(scores[:top].mean()),
                "highest, for its number": float(lower ** len(own)),
            }
        )
    return pd.DataFrame(rows)


def usual_scores(scored: pd.DataFrame, images: pd.DataFrame) -> npt.NDArray[np.float64]:
    """Scores of the windows of validation images without a malignancy."""
    own = images[(images["split"] == "val") & (images["label"] != "malignant")]["image_id"]
    scores: npt.NDArray[np.float64] = scored.loc[
        scored["image_id"].isin(set(own)), MALIGNANT
    ].to_numpy()
    return scores


def predictions(
    found: pd.DataFrame, images: pd.DataFrame, *, seed: int, architecture: str, start: str
) -> pd.DataFrame:
    """The rules as models of images (see predictions.SCHEMA), target malignant.

    Args:
        found: From `image_scores`.
        images: Of the catalogue.
        seed: Of the patch model.
        architecture: Of the patch model.
        start: Of the patch model.
    """
    columns = ["dataset", "image_id", "patient_id", "split", "label", "laterality", "view"]
    units = images[columns].merge(found, on="image_id", validate="1:1")
    parts = [
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
    return pd.concat(parts, ignore_index=True)


def at_the_papers_rule(
    found: pd.DataFrame, images: pd.DataFrame, *, seed: int, draws: int = DRAWS
) -> pd.DataFrame:
    """Sensitivity and specificity of "any window" on test images, with intervals over patients.

    Returns:
        measure, value, low, high, n.
    """
    test = images[images["split"] == "test"].merge(found, on="image_id", validate="1:1")
    malignant = positive(test["label"], "malignant")
    patients = Patients.from_ids(patient_keys(test))
    point = operating_point(
        test["any window"], malignant, patients, threshold=1, seed=seed, draws=draws
    )
    rows = []
    for (name, e), units in zip(point.items(), (malignant, ~malignant), strict=True):
        row = {"measure": name, "value": e.value, "low": e.low, "high": e.high}
        rows.append({**row, "n": int(units.sum())})
    return pd.DataFrame(rows)


def flagged_by_number(
    found: pd.DataFrame, images: pd.DataFrame, numbers: Sequence[int]
) -> pd.DataFrame:
    """Share of the test images flagged if only k windows of each are looked at, drawn at random.

    An image with m positive windows among n is flagged with chance 1 - C(n-m, k) / C(n, k). Beside
    it, what independent windows would do: 1 - (1 - p)^k, with p the share of positive windows.

    Returns:
        malignant (whether the images are), windows (k), flagged, independent, images.
    """
    test = images[images["split"] == "test"].merge(found, on="image_id", validate="1:1")
    rows = []
    for is_malignant, own in test.groupby(test["label"] == "malignant"):
        total, hits = own["windows"].to_numpy(), own["positive_windows"].to_numpy()
        share = hits.sum() / total.sum()
        for k in numbers:
            looked = np.minimum(k, total)
            missed = np.exp(_log_choose(total - hits, looked) - _log_choose(total, looked))
            rows.append(
                {
                    "malignant": bool(is_malignant),
                    "windows": k,
                    "flagged": float(np.mean(1 - missed)),
                    "independent": 1 - (1 - share) ** k,
                    "images": len(own),
                }
            )
    return pd.DataFrame(rows)


def _log_choose(n: npt.NDArray[np.int64], k: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Logarithm of the number of ways to choose k of n; -inf where there are none."""
    possible = k <= n
    rest = np.where(possible, n - k, 0)
    ways: npt.NDArray[np.float64] = gammaln(n + 1) - gammaln(k + 1) - gammaln(rest + 1)
    return np.where(possible, ways, -np.inf)


def report(
    run: Run, predicted: pd.DataFrame, data: Dataset, *, seed: int, claim_id: str, rule: str
) -> None:
    """Put the AUC on test images, malignant or not, beside the paper's claim."""
    own = predicted[(predicted["model"] == rule) & (predicted["split"] == "test")]
    patients = Patients.from_ids(patient_keys(own))
    found = auc_estimate(own["score"], positive(own["label"], "malignant"), patients, seed=seed)
    if not np.isfinite(found.value):
        return
    run.result(
        claim_id, found.value, low=found.low, high=found.high, n=found.n,
        how=f"AUC, malignant or not, {rule}, {data.name}, test patients", figure="whole_image_auc",
        verdict=worse_than_the_field(found.low, found.high),
        synthetic=data.synthetic,
    )  # fmt: skip


def choose_heat_maps(
    found: pd.DataFrame, images: pd.DataFrame, *, each: int = 2
) -> list[tuple[str, str]]:
    """Test images worth a look: found and missed malignancies, false alarms, quiet ones.

    Args:
        found: From `image_scores`.
        images: Of the catalogue.
        each: Images of each kind.

    Returns:
        (image_id, title).
    """
    test = images[images["split"] == "test"].merge(found, on="image_id", validate="1:1")
    ranked = test.sort_values("highest", ascending=False)
    malignant = ranked["label"] == "malignant"
    kinds = {
        "malignant, highest score": ranked[malignant].head(each),
        "malignant, lowest score": ranked[malignant].tail(each),
        "not malignant, highest score": ranked[~malignant].head(each),
        "not malignant, lowest score": ranked[~malignant].tail(each),
    }
    return [
        (row.image_id, f"{kind}: {row.highest:.2f}")
        for kind, own in kinds.items()
        for row in own.itertuples()
    ]


def heat_maps(
    network: Classifier,
    data: Dataset,
    chosen: Sequence[tuple[str, str]],
    *,
    size: int,
    scales: Mapping[str, float],
) -> list[tuple[View, npt.NDArray[np.float32]]]:
    """Whole films and the probability of "malignant" around each point of the breast.

    Args:
        network: The patch model, in evaluation mode.
        data: The data set.
        chosen: From `choose_heat_maps`.
        size: Of a patch, px.
        scales: Image -> px of a patch for one px of the image.
    """
    found = []
    for image_id, _ in chosen:
        scores = score_image(
            network,
            data.prepared,
            image_id,
            size=size,
            stride=HEAT_STRIDE,
            scale=scales[image_id],
        )
        found.append(heat_view(data, image_id, HEAT_ROWS, scores, MALIGNANT))
    return found

"""Accuracy against the number of patches, and whether a pretrained start helps."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from second_look.catalogue import LABELS, patient_keys
from second_look.evaluation import classification
from second_look.evaluation.comparisons import with_holm
from second_look.evaluation.intervals import (
    DRAWS,
    IDENTICAL,
    Patients,
    Statistic,
    difference,
    in_words,
)
from second_look.evaluation.predictions import CLASS_SCORES, classes, probabilities
from second_look.evaluation.roc import macro_auc_statistic
from second_look.evaluation.seeds import COLUMNS, OverTrainings, metrics_over_trainings
from second_look.models.classifier import RANDOM
from second_look.studies.transfer.patch_models import PatchModel
from second_look.studies.windows import training_windows
from second_look.verdicts import luck

# Columns of OverTrainings.row besides the value and its ends.
_FURTHER = ["n", "patients", "reason", *COLUMNS]
# Measures of patch models: key → name in tables and figures.
MEASURES = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "macro_auc": "macro AUC",
}


def learning_curve(predictions: pd.DataFrame, *, seed: int, draws: int = DRAWS) -> pd.DataFrame:
    """Each measure against the number of patches, averaged over seeds, with intervals.

    Args:
        predictions: From `patch_models.predict_patches`, of one split.
        seed: Of the bootstrap.
        draws: Bootstrap samples.

    Returns:
        start, patches, measure, then the columns of OverTrainings.row.
    """
    rows = []
    for (start, patches), of_model in predictions.groupby(["start", "patches"], sort=False):
        patients, statistics = _statistics(of_model)
        over = metrics_over_trainings(statistics, patients, seed=seed, share=True, draws=draws)
        names = {"start": start, "patches": patches}
        rows += [{**names, "measure": measure, **item.row} for measure, item in over.items()]
    return pd.DataFrame(rows).sort_values(["measure", "start", "patches"], ignore_index=True)


def transfer_effect(predictions: pd.DataFrame, *, seed: int, draws: int = DRAWS) -> pd.DataFrame:
    """Gain of each start over the random one with as many patches, paired over patients and seeds.

    Args:
        predictions: From `patch_models.predict_patches`, of one split.
        seed: Of the bootstrap.
        draws: Bootstrap samples.

    Returns:
        start, patches, measure, the columns of OverTrainings.row (of the difference), p, answer in
        words, p_holm (Holm's over all rows); empty if there is no random start or no other one.
    """
    rows = []
    for patches, of_number in predictions.groupby("patches", sort=True):
        by_start = dict(tuple(of_number.groupby("start", sort=False)))
        if RANDOM not in by_start:
            continue
        baseline = by_start.pop(RANDOM)
        for start, of_start in by_start.items():
            names = {"start": start, "patches": patches}
            rows += [
                {
                    **names,
                    "measure": measure,
                    **over.row,
                    "p": over.estimate.p,
                    "answer": answer(over),
                }
                for measure, over in _gains(of_start, baseline, seed, draws).items()
            ]
    columns = ["start", "patches", "measure", "value", "low", "high", *_FURTHER, "p", "answer"]
    return with_holm(pd.DataFrame(rows, columns=columns))


def growth(predictions: pd.DataFrame, *, seed: int, draws: int = DRAWS) -> pd.DataFrame:
    """Gain of each number of patches over the next smaller one, paired over patients and seeds.

    Args:
        predictions: From `patch_models.predict_patches`, of one split.
        seed: Of the bootstrap.
        draws: Bootstrap samples.

    Returns:
        start, fewer, patches, measure, then the columns of OverTrainings.row; empty if there is
        one number of patches only.
    """
    rows = []
    for start, of_start in predictions.groupby("start", sort=False):
        by_number = list(of_start.groupby("patches", sort=True))
        for (fewer, smaller), (patches, larger) in itertools.pairwise(by_number):
            names = {"start": start, "fewer": fewer, "patches": patches}
            rows += [
                {**names, "measure": measure, **over.row}
                for measure, over in _gains(larger, smaller, seed, draws).items()
            ]
    columns = ["start", "fewer", "patches", "measure", "value", "low", "high", *_FURTHER]
    return pd.DataFrame(rows, columns=columns)


def _gains(
    model: pd.DataFrame, baseline: pd.DataFrame, seed: int, draws: int
) -> dict[str, OverTrainings]:
    """Measure -> a model less a baseline on the same windows, training by training."""
    patients, statistics = _statistics(model)
    _, of_baseline = _statistics(baseline)
    gains = {
        measure: [difference(*pair) for pair in zip(of_model, of_baseline[measure], strict=True)]
        for measure, of_model in statistics.items()
    }
    return metrics_over_trainings(gains, patients, seed=seed, share=False, draws=draws)


def answer(gain: OverTrainings) -> str:
    """Whether a start helps: it does, or harms, only if the interval is on one side of zero.

    Fewer than 3 trainings answer nothing: another seed may turn the sign.
    """
    estimate = gain.estimate
    if estimate.reason == IDENTICAL:
        return "the answers are identical"
    if np.isnan(estimate.low):
        return "undefined"
    direction = "helps" if estimate.low > 0 else "harms" if estimate.high < 0 else ""
    return luck(gain.trainings, "the start") or direction or "no difference seen"


def best_model(models: Sequence[PatchModel], start: str = "") -> PatchModel:
    """Of the models with the most patches, the best on validation patients.

    Args:
        models: Trained models.
        start: Only models with this start; "" takes all.

    Returns:
        The model whose final weights have the highest macro AUC; if several are equal, or the AUC
        of all is undefined on validation patients, the first seed of the first start.
    """
    candidates = [model for model in models if not start or model.start == start]
    return max(candidates, key=lambda model: (model.patches, _validation_auc(model), -model.seed))


def trainings_of(models: Sequence[PatchModel], best: PatchModel) -> list[PatchModel]:
    """The trainings of a model with other seeds, itself first."""
    siblings = [
        model
        for model in models
        if model is not best and (model.start, model.patches) == (best.start, best.patches)
    ]
    return [best, *siblings]


def weights_by_seed(models: Sequence[PatchModel], best: PatchModel) -> dict[int, Path]:
    """Seed → weights of the trainings of a model; a model of images starts from its seed's."""
    return {model.seed: model.trained.weights for model in trainings_of(models, best)}


def _validation_auc(model: PatchModel) -> float:
    """Macro AUC of the final weights on validation patients; -inf if there is none."""
    curve = model.trained.curve("macro_auc")
    values = curve[curve["step"] <= model.trained.best_step]["value"].dropna()
    return float(values.iloc[-1]) if len(values) else -np.inf


def confusion_shares(predictions: pd.DataFrame) -> pd.DataFrame:
    """True class (rows) against predicted class: share of the windows of the true class.

    Returns:
        class, windows, one column per predicted class.
    """
    predicted = probabilities(predictions).argmax(axis=1)
    counts = classification.confusion(classes(predictions), predicted, len(LABELS))
    total = counts.sum(axis=1)
    shares = counts / np.maximum(total, 1)[:, None]
    table = pd.DataFrame(shares, columns=list(LABELS))
    table.insert(0, "class", list(LABELS))
    table.insert(1, "windows", total)
    return table[table["windows"] > 0].reset_index(drop=True)


def by_class(predictions: pd.DataFrame, *, seed: int) -> pd.DataFrame:
    """Recall with its interval, and AUC, of each class for one model."""
    patients = Patients.from_ids(patient_keys(predictions))
    return classification.by_class(
        probabilities(predictions), classes(predictions), patients, LABELS, seed=seed
    )


def baselines(windows: pd.DataFrame, test: pd.DataFrame) -> pd.DataFrame:
    """Accuracies without looking at the image, from the classes of the training windows.

    Args:
        windows: Of all splits.
        test: The windows to predict.
    """
    codes = training_windows(windows)["label"].map(LABELS.index)
    return classification.baselines(codes, test["label"].map(LABELS.index), len(LABELS))


def validation_curves(models: Sequence[PatchModel]) -> pd.DataFrame:
    """Measures on validation patients during training, of the models with the most patches.

    Returns:
        start, seed, patches (seen so far), measure, value.
    """
    max_patches = max(model.patches for model in models)
    tables = []
    for model in models:
        history = model.trained.history
        # The loop's accuracy is that of training batches.
        validated = history[history["name"].isin(set(MEASURES) - {"accuracy"})]
        if model.patches == max_patches and len(validated):
            facts = {
                "start": model.start,
                "seed": model.seed,
                "patches": validated["step"] * model.batch_size,
            }
            tables.append(validated.rename(columns={"name": "measure"}).assign(**facts))
    columns = ["start", "seed", "patches", "measure", "value"]
    if not tables:
        return pd.DataFrame(columns=columns)
    return pd.concat(tables, ignore_index=True)[columns]


def at_chance(curve: pd.DataFrame, baseline: pd.DataFrame, patches: int, start: str) -> bool:
    """Whether a start with so many patches is not clearly better than the commonest class."""
    common = baseline.set_index("baseline").loc["always the commonest class", "balanced_accuracy"]
    balanced = curve[(curve["measure"] == "balanced_accuracy") & (curve["start"] == start)]
    lows = balanced.loc[balanced["patches"] == patches, "low"]
    return not bool((lows > common).all())


def findings(curve: pd.DataFrame, effect: pd.DataFrame, baseline: pd.DataFrame) -> str:
    """The results as sentences, with the run's numbers."""
    lines = _growth(curve)
    common = baseline.set_index("baseline").loc["always the commonest class"]
    lines.append(
        f"Without looking at the image, always predicting the commonest class gives an accuracy of "
        f"{common['accuracy']:.0%} and a balanced accuracy of {common['balanced_accuracy']:.0%}."
    )
    by_measure = effect.set_index(["start", "patches", "measure"])
    for row in effect[effect["measure"] == "balanced_accuracy"].itertuples():
        untaught = at_chance(curve, baseline, row.patches, RANDOM)
        chance = " (the random one is still at chance there)" if untaught else ""
        plain = by_measure.loc[(row.start, row.patches, "accuracy")]
        balanced_answer = "" if row.answer == plain["answer"] else f": {row.answer}"
        lines.append(
            f"A start from {row.start} with {row.patches:,} patches, compared with a random one: "
            f"{_points(row._asdict())} percentage points of balanced accuracy{balanced_answer}"
            f"{chance}; {_points(plain)} percentage points of accuracy at the frequencies of the "
            f"data set: {plain['answer']}."
        )
    return "\n".join(f"- {line}" for line in lines)


def _growth(curve: pd.DataFrame) -> list[str]:
    """How each accuracy changes from the smallest to the largest number of patches."""
    lines = []
    for measure in ("balanced_accuracy", "accuracy"):
        rows = curve[curve["measure"] == measure].sort_values("patches")
        for start, of_start in rows.groupby("start", sort=False):
            fewest, largest = of_start.iloc[0], of_start.iloc[-1]
            if len(of_start) > 1:
                lines.append(
                    f"Start {start}: {MEASURES[measure]} goes from {_percent(fewest)} with "
                    f"{fewest['patches']:,} patches to {_percent(largest)} with "
                    f"{largest['patches']:,}."
                )
    return lines


def _percent(row: Mapping[str, float]) -> str:
    return in_words(row["value"], row["low"], row["high"], ".0%")


def _points(row: Mapping[str, Any]) -> str:
    value, low, high = (100 * row[name] for name in ("value", "low", "high"))
    return in_words(value, low, high, "+.1f", reason=row["reason"])


def _statistics(predictions: pd.DataFrame) -> tuple[Patients, dict[str, list[Statistic]]]:
    """Measure -> its statistic of each training of a model, by seed; all on the same windows.

    Sorted by window, so that models that are compared have the same patients in the same order.
    """
    order = ["image_id", "row", "col"]
    by_seed = [of_seed.sort_values(order) for _, of_seed in predictions.groupby("seed")]
    patients = Patients.from_ids(patient_keys(by_seed[0]))
    statistics: dict[str, list[Statistic]] = {name: [] for name in MEASURES}
    for table in by_seed:
        truth, scores = classes(table), table[list(CLASS_SCORES)].to_numpy()
        predicted = scores.argmax(axis=1)
        correct = truth == predicted
        statistics["accuracy"].append(classification.accuracy_statistic(correct, patients))
        statistics["balanced_accuracy"].append(
            classification.balanced_accuracy_statistic(truth, predicted, patients)
        )
        statistics["macro_auc"].append(macro_auc_statistic(scores, truth, patients))
    return patients, statistics

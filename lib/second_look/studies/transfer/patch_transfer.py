"""Accuracy against the number of patches, and whether a pretrained start helps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from second_look.catalogue import LABELS, patient_keys
from second_look.evaluation import classification
from second_look.evaluation.intervals import (
    DRAWS,
    Estimate,
    Patients,
    Statistic,
    average,
    bootstrap,
    difference,
    in_words,
)
from second_look.evaluation.predictions import CLASS_SCORES, classes, probabilities
from second_look.evaluation.roc import macro_auc_statistic
from second_look.models.classifier import IMAGENET, RANDOM
from second_look.outputs import Run
from second_look.paper import NO_INTERVAL, NOT_REPRODUCED, REPRODUCED
from second_look.preparing.dataset import Dataset
from second_look.studies.transfer.patch_models import PatchModel
from second_look.studies.windows import training_windows

# A gain of balanced accuracy below this, 0 to 1, would make no difference in practice.
MATTERS = 0.05
# Verdict on a gain over a random start that has learned nothing yet: it shows that few patches are
# enough from the other start, not what that start adds where there are many.
AT_CHANCE = "undecided: the random start is still at chance"
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
        start, patches, measure, value, low, high, seeds, n (windows), patients.
    """
    rows = []
    for (start, patches), of_model in predictions.groupby(["start", "patches"], sort=False):
        patients, statistics = _statistics(of_model)
        estimates = bootstrap(statistics, patients, seed=seed, draws=draws)
        rows += [
            {
                "start": start,
                "patches": patches,
                "measure": measure,
                **_value_and_interval(estimate),
                "seeds": of_model["seed"].nunique(),
                "n": estimate.n,
                "patients": estimate.patients,
            }
            for measure, estimate in estimates.items()
        ]
    return pd.DataFrame(rows).sort_values(["measure", "start", "patches"], ignore_index=True)


def transfer_effect(predictions: pd.DataFrame, *, seed: int, draws: int = DRAWS) -> pd.DataFrame:
    """Gain of each start over the random one with as many patches, paired over patients.

    Args:
        predictions: From `patch_models.predict_patches`, of one split.
        seed: Of the bootstrap.
        draws: Bootstrap samples.

    Returns:
        start, patches, measure, value (of the difference), low, high, answer in words; empty
        if there is no random start or no other one.
    """
    rows = []
    for patches, of_number in predictions.groupby("patches", sort=True):
        by_start = dict(tuple(of_number.groupby("start", sort=False)))
        if RANDOM not in by_start:
            continue
        patients, random_statistics = _statistics(by_start.pop(RANDOM))
        for start, of_start in by_start.items():
            _, statistics = _statistics(of_start)
            gains = {
                name: difference(statistics[name], baseline)
                for name, baseline in random_statistics.items()
            }
            estimates = bootstrap(gains, patients, seed=seed, draws=draws)
            rows += [
                {
                    "start": start,
                    "patches": patches,
                    "measure": measure,
                    **_value_and_interval(estimate),
                    "answer": answer(estimate),
                }
                for measure, estimate in estimates.items()
            ]
    columns = ["start", "patches", "measure", "value", "low", "high", "answer"]
    return pd.DataFrame(rows, columns=columns)


def answer(gain: Estimate) -> str:
    """Whether a start helps: it does, or harms, only if the interval is on one side of zero."""
    if np.isnan(gain.low):
        return "undefined"
    if gain.low > 0:
        return "helps"
    return "harms" if gain.high < 0 else "no difference seen"


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


def report(
    run: Run,
    curve: pd.DataFrame,
    effect: pd.DataFrame,
    baseline: pd.DataFrame,
    data: Dataset,
    main: str,
) -> None:
    """Record the measurements for the paper's claims on accuracy and transfer.

    Args:
        run: Of the notebook.
        curve: From `learning_curve`.
        effect: From `transfer_effect`.
        baseline: From `baselines`.
        data: Says whether images are synthetic.
        main: Start whose accuracies are compared with the paper's.
    """
    _report_accuracy(run, curve, data, main)
    gains = effect[effect["measure"] == "balanced_accuracy"].sort_values("patches")
    starts = sorted(gains["start"].unique(), key=lambda start: (start != IMAGENET, start))
    if not starts:
        return
    row = gains[gains["start"] == starts[0]].iloc[-1]
    verdict = _verdict(row["low"], row["high"], row["start"])
    if verdict == NOT_REPRODUCED and _at_chance(curve, baseline, row["patches"]):
        verdict = AT_CHANCE
    plain = effect.set_index(["start", "patches", "measure"]).loc[
        (row["start"], row["patches"], "accuracy")
    ]
    run.result(
        "transfer", 100 * row["value"], low=100 * row["low"], high=100 * row["high"],
        how=f"gain in balanced accuracy of a start from {row['start']} over a random one, in "
        f"percentage points, {row['patches']:,} patches, {data.name}; at the frequencies of the "
        f"data set the gain is {_points(plain['value'], plain['low'], plain['high'])}",
        verdict=verdict,
        figure="transfer", synthetic=data.synthetic,
    )  # fmt: skip


def _report_accuracy(run: Run, curve: pd.DataFrame, data: Dataset, main: str) -> None:
    """Record the accuracies at about the paper's numbers of patches."""
    accuracies = curve[(curve["start"] == main) & (curve["measure"] == "accuracy")]
    for claim_id, patches in (("patch-accuracy-200k", 2e5), ("patch-accuracy-400k", 4e5)):
        comparable = accuracies[accuracies["patches"].between(0.75 * patches, 1.5 * patches)]
        for row in comparable.head(1).itertuples():
            run.result(
                claim_id, 100 * row.value, low=100 * row.low, high=100 * row.high, n=int(row.n),
                how=f"{row.patches:,} patches, start {main}, natural class frequencies, "
                f"{data.name}",
                figure="learning_curve", synthetic=data.synthetic,
            )  # fmt: skip


def _verdict(low: float, high: float, start: str) -> str | None:
    """Verdict on "does not seem to help", from the interval of the gain over a random start.

    Seeing no difference on few patients is no evidence: the claim counts as reproduced if a gain
    that would matter is ruled out.
    """
    if start != IMAGENET:
        return None
    if not (np.isfinite(low) and np.isfinite(high)):
        return NO_INTERVAL
    if low > 0:
        return NOT_REPRODUCED
    if high < MATTERS:
        return REPRODUCED
    return f"undecided: the gain may reach {100 * high:.0f} points"


def _at_chance(curve: pd.DataFrame, baseline: pd.DataFrame, patches: int) -> bool:
    """Whether the random start with so many patches is no better than the commonest class."""
    common = baseline.set_index("baseline").loc["always the commonest class", "balanced_accuracy"]
    balanced = curve[(curve["measure"] == "balanced_accuracy") & (curve["start"] == RANDOM)]
    lows = balanced.loc[balanced["patches"] == patches, "low"]
    return bool((lows <= common).any())


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
        at_chance = _at_chance(curve, baseline, row.patches)
        chance = " (the random one is still at chance there)" if at_chance else ""
        plain = by_measure.loc[(row.start, row.patches, "accuracy")]
        lines.append(
            f"A start from {row.start} with {row.patches:,} patches, compared with a random one: "
            f"{_points(row.value, row.low, row.high)} % points of balanced accuracy: {row.answer}"
            f"{chance}; {_points(plain['value'], plain['low'], plain['high'])} % points of "
            f"accuracy at the frequencies of the data set: {plain['answer']}."
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


def _points(value: float, low: float, high: float) -> str:
    return in_words(100 * value, 100 * low, 100 * high, "+.1f")


def _value_and_interval(estimate: Estimate) -> dict[str, float]:
    return {"value": estimate.value, "low": estimate.low, "high": estimate.high}


def _statistics(predictions: pd.DataFrame) -> tuple[Patients, dict[str, Statistic]]:
    """The measures of a model, each the mean over its seeds; all on the same windows.

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
    return patients, {name: average(of_seeds) for name, of_seeds in statistics.items()}

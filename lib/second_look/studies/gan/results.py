"""How well classifiers trained on samples recognise real patches: the numbers of notebook 04."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from second_look.catalogue import LABELS, patient_keys
from second_look.evaluation import classification
from second_look.evaluation.intervals import (
    DRAWS,
    Estimate,
    Patients,
    Statistic,
    bootstrap,
    difference,
    in_words,
)
from second_look.evaluation.predictions import classes, probabilities
from second_look.outputs import Run
from second_look.studies.gan.classifiers import GENERATED, REAL


def summary(predictions: pd.DataFrame, *, seed: int) -> pd.DataFrame:
    """Accuracy of each training set on real patches, over all seeds.

    Returns:
        name, real, generated (training patches), measure, value, low, high (bootstrap over
        patients, of the mean over seeds), seeds, spread (standard deviation over seeds), n
        (patches), patients.
    """
    rows = []
    for name, model_predictions in predictions.groupby("model", sort=False):
        by_seed = [_measures(part, seed, draws=2) for _, part in model_predictions.groupby("seed")]
        for measure, estimate in _measures(model_predictions, seed).items():
            values = [estimates[measure].value for estimates in by_seed]
            rows.append(
                {
                    "name": name,
                    "real": int(model_predictions["real"].iloc[0]),
                    "generated": int(model_predictions["generated"].iloc[0]),
                    "measure": measure,
                    "value": estimate.value,
                    "low": estimate.low,
                    "high": estimate.high,
                    "seeds": len(values),
                    "spread": float(np.std(values, ddof=1)) if len(values) > 1 else float("nan"),
                    "n": estimate.n // len(values),
                    "patients": estimate.patients,
                }
            )
    return pd.DataFrame(rows)


def report(run: Run, table: pd.DataFrame, *, how: str, synthetic: bool) -> None:
    """Record the accuracy of the classifier trained on samples only beside the paper's.

    Args:
        run: Of the notebook.
        table: Of `summary`.
        how: A short description of its training.
        synthetic: Whether the real patches are phantoms'.
    """
    row = table[(table["name"] == GENERATED) & (table["measure"] == "accuracy")].iloc[0]
    value, low, high = (100 * float(row[name]) for name in ("value", "low", "high"))
    run.result(
        "gan-check",
        value,
        low=low,
        high=high,
        n=int(row["n"]),
        how=how,
        figure="accuracy_by_epoch",
        synthetic=synthetic,
    )


def gains(predictions: pd.DataFrame, *, seed: int) -> pd.DataFrame:
    """Effect of added samples compared with real patches alone, paired over patients.

    Returns:
        name, added (samples as a share of the real patches), measure, gain, low, high.
    """
    real = _sorted(predictions[predictions["model"] == REAL])
    rows = []
    for name, model_predictions in predictions.groupby("model", sort=False):
        if name in (GENERATED, REAL):
            continue
        patients = Patients.from_ids(patient_keys(real))
        statistics = _statistics(_sorted(model_predictions), patients)
        real_statistics = _statistics(real, patients)
        differences = {key: difference(statistics[key], real_statistics[key]) for key in statistics}
        added = model_predictions["generated"].iloc[0] / model_predictions["real"].iloc[0]
        for measure, estimate in bootstrap(differences, patients, seed=seed).items():
            rows.append(
                {
                    "name": name,
                    "added": added,
                    "measure": measure,
                    "gain": estimate.value,
                    "low": estimate.low,
                    "high": estimate.high,
                }
            )
    columns = ["name", "added", "measure", "gain", "low", "high"]
    return pd.DataFrame(rows, columns=columns)


def trivial_baselines(
    labels: Sequence[str], training: pd.DataFrame, test: pd.DataFrame
) -> pd.DataFrame:
    """Accuracy without looking at any image: baseline, accuracy, balanced_accuracy.

    The commonest and the rarest class are those of the training windows at their natural
    frequencies: the classifiers train on equally many patches of each class, and the commonest
    class of the test windows is not known beforehand.

    Args:
        labels: The classes.
        training: Windows of the training patients.
        test: Real patches to evaluate on.
    """
    training_counts = training.loc[training["label"].isin(labels), "label"].value_counts()
    shares = test["label"].value_counts(normalize=True)
    guess = 1 / len(labels)
    rows = [("a random guess", guess, guess)]
    ranks = {"commonest": training_counts.index[0], "rarest": training_counts.index[-1]}
    for rank, label in ranks.items():
        balanced = float(label in shares.index) / len(shares)
        name = f"always {label}, the {rank} class"
        rows.append((name, float(shares.get(label, 0.0)), balanced))
    return pd.DataFrame(rows, columns=["baseline", "accuracy", "balanced_accuracy"])


def confusions(
    predictions: pd.DataFrame, labels: Sequence[str], names: Sequence[str]
) -> dict[str, pd.DataFrame]:
    """Name -> confusion matrix over all seeds, counts: true classes (rows), predicted (columns)."""
    codes = [LABELS.index(label) for label in labels]
    matrices = {}
    for name in names:
        model_predictions = predictions[predictions["model"] == name]
        predicted = probabilities(model_predictions).argmax(axis=1)
        matrix = classification.confusion(classes(model_predictions), predicted, len(LABELS))
        matrices[name] = pd.DataFrame(matrix[np.ix_(codes, codes)], index=labels, columns=labels)
    return matrices


def below_chance(
    table: pd.DataFrame, baselines: pd.DataFrame, matrix: pd.DataFrame, claimed: float
) -> str:
    """What an accuracy below chance would mean, and whether it occurs in this run, as Markdown.

    Args:
        table: Of `summary`.
        baselines: Of `trivial_baselines`.
        matrix: Confusion matrix of the classifier trained on samples only.
        claimed: The paper's accuracy, 0 to 1.
    """
    row = table[(table["name"] == GENERATED) & (table["measure"] == "accuracy")].iloc[0]
    chance, rarest = baselines["accuracy"].iloc[0], baselines["accuracy"].iloc[-1]
    answers = matrix.sum(axis=0) / matrix.to_numpy().sum()
    occurs = "occurs here" if row["high"] < chance else "does not occur here"
    contains = "contains" if row["low"] <= claimed <= row["high"] else "does not contain"
    if np.isnan(row["low"]):
        occurs, contains = "cannot be judged here", "would be needed to judge"
    return (
        f"A random guess among {len(matrix)} classes is right {chance:.0%} of the time, so an "
        f"accuracy of {claimed:.0%} is not just a failure to learn: a classifier that has learnt "
        "nothing does better. Such an accuracy takes a classifier that assigns almost every patch "
        f"to a rare class (the rarest class of the training windows makes up {rarest:.1%} of these "
        "patches), or one that has learnt the classes in the wrong order, as from mislabelled "
        f"samples. **Accuracy below chance {occurs}**: trained on samples alone, the classifier "
        f"reaches {_with_interval(row)}, an interval that "
        f"{contains} the paper's {claimed:.0%}. Its commonest answer is “{answers.idxmax()}”, for "
        f"{answers.max():.0%} of the patches."
    )


def findings(table: pd.DataFrame, gains: pd.DataFrame, *, synthetic: bool) -> str:
    """The findings of notebook 04 as Markdown, with the numbers of this run.

    Args:
        table: Of `summary`.
        gains: Of `gains`.
        synthetic: Whether the images are phantoms.
    """
    balanced = table[table["measure"] == "balanced_accuracy"].set_index("name")
    lines = [
        f"- Balanced accuracy on real patches: {_with_interval(balanced.loc[GENERATED])} after "
        f"training on samples only, {_with_interval(balanced.loc[REAL])} after training on as many "
        "real patches."
    ]
    for row in gains[gains["measure"] == "balanced_accuracy"].itertuples():
        effect = "helps" if row.low > 0 else "harms" if row.high < 0 else "no clear effect"
        gain = in_words(row.gain, row.low, row.high, "+.1%")
        lines.append(f"- {row.added:.0%} samples added to the real patches: {gain}: {effect}.")
    if synthetic:
        lines.append("- **These images are phantoms:** the numbers check the code, not the paper.")
    return "\n".join(lines)


def _with_interval(row: pd.Series) -> str:
    return in_words(row["value"], row["low"], row["high"], ".1%")


def _sorted(predictions: pd.DataFrame) -> pd.DataFrame:
    """The rows in a fixed order of seeds and patches, so that tables can be paired."""
    order = ["seed", "image_id", "row", "col"]
    return predictions.sort_values(order, kind="stable", ignore_index=True)


def _statistics(predictions: pd.DataFrame, patients: Patients) -> dict[str, Statistic]:
    truth, predicted = classes(predictions), probabilities(predictions).argmax(axis=1)
    return {
        "accuracy": classification.accuracy_statistic(truth == predicted, patients),
        "balanced_accuracy": classification.balanced_accuracy_statistic(truth, predicted, patients),
    }


def _measures(predictions: pd.DataFrame, seed: int, draws: int = DRAWS) -> dict[str, Estimate]:
    patients = Patients.from_ids(patient_keys(predictions))
    return bootstrap(_statistics(predictions, patients), patients, seed=seed, draws=draws)

"""How well classifiers trained on samples recognise original patches, for notebook 04."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from second_look.catalogue import LABELS, patient_keys
from second_look.evaluation import classification
from second_look.evaluation.comparisons import with_holm
from second_look.evaluation.intervals import Patients, Statistic, difference, in_words
from second_look.evaluation.predictions import classes, probabilities
from second_look.evaluation.seeds import OverTrainings, estimate_of, metrics_over_trainings
from second_look.outputs import Run
from second_look.studies.gan.classifiers import GENERATED, REAL
from second_look.verdicts import Budget, Conditions, Control, luck


def summary(predictions: pd.DataFrame, *, seed: int) -> pd.DataFrame:
    """Accuracy of each training set on original patches, over all trainings.

    Returns:
        name, real, generated (training patches), measure, value, low, high (over patients and
        trainings), between_patients, between_trainings, trainings, n (patches), patients, reason.
    """
    rows = []
    for name, model_predictions in predictions.groupby("model", sort=False):
        patients, statistics = _by_training(model_predictions)
        measured = metrics_over_trainings(statistics, patients, seed=seed, share=True)
        for measure, over in measured.items():
            rows.append(
                {
                    "name": name,
                    "real": int(model_predictions["real"].iloc[0]),
                    "generated": int(model_predictions["generated"].iloc[0]),
                    "measure": measure,
                    **over.row,
                }
            )
    return pd.DataFrame(rows)


def report(
    run: Run,
    table: pd.DataFrame,
    baselines: pd.DataFrame,
    *,
    budget: Budget,
    how: str,
    synthetic: bool,
) -> None:
    """Record the accuracy of the classifier trained on samples only beside the paper's.

    Positive control: trained on as many original patches, the same classifier must be above every
    answer that is given without looking.

    Args:
        run: Of the notebook.
        table: Of `summary`.
        baselines: Of `trivial_baselines`.
        budget: What generator and classifier were given, by the names of the claim's budget.
        how: A short description of its training.
        synthetic: Whether the original patches are phantoms'.
    """
    rows = table.set_index(["name", "measure"])
    accuracy = rows.loc[(GENERATED, "accuracy")]
    real, chance = rows.loc[(REAL, "balanced_accuracy")], baselines["balanced_accuracy"].max()
    text = f"balanced accuracy from original patches {_with_interval(real)}, "
    text += f"{chance:.1%} without looking"
    run.result(
        "gan-check", estimate_of(accuracy).mapped(lambda share: 100 * share), how=how,
        conditions=Conditions(
            int(accuracy["trainings"]), budget, Control(bool(real["low"] > chance), text)
        ),
        figure="accuracy_by_epoch", synthetic=synthetic,
    )  # fmt: skip


def gains(predictions: pd.DataFrame, *, seed: int) -> pd.DataFrame:
    """Effect of samples added to original patches, paired over patients and trainings.

    Returns:
        name, added (samples as a share of the original patches), measure, gain, low, high, p,
        reason (why no interval), trainings, p_holm (Holm's over all rows).
    """
    columns = ["name", "added", "measure", "gain", "low", "high", "p", "reason"]
    columns.append("trainings")
    rows = []
    for name, model_predictions in predictions.groupby("model", sort=False):
        if name in (GENERATED, REAL):
            continue
        added = model_predictions["generated"].iloc[0] / model_predictions["real"].iloc[0]
        for measure, over in _over_real(model_predictions, predictions, seed).items():
            gain = over.estimate
            ends = (gain.value, gain.low, gain.high, gain.p, gain.reason)
            rows.append((name, added, measure, *ends, over.trainings))
    return with_holm(pd.DataFrame(rows, columns=columns))


def samples_against_real(predictions: pd.DataFrame, *, seed: int) -> pd.DataFrame:
    """Training on samples only less training on as many original patches, paired as in `gains`.

    Returns:
        measure, value, low, high, and the columns of an estimate over trainings.
    """
    samples = predictions[predictions["model"] == GENERATED]
    differences = _over_real(samples, predictions, seed)
    return pd.DataFrame([{"measure": name, **over.row} for name, over in differences.items()])


def _over_real(
    model_predictions: pd.DataFrame, predictions: pd.DataFrame, seed: int
) -> dict[str, OverTrainings]:
    """Measure -> its difference from original patches alone, training by training."""
    patients, real = _by_training(predictions[predictions["model"] == REAL])
    _, statistics = _by_training(model_predictions)
    gains = {
        measure: [difference(*pair) for pair in zip(statistics[measure], of_real, strict=True)]
        for measure, of_real in real.items()
    }
    return metrics_over_trainings(gains, patients, seed=seed, share=False)


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
        test: Original patches to evaluate on.
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
    occurs = "occurs here" if row["high"] < chance else "is neither shown nor ruled out here"
    if row["low"] > chance:
        occurs = "does not occur here"
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
        f"- Balanced accuracy on original patches: {_with_interval(balanced.loc[GENERATED])} after "
        f"training on samples only, {_with_interval(balanced.loc[REAL])} after training on as many "
        "original patches."
    ]
    for row in gains.itertuples():
        direction = "helps" if row.low > 0 else "harms" if row.high < 0 else "no clear effect"
        effect = luck(row.trainings, "the effect of samples") or direction
        gain = in_words(row.gain, row.low, row.high, "+.1%", reason=row.reason)
        measure = row.measure.replace("_", " ")
        lines.append(
            f"- {row.added:.0%} samples added to the original patches, {measure}: {gain}: {effect}."
        )
    if synthetic:
        lines.append("- **These images are phantoms:** the numbers check the code, not the paper.")
    return "\n".join(lines)


def _with_interval(row: pd.Series) -> str:
    return in_words(row["value"], row["low"], row["high"], ".1%")


def _by_training(predictions: pd.DataFrame) -> tuple[Patients, dict[str, list[Statistic]]]:
    """Patients, and measure -> its statistic of each training, all on the same sorted patches."""
    order = ["image_id", "row", "col"]
    by_seed = [part.sort_values(order, kind="stable") for _, part in predictions.groupby("seed")]
    patients = Patients.from_ids(patient_keys(by_seed[0]))
    statistics: dict[str, list[Statistic]] = {"accuracy": [], "balanced_accuracy": []}
    for part in by_seed:
        truth, predicted = classes(part), probabilities(part).argmax(axis=1)
        correct = truth == predicted
        statistics["accuracy"].append(classification.accuracy_statistic(correct, patients))
        statistics["balanced_accuracy"].append(
            classification.balanced_accuracy_statistic(truth, predicted, patients)
        )
    return patients, statistics

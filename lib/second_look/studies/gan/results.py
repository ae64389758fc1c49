"""What samples taught, in numbers and words: notebook 04."""

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
)
from second_look.evaluation.predictions import classes, probabilities
from second_look.outputs import Run
from second_look.studies.gan.classifiers import GENERATED, REAL


def summary(predictions: pd.DataFrame, *, seed: int) -> pd.DataFrame:
    """Accuracy of each training set on real patches, over all seeds.

    Returns:
        name, real, generated (patches learnt from), measure, value, low, high (bootstrap over
        patients, of the mean over seeds), seeds, spread (standard deviation over seeds), n
        (patches), patients.
    """
    rows = []
    for name, own in predictions.groupby("model", sort=False):
        found = _measures(own, seed)
        seeds = [_measures(part, seed, draws=2) for _, part in own.groupby("seed")]
        for measure, estimate in found.items():
            values = [each[measure].value for each in seeds]
            rows.append(
                {
                    "name": name,
                    "real": int(own["real"].iloc[0]),
                    "generated": int(own["generated"].iloc[0]),
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
    """Put the accuracy of the classifier that saw samples only beside the paper's.

    Args:
        run: Of the notebook.
        table: Of `summary`.
        how: What it learnt from, in a few words.
        synthetic: Whether its real patches are phantoms'.
    """
    own = table[(table["name"] == GENERATED) & (table["measure"] == "accuracy")].iloc[0]
    value, low, high = (100 * float(own[name]) for name in ("value", "low", "high"))
    run.result(
        "gan-check",
        value,
        low=low,
        high=high,
        n=int(own["n"]),
        how=how,
        figure="accuracy_by_epoch",
        synthetic=synthetic,
    )


def gains(predictions: pd.DataFrame, *, seed: int) -> pd.DataFrame:
    """What added samples change against real patches alone, paired over patients.

    Returns:
        name, added (samples as a share of the real patches), measure, gain, low, high.
    """
    real = _sorted(predictions[predictions["model"] == REAL])
    rows = []
    for name, own in predictions.groupby("model", sort=False):
        if name in (GENERATED, REAL):
            continue
        patients = Patients.from_ids(patient_keys(real))
        ours, theirs = _statistics(_sorted(own), patients), _statistics(real, patients)
        pairs = {key: difference(ours[key], theirs[key]) for key in ours}
        for measure, estimate in bootstrap(pairs, patients, seed=seed).items():
            rows.append(
                {
                    "name": name,
                    "added": own["generated"].iloc[0] / own["real"].iloc[0],
                    "measure": measure,
                    "gain": estimate.value,
                    "low": estimate.low,
                    "high": estimate.high,
                }
            )
    columns = ["name", "added", "measure", "gain", "low", "high"]
    return pd.DataFrame(rows, columns=columns)


def without_looking(
    labels: Sequence[str], training: pd.DataFrame, judged: pd.DataFrame
) -> pd.DataFrame:
    """What is reached without looking at a picture: baseline, accuracy, balanced_accuracy.

    The commonest and the rarest class are those of the training windows as they come: classifiers
    get all classes alike, and which one is commonest where they are judged is not known beforehand.

    Args:
        labels: The classes that are told apart.
        training: Windows of the training patients.
        judged: Real patches that classifiers are judged on.
    """
    seen = training.loc[training["label"].isin(labels), "label"].value_counts()
    shares = judged["label"].value_counts(normalize=True)
    guess = 1 / len(labels)
    rows = [("a guess, any class alike", guess, guess)]
    for label, which in ((seen.index[0], "commonest"), (seen.index[-1], "rarest")):
        balanced = float(label in shares.index) / len(shares)
        name = f"always {label}, the {which} class"
        rows.append((name, float(shares.get(label, 0.0)), balanced))
    return pd.DataFrame(rows, columns=["baseline", "accuracy", "balanced_accuracy"])


def confusions(
    predictions: pd.DataFrame, labels: Sequence[str], names: Sequence[str]
) -> dict[str, pd.DataFrame]:
    """Name -> how often each class (rows) was taken for each (columns), over all seeds."""
    codes = [LABELS.index(label) for label in labels]
    found = {}
    for name in names:
        own = predictions[predictions["model"] == name]
        said = probabilities(own).argmax(axis=1)
        matrix = classification.confusion(classes(own), said, len(LABELS))
        found[name] = pd.DataFrame(matrix[np.ix_(codes, codes)], index=labels, columns=labels)
    return found


def below_chance(
    table: pd.DataFrame, baselines: pd.DataFrame, matrix: pd.DataFrame, claimed: float
) -> str:
    """What an accuracy below chance would mean and whether it is seen, as Markdown.

    Args:
        table: Of `summary`.
        baselines: Of `without_looking`.
        matrix: Confusion of the classifier that learnt from samples only.
        claimed: The paper's accuracy, 0 to 1.
    """
    own = table[(table["name"] == GENERATED) & (table["measure"] == "accuracy")].iloc[0]
    chance, rarest = baselines["accuracy"].iloc[0], baselines["accuracy"].iloc[-1]
    answers = matrix.sum(axis=0) / matrix.to_numpy().sum()
    seen = "is seen here" if own["high"] < chance else "is not seen here"
    near = "contains" if own["low"] <= claimed <= own["high"] else "does not contain"
    return (
        f"A guess among {len(matrix)} classes is right {chance:.0%} of the time, so an accuracy of "
        f"{claimed:.0%} is no failure to learn: a classifier that knows nothing does better. It "
        "takes a classifier that gives almost every patch the name of a rare class (the rarest "
        f"of the training windows makes up {rarest:.1%} of these patches), or one that has learnt "
        "the names the wrong way round, as from samples under wrong labels. **Accuracy below "
        f"chance {seen}**: from samples alone it is {own['value']:.1%} [{own['low']:.1%}, "
        f"{own['high']:.1%}], an interval that {near} the paper's {claimed:.0%}. Its commonest "
        f"answer is “{answers.idxmax()}”, for {answers.max():.0%} of the patches."
    )


def findings(table: pd.DataFrame, gained: pd.DataFrame, *, synthetic: bool) -> str:
    """What notebook 04 found, as Markdown sentences made from its own numbers."""
    balanced = table[table["measure"] == "balanced_accuracy"].set_index("name")
    lines = [
        f"- Balanced accuracy on real patches: {_shown(balanced.loc[GENERATED])} from samples "
        f"only, {_shown(balanced.loc[REAL])} from as many real patches."
    ]
    for row in gained[gained["measure"] == "balanced_accuracy"].itertuples():
        helps = "helps" if row.low > 0 else "harms" if row.high < 0 else "changes nothing for sure"
        lines.append(
            f"- {row.added:.0%} samples added to the real patches: {row.gain:+.1%} "
            f"[{row.low:+.1%}, {row.high:+.1%}]: {helps}."
        )
    if synthetic:
        lines.append("- **These images are phantoms:** the numbers check the code, not the paper.")
    return "\n".join(lines)


def _shown(row: pd.Series) -> str:
    return f"{row['value']:.1%} [{row['low']:.1%}, {row['high']:.1%}]"


def _sorted(predictions: pd.DataFrame) -> pd.DataFrame:
    """Rows of the same seed and patch at the same place."""
    order = ["seed", "image_id", "row", "col"]
    return predictions.sort_values(order, kind="stable", ignore_index=True)


def _statistics(predictions: pd.DataFrame, patients: Patients) -> dict[str, Statistic]:
    truth, said = classes(predictions), probabilities(predictions).argmax(axis=1)
    return {
        "accuracy": classification.accuracy_statistic(truth == said, patients),
        "balanced_accuracy": classification.balanced_accuracy_statistic(truth, said, patients),
    }


def _measures(predictions: pd.DataFrame, seed: int, draws: int = DRAWS) -> dict[str, Estimate]:
    patients = Patients.from_ids(patient_keys(predictions))
    return bootstrap(_statistics(predictions, patients), patients, seed=seed, draws=draws)

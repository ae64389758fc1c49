"""AUCs of models of whole mammograms: by image, breast and patient, and what one start gains."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

from second_look.catalogue import patient_keys
from second_look.evaluation.classification import accuracy_statistic, balanced_accuracy_statistic
from second_look.evaluation.comparisons import with_holm
from second_look.evaluation.intervals import (
    DRAWS,
    Floats,
    Patients,
    Statistic,
    difference,
    in_words,
)
from second_look.evaluation.predictions import (
    CLASS_SCORES,
    binary_scores,
    classes,
    combine,
    positive,
)
from second_look.evaluation.roc import auc
from second_look.evaluation.seeds import (
    COLUMNS,
    OverTrainings,
    auc_over_trainings,
    metrics_over_trainings,
)


def findings(aucs: pd.DataFrame) -> str:
    """The results on whole mammograms as sentences, with the run's numbers.

    The model that is named is the best on validation patients, and its AUC on test patients is not
    the best of several. Where validation patients cannot choose, the best of all is named as such.
    """
    lines = []
    for unit, of_unit in aucs.groupby("unit", sort=False):
        defined = of_unit.dropna(subset=["value"])
        if defined.empty:
            lines.append(f"By {unit}, the AUC is undefined: {of_unit['reason'].iloc[0]}.")
            continue
        chosen = defined["validation_auc"].notna().any()
        best = defined.loc[defined["validation_auc" if chosen else "value"].idxmax()]
        ends = {name: best[name] for name in ("value", "low", "high", "reason")}
        area = in_words(**ends, form=".2f")
        lines.append(
            f"By {unit}, of {len(defined)} models the best on validation patients "
            f"({best['model']}, {best['validation_auc']:.2f} there) has an AUC of {area} on test "
            f"patients (n = {best['n']:,})."
            if chosen
            else f"By {unit}, the highest AUC of {len(defined)} models is {area} "
            f"({best['model']}, n = {best['n']:,}); as the highest of several it is optimistic."
        )
    return "\n".join(f"- {line}" for line in lines)


def means(predictions: pd.DataFrame) -> pd.DataFrame:
    """Predictions of the mean of several models: of the trainings of each, and over image sizes.

    Args:
        predictions: Of images, with the probabilities of the classes, start, rows and cols.

    Returns:
        The same columns, with the name of the mean as model; empty where there is nothing to
        average.
    """
    tables = [
        _mean(of_model, f"{model}, mean of {{trainings}} trainings")
        for model, of_model in predictions.groupby("model", sort=False)
    ]
    without_size = predictions["model"].str.replace(r", \d+×\d+", "", regex=True)
    for name, of_sizes in predictions.groupby(without_size, sort=False):
        sizes = len(of_sizes[["rows", "cols"]].drop_duplicates())
        if sizes > 1:
            tables.append(_mean(of_sizes, f"{name}, mean of {{trainings}} at {sizes} sizes"))
    return pd.concat([predictions.iloc[:0], *tables], ignore_index=True)


def _mean(predictions: pd.DataFrame, name: str) -> pd.DataFrame:
    trainings = len(predictions[["model", "seed"]].drop_duplicates())
    if trainings < 2:
        return predictions.iloc[:0]
    scores = predictions.groupby("image_id")[list(CLASS_SCORES)].mean()
    first = predictions.drop_duplicates("image_id").set_index("image_id")
    first[scores.columns] = scores
    seed = int(predictions["seed"].min())
    return first.reset_index().assign(model=name.format(trainings=trainings), seed=seed)


def auc_table(predictions: pd.DataFrame, *, seed: int, draws: int = DRAWS) -> pd.DataFrame:
    """AUC on test patients, malignant or not, by image, breast and patient.

    Args:
        predictions: Of images, with column laterality.
        seed: Of the bootstrap.
        draws: Bootstrap samples.

    Returns:
        model, unit, the columns of OverTrainings.row, and validation_auc: the mean over trainings
        on validation patients, NaN where it is undefined.
    """
    units = [predictions.assign(score=binary_scores(predictions, "malignant"))]
    units += [combine(predictions, unit) for unit in ("breast", "patient")]
    rows = []
    for table in units:
        for model, of_model in table.groupby("model", sort=False):
            test, held_out = (of_model[of_model["split"] == split] for split in ("test", "val"))
            if test.empty:
                continue
            over = auc_over_trainings(*_scores(test), seed=seed, draws=draws)
            names = {"model": model, "unit": of_model["unit"].iloc[0]}
            rows.append({**names, **over.row, "validation_auc": _mean_auc(held_out)})
    return pd.DataFrame(rows)


def _mean_auc(predictions: pd.DataFrame) -> float:
    if predictions.empty:
        return np.nan
    scores, truth, _ = _scores(predictions)
    return float(np.mean([auc(of_training, truth) for of_training in scores]))


def auc_gains(predictions: pd.DataFrame, *, seed: int, draws: int = DRAWS) -> pd.DataFrame:
    """Gain of each start over the first one, paired over patients.

    In the AUC, malignant or not, and in the accuracy of the classes: balanced, and natural, at the
    frequencies of the data set. A start can gain in one and lose in another.

    Args:
        predictions: Of all models.
        seed: Of the bootstrap.
        draws: Bootstrap samples.

    Returns:
        model, reference (the model that it is compared with), measure (AUC, accuracy, balanced
        accuracy), the columns of OverTrainings.row, p, p_holm (Holm's over all rows); by image of
        the test patients, within one image size. Empty if there is only one start.
    """
    rows = []
    for _, of_size in _test_scores(predictions).groupby(["rows", "cols", "averaged"], sort=False):
        (reference, first), *compared = of_size.groupby("model", sort=False)
        for model, of_model in compared:
            gains = {"AUC": _auc_gain(of_model, first, seed, draws)}
            gains |= _accuracy_gains(of_model, first, seed, draws)
            rows += [
                {"model": model, "reference": reference, "measure": measure, **over.row,
                 "p": over.estimate.p}
                for measure, over in gains.items()
            ]  # fmt: skip
    return with_holm(pd.DataFrame(rows, columns=_GAINS))


def size_gains(predictions: pd.DataFrame, *, seed: int, draws: int = DRAWS) -> pd.DataFrame:
    """Gain in AUC of each larger image size over the smallest, paired over patients.

    Args:
        predictions: Of all models.
        seed: Of the bootstrap.
        draws: Bootstrap samples.

    Returns:
        The columns of `auc_gains`, largest size first within a start. Empty with one size.
    """
    test = _test_scores(predictions)
    pixels = (test["rows"] * test["cols"]).replace(0, np.inf)
    rows = []
    for _, of_start in test.assign(pixels=pixels).groupby(["start", "averaged"], sort=False):
        ordered = of_start.sort_values("pixels", ascending=False, kind="stable")
        *compared, (reference, smallest) = ordered.groupby("model", sort=False)
        for model, of_model in compared:
            over = _auc_gain(of_model, smallest, seed, draws)
            names = {"model": model, "reference": reference, "measure": "AUC"}
            rows.append({**names, **over.row, "p": over.estimate.p})
    return with_holm(pd.DataFrame(rows, columns=_GAINS))


_GAINS = [
    "model", "reference", "measure", "value", "low", "high", "n", "patients", "reason", *COLUMNS,
    "p",
]  # fmt: skip


def _test_scores(predictions: pd.DataFrame) -> pd.DataFrame:
    test = predictions[predictions["split"] == "test"]
    return test.assign(score=binary_scores(test, "malignant"))


def _auc_gain(
    compared: pd.DataFrame, reference: pd.DataFrame, seed: int, draws: int
) -> OverTrainings:
    """AUC of one model less that of another on the same images, training by training."""
    scores, truth, patients = _scores(compared)
    baseline, _, _ = _scores(reference)
    return auc_over_trainings(scores, truth, patients, seed=seed, draws=draws, baseline=baseline)


def _accuracy_gains(
    compared: pd.DataFrame, reference: pd.DataFrame, seed: int, draws: int
) -> dict[str, OverTrainings]:
    """Accuracy and balanced accuracy of one model less those of another, training by training."""
    sides: list[dict[str, list[Statistic]]] = []
    for predictions in (compared, reference):
        side: dict[str, list[Statistic]] = {"accuracy": [], "balanced accuracy": []}
        for _, rows in predictions.sort_values("image_id").groupby("seed"):
            patients, truth = Patients.from_ids(patient_keys(rows)), classes(rows)
            answers = rows[list(CLASS_SCORES)].to_numpy().argmax(axis=1)
            side["accuracy"].append(accuracy_statistic(truth == answers, patients))
            side["balanced accuracy"].append(balanced_accuracy_statistic(truth, answers, patients))
        sides.append(side)
    gains = {
        name: [difference(*pair) for pair in zip(sides[0][name], sides[1][name], strict=True)]
        for name in sides[0]
    }
    return metrics_over_trainings(gains, patients, seed=seed, share=False, draws=draws)


def _scores(predictions: pd.DataFrame) -> tuple[Floats, npt.NDArray[np.bool_], Patients]:
    """Scores of the seeds of a model (seeds, n), truth and patients of the n units."""
    by_seed = [of_seed.sort_values("image_id") for _, of_seed in predictions.groupby("seed")]
    first = by_seed[0]
    scores = np.stack([of_seed["score"].to_numpy(dtype=np.float64) for of_seed in by_seed])
    truth = positive(first["label"], "malignant")
    return scores, truth, Patients.from_ids(patient_keys(first))

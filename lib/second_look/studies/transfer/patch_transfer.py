"""Accuracy against the number of patches, and whether a start from other pictures helps."""

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
)
from second_look.evaluation.predictions import CLASS_SCORES, classes, probabilities
from second_look.evaluation.roc import macro_auc_statistic
from second_look.models.classifier import RANDOM
from second_look.outputs import Run
from second_look.paper import NO_INTERVAL, NOT_REPRODUCED, REPRODUCED
from second_look.preparing.dataset import Dataset
from second_look.studies.transfer.patch_models import PatchModel
from second_look.studies.windows import training_windows

# A gain of balanced accuracy below this, 0 to 1, would change nothing.
MATTERS = 0.05
# Verdict on a gain over a start that has learnt nothing yet: few patches are enough from there, but
# what it adds where there are many is not known.
AT_CHANCE = "undecided: the random start is still at chance"
# What the patch models are judged by: key → name in tables and figures.
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
    for (start, patches), own in predictions.groupby(["start", "patches"], sort=False):
        patients, statistics = _statistics(own)
        found = bootstrap(statistics, patients, seed=seed, draws=draws)
        for measure, estimate in found.items():
            rows.append(
                {
                    "start": start,
                    "patches": patches,
                    "measure": measure,
                    **_ends(estimate),
                    "seeds": own["seed"].nunique(),
                    "n": estimate.n,
                    "patients": estimate.patients,
                }
            )
    return pd.DataFrame(rows).sort_values(["measure", "start", "patches"], ignore_index=True)


def transfer_effect(predictions: pd.DataFrame, *, seed: int, draws: int = DRAWS) -> pd.DataFrame:
    """What each start gains over the random one with as many patches, paired over patients.

    Returns:
        start, patches, measure, value (of the difference), low, high, answer in words; empty
        where there is no random start or no other one.
    """
    rows = []
    for patches, of_size in predictions.groupby("patches", sort=True):
        by_start = dict(tuple(of_size.groupby("start", sort=False)))
        if RANDOM not in by_start:
            continue
        patients, plain = _statistics(by_start[RANDOM])
        for start, own in by_start.items():
            if start == RANDOM:
                continue
            _, others = _statistics(own)
            gains = {name: difference(others[name], plain[name]) for name in plain}
            found = bootstrap(gains, patients, seed=seed, draws=draws)
            rows += [
                {
                    "start": start,
                    "patches": patches,
                    "measure": measure,
                    **_ends(estimate),
                    "answer": answer(estimate),
                }
                for measure, estimate in found.items()
            ]
    columns = ["start", "patches", "measure", "value", "low", "high", "answer"]
    return pd.DataFrame(rows, columns=columns)


def answer(gain: Estimate) -> str:
    """Whether a start helps: only an interval on one side of zero says so."""
    if np.isnan(gain.low):
        return "undefined"
    if gain.low > 0:
        return "helps"
    return "harms" if gain.high < 0 else "no difference seen"


def best_model(models: Sequence[PatchModel], start: str = "") -> PatchModel:
    """Of the models with the most patches, the best on validation patients.

    Args:
        models: Trained ones.
        start: Only those that started from it; "" takes all.

    Returns:
        The one with the highest macro AUC of its kept weights; of equals, or where validation
        patients leave it undefined, the first seed of the first start.
    """
    own = [model for model in models if not start or model.start == start]
    return max(own, key=lambda model: (model.patches, _validated(model), -model.seed))


def _validated(model: PatchModel) -> float:
    """Macro AUC of the kept weights on validation patients; -inf where there is none."""
    curve = model.trained.curve("macro_auc")
    kept = curve[curve["step"] <= model.trained.best_step]["value"].dropna()
    return float(kept.iloc[-1]) if len(kept) else -np.inf


def confusion_of(predictions: pd.DataFrame) -> pd.DataFrame:
    """True class (rows) against predicted one: share of the windows of the true class.

    Returns:
        class, windows, one column a predicted class.
    """
    said = probabilities(predictions).argmax(axis=1)
    counts = classification.confusion(classes(predictions), said, len(LABELS))
    total = counts.sum(axis=1)
    shares = counts / np.maximum(total, 1)[:, None]
    table = pd.DataFrame(shares, columns=list(LABELS))
    table.insert(0, "class", list(LABELS))
    table.insert(1, "windows", total)
    return table[table["windows"] > 0].reset_index(drop=True)


def by_class(predictions: pd.DataFrame, *, seed: int) -> pd.DataFrame:
    """Recall with its interval and AUC of each class, of one model."""
    patients = Patients.from_ids(patient_keys(predictions))
    return classification.by_class(
        probabilities(predictions), classes(predictions), patients, LABELS, seed=seed
    )


def baselines(windows: pd.DataFrame, judged: pd.DataFrame) -> pd.DataFrame:
    """What is reached without looking: from the classes of the training windows."""
    codes = training_windows(windows)["label"].map(LABELS.index)
    return classification.baselines(codes, judged["label"].map(LABELS.index), len(LABELS))


def curves_of_training(models: Sequence[PatchModel]) -> pd.DataFrame:
    """Validated measures while the models with the most patches learnt.

    Returns:
        start, seed, patches (seen so far), measure, value.
    """
    most = max(model.patches for model in models)
    parts = []
    for model in models:
        history = model.trained.history
        # The loop's own accuracy is that of training batches.
        own = history[history["name"].isin(set(MEASURES) - {"accuracy"})]
        if model.patches == most and len(own):
            seen = own["step"] * model.batch_size
            facts = {"start": model.start, "seed": model.seed, "patches": seen}
            parts.append(own.rename(columns={"name": "measure"}).assign(**facts))
    columns = ["start", "seed", "patches", "measure", "value"]
    if not parts:
        return pd.DataFrame(columns=columns)
    return pd.concat(parts, ignore_index=True)[columns]


def report(
    run: Run,
    curve: pd.DataFrame,
    effect: pd.DataFrame,
    baseline: pd.DataFrame,
    data: Dataset,
    main: str,
) -> None:
    """Put what was measured beside the paper's claims on accuracy and transfer.

    Args:
        run: Of the notebook.
        curve: From `learning_curve`.
        effect: From `transfer_effect`.
        baseline: From `baselines`.
        data: Says whether images are synthetic.
        main: Start whose accuracies stand beside the paper's.
    """
    own = curve[(curve["start"] == main) & (curve["measure"] == "accuracy")]
    for claim_id, wanted in (("patch-accuracy-200k", 2e5), ("patch-accuracy-400k", 4e5)):
        near = own[(own["patches"] >= 0.75 * wanted) & (own["patches"] <= 1.5 * wanted)]
        for row in near.head(1).itertuples():
            run.result(
                claim_id, 100 * row.value, low=100 * row.low, high=100 * row.high, n=int(row.n),
                how=f"{row.patches:,} patches, start {main}, classes as they come, {data.name}",
                figure="learning_curve", synthetic=data.synthetic,
            )  # fmt: skip
    gains = effect[effect["measure"] == "balanced_accuracy"].sort_values("patches")
    for start in ("imagenet", *sorted(set(gains["start"]) - {"imagenet"})):
        last = gains[gains["start"] == start].tail(1)
        for row in last.itertuples():
            verdict = _verdict(row.low, row.high, start)
            if verdict == NOT_REPRODUCED and _at_chance(curve, baseline, row.patches):
                verdict = AT_CHANCE
            run.result(
                "transfer", 100 * row.value, low=100 * row.low, high=100 * row.high,
                how=f"% points of balanced accuracy that a start from {start} gains over a random "
                f"one, {row.patches:,} patches, {data.name}",
                verdict=verdict,
                figure="transfer", synthetic=data.synthetic,
            )  # fmt: skip
            return


def _verdict(low: float, high: float, start: str) -> str | None:
    """Verdict on "does not seem to help", from the interval of the gain over a random start.

    To see no difference on few patients says nothing: the claim holds where a gain that would
    matter is ruled out.
    """
    if start != "imagenet":
        return None
    if not (np.isfinite(low) and np.isfinite(high)):
        return NO_INTERVAL
    if low > 0:
        return NOT_REPRODUCED
    return (
        REPRODUCED if high < MATTERS else f"undecided: the gain may reach {100 * high:.0f} points"
    )


def _at_chance(curve: pd.DataFrame, baseline: pd.DataFrame, patches: int) -> bool:
    """Whether the random start with so many patches is no better than without looking."""
    known = baseline.set_index("baseline")["balanced_accuracy"]
    own = curve[(curve["measure"] == "balanced_accuracy") & (curve["start"] == RANDOM)]
    lows = own.loc[own["patches"] == patches, "low"]
    return bool((lows <= known["always the commonest class"]).any())


def findings(curve: pd.DataFrame, effect: pd.DataFrame, baseline: pd.DataFrame) -> str:
    """What was found, as sentences made from the run's own numbers."""
    lines = []
    for measure in ("balanced_accuracy", "accuracy"):
        own = curve[curve["measure"] == measure].sort_values("patches")
        for start, of_start in own.groupby("start", sort=False):
            first, last = of_start.iloc[0], of_start.iloc[-1]
            if len(of_start) > 1:
                lines.append(
                    f"Start {start}: {MEASURES[measure]} goes from {_percent(first)} with "
                    f"{first['patches']:,} patches to {_percent(last)} with {last['patches']:,}."
                )
    common = baseline.set_index("baseline").loc["always the commonest class"]
    lines.append(
        f"Without looking, always the commonest class gives an accuracy of "
        f"{common['accuracy']:.0%} and a balanced accuracy of {common['balanced_accuracy']:.0%}."
    )
    for row in effect[effect["measure"] == "balanced_accuracy"].itertuples():
        still = _at_chance(curve, baseline, row.patches)
        chance = " (the random one is still at chance there)" if still else ""
        lines.append(
            f"A start from {row.start} with {row.patches:,} patches against a random one: "
            f"{100 * row.value:+.1f} % points [{100 * row.low:+.1f}, {100 * row.high:+.1f}] of "
            f"balanced accuracy: {row.answer}{chance}."
        )
    return "\n".join(f"- {line}" for line in lines)


def _percent(row: Mapping[str, float]) -> str:
    return f"{row['value']:.0%} [{row['low']:.0%}, {row['high']:.0%}]"


def _ends(estimate: Estimate) -> dict[str, float]:
    return {"value": estimate.value, "low": estimate.low, "high": estimate.high}


def _statistics(predictions: pd.DataFrame) -> tuple[Patients, dict[str, Statistic]]:
    """The measures of a model, each the mean over its seeds; all on the same windows.

    Sorted by window, so that models that are compared see the same patients in the same order.
    """
    order = ["image_id", "row", "col"]
    by_seed = [own.sort_values(order) for _, own in predictions.groupby("seed")]
    patients = Patients.from_ids(patient_keys(by_seed[0]))
    found: dict[str, list[Statistic]] = {name: [] for name in MEASURES}
    for own in by_seed:
        truth, scores = classes(own), own[list(CLASS_SCORES)].to_numpy()
        said = scores.argmax(axis=1)
        found["accuracy"].append(classification.accuracy_statistic(truth == said, patients))
        found["balanced_accuracy"].append(
            classification.balanced_accuracy_statistic(truth, said, patients)
        )
        found["macro_auc"].append(macro_auc_statistic(scores, truth, patients))
    return patients, {name: average(each) for name, each in found.items()}

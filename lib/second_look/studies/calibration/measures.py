"""Do the scores mean what they say, and can that be mended: the numbers of notebook 07.

It reads every table of predictions of a run, whichever notebook wrote it. Whatever is fitted is
fitted on validation units and judged on test units.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from second_look.errors import DataError, OutputError
from second_look.evaluation import calibration as cal
from second_look.evaluation import miscalibration as mis
from second_look.evaluation import recalibration as rec
from second_look.evaluation.classification import accuracy_statistic
from second_look.evaluation.groups import KEYS, Group, Part, groups
from second_look.evaluation.intervals import (
    Estimate,
    Floats,
    Statistic,
    bootstrap,
    difference,
    in_words,
)
from second_look.evaluation.predictions import TARGETS, UNITS, combine, load_all
from second_look.evaluation.roc import CONSTANT, constant, macro_auc, macro_auc_estimate
from second_look.outputs import Run
from second_look.phantoms.forms import DATASET as PHANTOM
from second_look.preparing.dataset import check_can_predict

AS_IT_IS = "as it is"
TEMPERATURE = "temperature"
# Columns of an estimate.
ESTIMATE = ("value", "low", "high", "n", "patients", "reason")
# How measures are called where people read them.
MEASURE_NAMES = {
    "ece": "ECE",
    "ece_mass": "ECE, equal mass",
    "debiased": "debiased",
    "mce": "MCE",
    "nll": "NLL",
    "brier": "Brier",
    "auc": "AUC",
    "accuracy": "accuracy",
    "ece_change": "change of ECE",
    "ece_perfect": "ECE of a perfect model",
    "slope": "slope",
    "intercept": "intercept",
    "oe": "O:E",
    "temperature": "temperature",
}


@dataclass(frozen=True)
class Calibrated:
    """A group with all that was fitted to its validation units.

    Attributes:
        group: Of predictions.
        fitted: Method -> what it learned; AS_IT_IS is not among them.
        failed: Method -> why it could not be fitted.
    """

    group: Group
    fitted: Mapping[str, rec.Recalibration]
    failed: Mapping[str, str]

    @property
    def test(self) -> Part:
        """The test units, on which everything is judged."""
        return self.group.parts["test"]

    @property
    def methods(self) -> list[str]:
        """AS_IT_IS and whatever could be fitted."""
        return [AS_IT_IS, *self.fitted]

    @cached_property
    def temperature(self) -> float:
        """The fitted temperature; NaN where there is none."""
        fitted = self.fitted.get(TEMPERATURE)
        return fitted.temperature if isinstance(fitted, rec.Temperature) else float("nan")

    def calibration(self, method: str) -> mis.Line:
        """Slope, intercept and O:E on test units after a method."""
        outcomes = cal.stated_outcomes(self.probabilities(method), self.test.classes)
        return mis.line(*outcomes, self.test.patients)

    def probabilities(self, method: str, split: str = "test") -> Floats:
        """Probabilities (n, k) of a split's units after a method."""
        shares = self.group.parts[split].probabilities
        return shares if method == AS_IT_IS else self.fitted[method].apply(shares)


def load_groups(run: Run) -> tuple[list[Group], bool]:
    """Every group of predictions of this run, and whether any comes from phantoms.

    Raises:
        NotApplicableError: No model can be trained on the data set, so there are no predictions.
        OutputError: No notebook has written predictions with test units yet, or some of them are
            out of date.
    """
    folder = run.folder / "predictions"
    tables = load_all(folder)
    # The folder too: where another table is added, the notebook is out of date.
    run.uses(folder, *(folder / f"{name}.parquet" for name in tables))
    held_out = [group for group in groups(with_patients(tables)) if "test" in group.parts]
    if not held_out:
        check_can_predict(run.folder)
        raise OutputError(
            f"{folder} holds no predictions of test patients: run notebook "
            "06_patch_transfer_learning first, with the same outputs."
        )
    return held_out, any((table["dataset"] == PHANTOM).any() for table in tables.values())


def with_patients(tables: Mapping[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """The tables, and of each with images of known laterality one more with a row per patient.

    Screening counts patients: only a score per patient can be moved to its prevalence.
    """
    result = dict(tables)
    for file, table in tables.items():
        if "laterality" not in table or (table["unit"] == "patient").any():
            continue
        images = table[(table["unit"] == "image") & table["target"].isin(["label", "malignant"])]
        asked = set(images.loc[images["target"] == "malignant", "model"])
        single = images[(images["target"] == "malignant") | ~images["model"].isin(asked)]
        if not single.empty:
            result[f"{file}, by patient"] = combine(single, "patient")
    return result


def overview(prediction_groups: Sequence[Group]) -> pd.DataFrame:
    """The groups with their units and patients by split, and the share of the commonest class."""
    rows = []
    for group in prediction_groups:
        row: dict[str, object] = dict(group.key)
        for split in ("val", "test"):
            part = group.parts.get(split)
            row[f"{split}_units"] = 0 if part is None else len(part.classes)
            row[f"{split}_patients"] = 0 if part is None else part.patients.count
        shares = np.bincount(group.parts["test"].classes) / len(group.parts["test"].classes)
        row["commonest_class"] = float(shares.max())
        rows.append(row)
    return pd.DataFrame(rows)


def calibrate(prediction_groups: Sequence[Group]) -> list[Calibrated]:
    """Fit every method to the validation units of every group; what fails is kept as a reason."""
    return [_calibrated(group) for group in prediction_groups]


def _calibrated(group: Group) -> Calibrated:
    fitted: dict[str, rec.Recalibration] = {}
    failed: dict[str, str] = {}
    val = group.parts.get("val")
    for method in rec.METHODS:
        if val is None:
            failed[method] = "there are no predictions of validation patients"
            continue
        try:
            fitted[method] = rec.fit(method, val.probabilities, val.classes, names=group.names)
        except DataError as error:
            failed[method] = error.problem
    return Calibrated(group, fitted, failed)


def notes(calibrated: Sequence[Calibrated]) -> pd.DataFrame:
    """What could not be done, or only in part: columns KEYS, item, reason."""
    rows = []
    for model in calibrated:
        problems = [(method, reason) for method, reason in model.failed.items()]
        heat = model.fitted.get(TEMPERATURE)
        if isinstance(heat, rec.Temperature) and heat.at_its_bound:
            problems.append((TEMPERATURE, f"ran into its bound, {heat.temperature:g}"))
        if model.group.left_out > 0:
            share = f"classes without units got {model.group.left_out:.2%} of the probability"
            problems.append(("all", share))
        present = np.unique(model.test.classes)
        if len(present) < 2:
            problems.append(
                ("AUC", f"undefined: all test units are {model.group.names[present[0]]}")
            )
        elif model.group.binary and constant(model.test.probabilities[:, 1]):
            problems.append(("AUC", CONSTANT))
        rows += [{**model.group.key, "item": item, "reason": reason} for item, reason in problems]
    return pd.DataFrame(rows, columns=[*KEYS, "item", "reason"])


def measure(calibrated: Sequence[Calibrated], *, bins: int, seed: int, draws: int) -> pd.DataFrame:
    """Every measure of every group after every method, on test units.

    Returns:
        KEYS, method, measure (of MEASURE_NAMES), value, low, high, n, patients, reason (why there
        is no value or interval). "ece_change" is the ECE after the method less that before, paired
        over patients. "ece_perfect" is the mean ECE of a perfectly calibrated model with these
        probabilities, and the range of 95 % of its samples. "slope", "intercept" and "oe" have
        intervals of mis.VERDICT_LEVEL; "temperature" is that of validation units. An AUC is of
        two classes or the mean of each against the rest.
    """
    rows = []
    for model in calibrated:
        for method, estimates in _measures(model, bins, seed, draws).items():
            for name, estimate in estimates.items():
                numbers = {column: getattr(estimate, column) for column in ESTIMATE}
                rows.append({**model.group.key, "method": method, "measure": name, **numbers})
    return pd.DataFrame(rows)


def _measures(
    model: Calibrated, bins: int, seed: int, draws: int
) -> dict[str, dict[str, Estimate]]:
    truth, patients = model.test.classes, model.test.patients
    estimates: dict[str, dict[str, Estimate]] = {}
    uncalibrated_ece: Statistic | None = None
    for method in model.methods:
        shares = model.probabilities(method)
        statistics = cal.statistics(shares, truth, patients, bins=bins)
        estimates[method] = cal.estimates(statistics, patients, seed=seed, draws=draws)
        hit = {"accuracy": accuracy_statistic(shares.argmax(axis=1) == truth, patients)}
        estimates[method] |= bootstrap(hit, patients, seed=seed, draws=draws)
        area = macro_auc_estimate(shares, truth, patients, seed=seed, draws=draws)
        estimates[method]["auc"] = area
        estimates[method] |= _miscalibration(model, method, bins, seed)
        if uncalibrated_ece is None:
            uncalibrated_ece = statistics["ece"]
        else:
            change = {"ece_change": difference(statistics["ece"], uncalibrated_ece)}
            estimates[method] |= bootstrap(change, patients, seed=seed, draws=draws, recentred=True)
    if TEMPERATURE in estimates:
        val = model.group.parts["val"]
        heat = mis.temperature(val.probabilities, val.classes, val.patients)
        estimates[TEMPERATURE]["temperature"] = heat
    return estimates


def _miscalibration(model: Calibrated, method: str, bins: int, seed: int) -> dict[str, Estimate]:
    """What of a calibration error is not chance: ece_perfect, slope, intercept, oe."""
    line, patients = model.calibration(method), model.test.patients
    probability, correct = cal.stated_outcomes(model.probabilities(method), model.test.classes)
    errors = mis.perfect_errors(probability, correct, patients, bins=bins, kind="width", seed=seed)
    low, high = np.quantile(errors, [0.025, 0.975])
    size = (len(correct), patients.count)
    perfect = Estimate(float(errors.mean()), float(low), float(high), *size)
    parts = {"slope": line.slope, "intercept": line.intercept, "oe": line.ratio}
    return {"ece_perfect": perfect, **parts}


def readable(measured: pd.DataFrame) -> pd.DataFrame:
    """`measure` for readers: one row per group and method, "value [low, high]" in the cells."""
    text = [
        "–" if np.isnan(row.value) else
        in_words(row.value, row.low, row.high, ".3f", reason=row.reason)
        for row in measured.itertuples()
    ]  # fmt: skip
    by = [*KEYS, "method"]
    table = measured.assign(text=text, order=range(len(measured)))
    order = table.groupby(by)["order"].min()
    wide = table.pivot(index=by, columns="measure", values="text").loc[order.sort_values().index]
    columns = [name for name in MEASURE_NAMES if name in wide.columns]
    wide = wide[columns].fillna("–").rename(columns=MEASURE_NAMES).rename_axis(columns=None)
    return wide.reset_index()


# Bounds of the searches in words, for captions.
BOUNDS = "; ".join(
    f"{name} {low:g} to {high:g}"
    for name, (low, high) in {
        "slope": mis.SLOPES, "intercept": mis.INTERCEPTS, "temperature": mis.TEMPERATURES
    }.items()
)  # fmt: skip
# The rule of `choose` in words, for captions.
CHOICE = "the model with the highest macro AUC on validation patients"


def choose(calibrated: Sequence[Calibrated], *, max_groups: int) -> list[Calibrated]:
    """For the figures: CHOICE for each unit and question; the first one where several are equal.

    Likelihood would not do: a model trained on balanced classes overstates the rare ones, and one
    that knows nothing can then look better. Patches come first.
    """
    best: dict[tuple[str, str], Calibrated] = {}
    for model in calibrated:
        question = (model.group.unit, model.group.target)
        if question not in best or separation(model.group) > separation(best[question].group):
            best[question] = model
    order = sorted(best, key=lambda key: (TARGETS.index(key[1]), UNITS.index(key[0])))
    return [best[question] for question in order][:max_groups]


def separation(group: Group) -> float:
    """Macro AUC on validation units; chance, 0.5, where no class has one.

    -inf where there are no validation units.
    """
    val = group.parts.get("val")
    if val is None:
        return float("-inf")
    return float(np.nan_to_num(macro_auc(val.probabilities, val.classes), nan=0.5))


def reliability(
    calibrated: Sequence[Calibrated], *, bins: int, seed: int, draws: int
) -> pd.DataFrame:
    """Reliability of test units before and after temperature, in both kinds of bins.

    Returns:
        title, method, kind (width, mass), and the columns of `evaluation.calibration.reliability`.
    """
    tables = []
    for model in calibrated:
        part = model.test
        for method in (AS_IT_IS, TEMPERATURE):
            if method not in model.methods:
                continue
            for kind in ("width", "mass"):
                table = cal.reliability(
                    model.probabilities(method),
                    part.classes,
                    part.patients,
                    kind=kind,
                    seed=seed,
                    draws=draws,
                    bins=bins,
                )
                labels = {"title": model.group.title, "method": method, "kind": kind}
                tables.append(table.assign(**labels))
    joined = pd.concat(tables, ignore_index=True)
    first = ["title", "method", "kind"]
    return joined[[*first, *(name for name in joined.columns if name not in first)]]

"""How often intervals cover the truth: benchmarks/results/coverage.csv.

Patients with two to four images, whose images resemble each other, are drawn from a known truth;
each time the interval of `evaluation.intervals` and the percentiles of the same draws are compared
with that truth. The least numbers of patients in `evaluation` are set by this table: each is the
smallest from which on all rows reach 93 % (within the Monte Carlo error), and above two patients,
whose intervals reach from 0 to 1.

    nice -n 10 python benchmarks/coverage.py [--repeats 500]
"""

from __future__ import annotations

import argparse
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import norm
from second_look.evaluation.classification import balanced_accuracy_statistic
from second_look.evaluation.froc import Marks, sensitivity_statistic
from second_look.evaluation.intervals import (
    LEVEL,
    Metric,
    Patients,
    difference,
    estimate,
    mean,
    point_estimate,
    share,
)
from second_look.evaluation.resampling import replicate
from second_look.evaluation.roc import auc_statistic

RESULT = Path(__file__).parent / "results" / "coverage.csv"
REPEATS, DRAWS = 500, 300
# Share of the patients that are positive.
POSITIVE = 0.4
# Standard deviation of the logarithm of areas.
SPREAD = 0.85
Sample = tuple[Metric, Patients]


@dataclass(frozen=True)
class Case:
    """One measure with a known truth.

    Attributes:
        measure: What is estimated.
        truth: Its true value.
        sizes: Numbers of patients.
        sample: Generator and number of patients -> the measure of one sample, and its patients.
    """

    measure: str
    truth: float
    sizes: tuple[int, ...]
    sample: Callable[[np.random.Generator, int], Sample]


def images(rng: np.random.Generator, patients: int) -> Patients:
    """Two to four images a patient."""
    return Patients(np.repeat(np.arange(patients), rng.integers(2, 5, patients)), patients)


def shared(rng: np.random.Generator, patients: Patients, effect: float = 1.0) -> np.ndarray:
    """Normal scores of images; those of a patient share a part, `effect` times the rest."""
    scores = rng.normal(size=len(patients.codes))
    return (scores + effect * rng.normal(size=patients.count)[patients.codes]) / np.hypot(1, effect)


def hits(probability: float) -> Callable[[np.random.Generator, int], Sample]:
    def sample(rng: np.random.Generator, count: int) -> Sample:
        patients = images(rng, count)
        return share(shared(rng, patients) < norm.ppf(probability), patients), patients

    return sample


def dice(rng: np.random.Generator, count: int) -> Sample:
    patients = images(rng, count)
    return share(1 / (1 + np.exp(-1 - shared(rng, patients))), patients), patients


def areas(rng: np.random.Generator, count: int) -> Sample:
    """Lognormal, the mean 1.4 times the median as of the masses of CBIS-DDSM (0.54 and 0.38 %)."""
    patients = images(rng, count)
    return mean(np.exp(SPREAD * shared(rng, patients)), patients), patients


def _malignant(patients: Patients) -> np.ndarray:
    return (np.arange(patients.count) < max(1, round(POSITIVE * patients.count)))[patients.codes]


def area_below_curve(area: float) -> Callable[[np.random.Generator, int], Sample]:
    def sample(rng: np.random.Generator, count: int) -> Sample:
        patients = images(rng, count)
        truth = _malignant(patients)
        scores = shared(rng, patients) + np.sqrt(2) * norm.ppf(area) * truth
        return auc_statistic(scores, truth, patients), patients

    return sample


def area_difference(rng: np.random.Generator, count: int) -> Sample:
    """Two models that see the same of a patient, one of them better."""
    patients = images(rng, count)
    truth, common = _malignant(patients), shared(rng, patients)
    areas = []
    for separation in (norm.ppf(0.85), norm.ppf(0.75)):
        scores = 0.8 * common + 0.6 * shared(rng, patients) + np.sqrt(2) * separation * truth
        areas.append(auc_statistic(scores, truth, patients))
    return Metric.from_statistic(difference(*areas), patients), patients


def accuracy_difference(rng: np.random.Generator, count: int) -> Sample:
    patients = images(rng, count)
    common = shared(rng, patients)
    sides = [
        share(0.8 * common + 0.6 * shared(rng, patients) < norm.ppf(probability), patients)
        for probability in (0.85, 0.75)
    ]
    return Metric.from_statistic(difference(*sides), patients), patients


def balanced(recalls: tuple[float, ...]) -> Callable[[np.random.Generator, int], Sample]:
    """Classes of patients, as common as 4 : 2 : 1, with these recalls."""

    def sample(rng: np.random.Generator, count: int) -> Sample:
        patients = images(rng, count)
        code = np.array([0, 0, 0, 0, 1, 1, 2])[np.arange(count) % 7][patients.codes]
        right = shared(rng, patients) < norm.ppf(recalls)[code]
        predicted = np.where(right, code, (code + 1) % 3)
        return balanced_accuracy_statistic(code, predicted, patients), patients

    return sample


def lesions_hit(rng: np.random.Generator, count: int) -> Sample:
    """A lesion in every second image, hit with a score; two false alarms an image on average."""
    patients = images(rng, count)
    lesions = patients.codes[rng.random(len(patients.codes)) < 0.5]
    alarms = np.repeat(patients.codes, rng.poisson(2.0, len(patients.codes)))
    scores = np.sort(rng.normal(size=len(alarms)))[::-1]
    best = 1.0 + shared(rng, Patients(lesions, count)) if len(lesions) else np.zeros(0)
    best[rng.random(len(lesions)) < 0.1] = -np.inf
    marked = Marks(scores, rng.permutation(alarms), best, lesions, patients.codes, count, "")
    statistic = sensitivity_statistic(marked, (0.5,))
    with_lesions = share(np.isfinite(best), marked.everybody, kind="patients with lesions")
    return replace(with_lesions, statistic=lambda counts: statistic(counts)[:, 0]), patients


def lesion_truth() -> float:
    """Sensitivity at the threshold that half a false alarm an image passes, of two."""
    return float(0.9 * norm.sf(norm.isf(0.25) - 1.0))


def cases() -> Iterator[Case]:
    """What is measured, at which sizes."""
    few = (2, 3, 4, 5, 6, 8, 12, 20, 60, 201)
    for probability in (0.5, 0.8, 0.95):
        yield Case("share", probability, few, hits(probability))
    scores = np.random.default_rng(0).normal(size=2_000_000)
    yield Case("mean Dice", float((1 / (1 + np.exp(-1 - scores))).mean()), few, dice)
    skewed = (5, 10, 20, 25, 30, 40, 80, 201)
    yield Case("mean area", float(np.exp(SPREAD**2 / 2)), skewed, areas)
    for area in (0.5, 0.75, 0.9, 0.97):
        yield Case("AUC", area, (5, 8, 12, 16, 32, 60, 201), area_below_curve(area))
    sizes = (5, 8, 12, 16, 32, 60, 201)
    gap = (norm.ppf(0.85), norm.ppf(0.75))
    # The scores have a variance of 0.64 + 0.36 = 1, as those of `area_below_curve`.
    yield Case("difference of AUCs", float(np.diff(norm.cdf(gap[::-1]))[0]), sizes, area_difference)
    yield Case("difference of accuracies", 0.10, few[1:], accuracy_difference)
    for recalls in ((0.9, 0.7, 0.5), (0.97, 0.95, 0.9)):
        truth = float(np.mean(recalls))
        yield Case("balanced accuracy", truth, (14, 21, 28, 42, 70, 201), balanced(recalls))
    yield Case("sensitivity at 0.5 false positives an image", lesion_truth(), few[1:], lesions_hit)


def coverage(case: Case, patients: int, *, repeats: int, draws: int) -> list[dict[str, object]]:
    """One row a method: how often it covers, and how wide it is.

    Returns:
        measure, truth, patients, method, coverage, error (Monte Carlo standard error), width
        (median), intervals (samples with one), given (whether all patients are enough for one).
    """
    rng = np.random.default_rng([patients, zlib.crc32(f"{case.measure}{case.truth}".encode())])
    ends: dict[str, list[tuple[float, float]]] = {"t": [], "percentiles": []}
    enough = 0
    for seed in range(repeats):
        metric, sample = case.sample(rng, patients)
        value = float(point_estimate(metric, sample))
        if not np.isfinite(value) or min(metric.clusters.values()) < 2:
            continue
        enough += not metric.shortage
        drawn = replicate({"it": metric}, patients, seed=seed, draws=draws)["it"]
        anyway = replace(metric, min_patients=2, compared=()) if metric.shortage else metric
        interval = estimate(value, drawn, anyway, sample)
        ends["t"].append((interval.low, interval.high))
        tails = [(1 - LEVEL) / 2, (1 + LEVEL) / 2]
        ends["percentiles"].append(tuple(np.quantile(drawn[np.isfinite(drawn)], tails)))
    rows = []
    for method, pairs in ends.items():
        low, high = np.array(pairs).reshape(-1, 2).T
        low, high = low[np.isfinite(low)], high[np.isfinite(low)]
        share_covered = np.mean((low <= case.truth + 1e-9) & (high >= case.truth - 1e-9))
        rows.append(
            {
                "measure": case.measure,
                "truth": round(case.truth, 4),
                "patients": patients,
                "method": method,
                "coverage": round(float(share_covered), 4),
                "error": round(float(np.sqrt(share_covered * (1 - share_covered) / len(low))), 4),
                "width": round(float(np.median(high - low)), 4),
                "intervals": len(low),
                "given": round(enough / repeats, 3),
            }
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=REPEATS, help="samples of each size")
    parser.add_argument("--only", default="", help="measures whose name holds this")
    arguments = parser.parse_args()
    rows: list[dict[str, object]] = []
    for case in cases():
        if arguments.only in case.measure:
            for patients in case.sizes:
                rows += coverage(case, patients, repeats=arguments.repeats, draws=DRAWS)
                print(*rows[-2].values())
    if not arguments.only:
        pd.DataFrame(rows).to_csv(RESULT, index=False)


if __name__ == "__main__":
    main()

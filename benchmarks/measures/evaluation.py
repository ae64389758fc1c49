"""Calibration and bootstrap intervals of 100,000 predictions, against a loop over scikit-learn.

The peer draws patients and calls scikit-learn's metrics anew in every draw, as is usual. It is
timed over few draws and extrapolated to as many as ours: its time grows with the draws and with
nothing else.
"""

from __future__ import annotations

import time

import numpy as np
from scipy.special import expit
from second_look.evaluation import calibration, recalibration
from second_look.evaluation.classification import measures as accuracies
from second_look.evaluation.comparisons import auc_difference
from second_look.evaluation.intervals import DRAWS, Patients
from second_look.evaluation.roc import auc_estimate
from sklearn.calibration import calibration_curve
from sklearn.metrics import (
    accuracy_score,
    balanced_accuracy_score,
    brier_score_loss,
    log_loss,
    roc_auc_score,
)

from measures.timing import OURS, Row, row

UNITS, PATIENTS, BINS, PEER_DRAWS = 100_000, 1_500, 15, 5


def measure() -> list[Row]:
    """Seconds of one thread for all of it and for the parts; what else runs does not count."""
    rng = np.random.default_rng(0)
    odds = rng.normal(scale=1.5, size=UNITS)
    truth = (rng.random(UNITS) < expit(odds)).astype(np.int64)
    scores, ids = expit(2 * odds), rng.integers(PATIENTS, size=UNITS)
    start = time.process_time()
    methods = _recalibrated(scores, truth)
    fitted = time.process_time()
    _evaluate(methods, truth, Patients.from_ids(ids))
    own_seconds = time.process_time() - fitted
    peer_seconds = _loop(methods, truth, ids) * DRAWS / PEER_DRAWS
    task = f"intervals of 9 metrics, {UNITS:,} predictions, {len(methods)} calibrations"
    loop = f"scikit-learn, {DRAWS:,} draws, extrapolated from {PEER_DRAWS}"
    return [
        row("4 recalibrations fitted and applied", OURS, fitted - start, "s of CPU"),
        row(task, f"{OURS}, {DRAWS:,} draws", own_seconds, "s of CPU", 1.0),
        row(task, loop, peer_seconds, "s of CPU", peer_seconds / own_seconds),
        row("calibration and all intervals", OURS, fitted - start + own_seconds, "s of CPU"),
    ]


def _recalibrated(scores: np.ndarray, truth: np.ndarray) -> list[np.ndarray]:
    """Probabilities (n, 2) as they are and after every method, fitted on every third unit."""
    shares, val = calibration.two_columns(scores), np.arange(UNITS) % 3 == 0
    fitted = [recalibration.fit(name, shares[val], truth[val]) for name in recalibration.METHODS]
    return [shares, *(method.apply(shares) for method in fitted)]


def _evaluate(methods: list[np.ndarray], truth: np.ndarray, patients: Patients) -> None:
    first = methods[0][:, 1]
    for shares in methods:
        calibration.measures(shares, truth, patients, bins=BINS, seed=0, draws=DRAWS)
        accuracies(truth, shares.argmax(axis=1), patients, seed=0, draws=DRAWS)
        auc_estimate(shares[:, 1], truth == 1, patients, seed=0, draws=DRAWS)
    auc_difference(methods[-1][:, 1], first, truth == 1, patients, seed=0, draws=DRAWS)


def _loop(methods: list[np.ndarray], truth: np.ndarray, ids: np.ndarray) -> float:
    """CPU seconds of PEER_DRAWS draws; what scikit-learn lacks (debiased error) is left out."""
    rng = np.random.default_rng(0)
    units_of = [np.flatnonzero(ids == patient) for patient in range(PATIENTS)]
    start = time.process_time()
    for _ in range(PEER_DRAWS):
        drawn = np.concatenate([units_of[p] for p in rng.integers(PATIENTS, size=PATIENTS)])
        for shares in methods:
            _metrics(shares[drawn, 1], truth[drawn])
        roc_auc_score(truth[drawn], methods[-1][drawn, 1])
    return time.process_time() - start


def _metrics(scores: np.ndarray, truth: np.ndarray) -> None:
    for strategy in ("uniform", "quantile"):
        calibration_curve(truth, scores, n_bins=BINS, strategy=strategy)
    log_loss(truth, scores)
    brier_score_loss(truth, scores)
    accuracy_score(truth, scores >= 0.5)
    balanced_accuracy_score(truth, scores >= 0.5)
    roc_auc_score(truth, scores)

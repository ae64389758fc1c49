"""DeLong's variance of the area below ROC curves, and the paired test of two.

A check on the bootstrap by another road. Units count as independent here: with several of one
patient the variance is too small, and the bootstrap over patients is to be used.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.stats import norm, rankdata
from second_look.errors import DataError
from second_look.evaluation.intervals import Floats
from second_look.evaluation.roc import checked


def delong(scores: Sequence[npt.ArrayLike], positive: npt.ArrayLike) -> tuple[Floats, Floats]:
    """AUCs of several scores of the same units and their covariance (DeLong et al. 1988).

    By midranks (Sun & Xu 2014).

    Args:
        scores: One array (n,) a model.
        positive: Which units are positive, shape (n,).

    Returns:
        AUCs (models,) and their covariance (models, models).

    Raises:
        DataError: Fewer than two positive or two negative units.
    """
    pairs = [checked(one, positive) for one in scores]
    truth = pairs[0][1]
    sick, well = int(truth.sum()), int((~truth).sum())
    if min(sick, well) < 2:
        raise DataError(
            f"DeLong's variance needs two units of each kind. Got {sick} positive and {well} "
            "negative."
        )
    of_sick, of_well = [], []
    for values, _ in pairs:
        ranks = rankdata(values)
        # Share of the other kind that each unit beats: its rank among all, less among its own.
        of_sick.append((ranks[truth] - rankdata(values[truth])) / well)
        of_well.append(1 - (ranks[~truth] - rankdata(values[~truth])) / sick)
    covariance = np.cov(of_sick) / sick + np.cov(of_well) / well
    return np.mean(of_sick, axis=1), np.atleast_2d(covariance)


def delong_test(
    first: npt.ArrayLike, second: npt.ArrayLike, positive: npt.ArrayLike
) -> tuple[float, float, float]:
    """Difference of two AUCs on the same units, its standard error and two-sided p.

    Where both scores rank all units alike, the error is 0 and p is 1.
    """
    (one, other), covariance = delong([first, second], positive)
    variance = covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1]
    error = float(np.sqrt(max(0.0, variance)))
    gap = float(one - other)
    if error < 1e-12:
        return gap, 0.0, 1.0 if abs(gap) < 1e-12 else 0.0
    return gap, error, float(2 * norm.sf(abs(gap) / error))

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
    pairs = [checked(model_scores, positive) for model_scores in scores]
    truth = pairs[0][1]
    positives, negatives = int(truth.sum()), int((~truth).sum())
    if min(positives, negatives) < 2:
        raise DataError(
            "DeLong's variance needs two units of each kind. "
            f"Got {positives} positive and {negatives} negative."
        )
    positive_shares, negative_shares = [], []
    for values, _ in pairs:
        ranks = rankdata(values)
        # Share of the other kind that each unit beats: its rank among all, less among its own.
        positive_shares.append((ranks[truth] - rankdata(values[truth])) / negatives)
        negative_shares.append(1 - (ranks[~truth] - rankdata(values[~truth])) / positives)
    covariance = np.cov(positive_shares) / positives + np.cov(negative_shares) / negatives
    return np.mean(positive_shares, axis=1), np.atleast_2d(covariance)


def delong_test(
    first: npt.ArrayLike, second: npt.ArrayLike, positive: npt.ArrayLike
) -> tuple[float, float, float]:
    """Difference of two AUCs on the same units, its standard error and two-sided p.

    Where both scores rank all units alike, the error is 0 and p is 1.
    """
    (first_auc, second_auc), covariance = delong([first, second], positive)
    variance = covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1]
    error = float(np.sqrt(max(0.0, variance)))
    gap = float(first_auc - second_auc)
    if error < 1e-12:
        return gap, 0.0, 1.0 if abs(gap) < 1e-12 else 0.0
    return gap, error, float(2 * norm.sf(abs(gap) / error))

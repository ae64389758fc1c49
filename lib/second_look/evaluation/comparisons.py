"""Is one model better than another on the same patients? Paired differences, and p for many.

Both models see the same draws of patients, so that what makes a patient hard for both cancels. The
p value is that of the interval: the interval of level 1 - p ends at 0.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

from second_look.evaluation.intervals import (
    DRAWS,
    LEVEL,
    Estimate,
    Floats,
    Patients,
    Statistic,
    bootstrap,
    difference,
    undefined,
)
from second_look.evaluation.roc import mean_auc_statistic


def paired_difference(
    first: Statistic,
    second: Statistic,
    patients: Patients,
    *,
    seed: int,
    draws: int = DRAWS,
    level: float = LEVEL,
) -> Estimate:
    """The first metric less the second, with its interval and p, paired over patients."""
    gap = {"difference": difference(first, second)}
    return bootstrap(gap, patients, seed=seed, draws=draws, level=level)["difference"]


def auc_difference(
    first: npt.ArrayLike,
    second: npt.ArrayLike,
    positive: npt.ArrayLike,
    patients: Patients,
    *,
    seed: int,
    draws: int = DRAWS,
    level: float = LEVEL,
) -> Estimate:
    """AUC of the first scores less that of the second, on the same units, paired over patients.

    All as `roc.auc_estimate` takes them.
    """
    first_auc, first_reason = mean_auc_statistic(first, positive, patients)
    second_auc, second_reason = mean_auc_statistic(second, positive, patients)
    if first_reason or second_reason:
        return undefined(first_reason or second_reason, patients)
    return paired_difference(first_auc, second_auc, patients, seed=seed, draws=draws, level=level)


def with_holm(table: pd.DataFrame) -> pd.DataFrame:
    """A table of comparisons with `holm` of its column p as column p_holm."""
    return table.assign(p_holm=holm(table["p"]))


def holm(p_values: npt.ArrayLike) -> Floats:
    """P values of the comparisons of one table, adjusted so that they hold all at once (Holm 1979).

    Args:
        p_values: Shape (n,); a comparison with NaN is none and stays so.

    Returns:
        Adjusted ones, float64 (n,): one below 0.05 stands when all were made at a level of 0.05.
    """
    adjusted = np.array(p_values, dtype=np.float64)
    tested = np.flatnonzero(np.isfinite(adjusted))
    rising = tested[np.argsort(adjusted[tested], kind="stable")]
    scaled = adjusted[rising] * np.arange(len(rising), 0, -1)
    adjusted[rising] = np.minimum(1.0, np.maximum.accumulate(scaled))
    return adjusted

"""The verdict on claims that compare with results of others in the field.

A module by itself: schemes A and B both need it, and `paper.py` judges numbers only; the study that
measures a claim in words judges it.
"""

from __future__ import annotations

import numpy as np

from second_look.paper import FIELD, NO_INTERVAL, NOT_REPRODUCED, REPRODUCED


def worse_than_the_field(low: float, high: float) -> str:
    """Verdict on "worse than" the AUCs of the paper's refs 6 and 7.

    Args:
        low: Lower end of the interval of our AUC; NaN if there is none.
        high: Its upper end.
    """
    if not (np.isfinite(low) and np.isfinite(high)):
        return NO_INTERVAL
    if high < FIELD[0]:
        return REPRODUCED
    if low > FIELD[1]:
        return NOT_REPRODUCED
    return f"undecided: the interval reaches {FIELD[0]} to {FIELD[1]}"

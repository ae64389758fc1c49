"""The verdict on claims that compare with the results of others in the field."""

from __future__ import annotations

import numpy as np

from second_look.paper import FIELD, NO_INTERVAL, NOT_REPRODUCED, REPRODUCED


def worse_than_the_field(low: float, high: float) -> str:
    """Verdict on "worse than" the AUCs of the paper's refs 6 and 7."""
    if not (np.isfinite(low) and np.isfinite(high)):
        return NO_INTERVAL
    if high < FIELD[0]:
        return REPRODUCED
    if low > FIELD[1]:
        return NOT_REPRODUCED
    return f"undecided: the interval reaches {FIELD[0]} to {FIELD[1]}"

"""Verdicts on claims that compare with results of others."""

import numpy as np
import pytest
from second_look.paper import NO_INTERVAL, NOT_REPRODUCED, REPRODUCED
from second_look.studies.transfer.field import worse_than_the_field


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (0.6, 0.8, REPRODUCED),
        (0.88, 0.9, NOT_REPRODUCED),
        (0.7, 0.82, "undecided"),
        (0.82, 0.9, "undecided"),
        (np.nan, np.nan, NO_INTERVAL),
    ],
)
def test_the_whole_interval_decides_the_verdict(low, high, verdict):
    assert worse_than_the_field(low, high).startswith(verdict)

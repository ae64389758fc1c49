"""Pictures cut inside a sound container are refused, and never filled with made-up pixels."""

from __future__ import annotations

import pytest
from helpers.cut_pictures import findings


@pytest.mark.parametrize("seed", range(2))
def test_what_is_cut_inside_is_refused_and_never_filled_in(tmp_path, seed):
    assert list(findings(tmp_path, 400, seed)) == []

"""Figures are drawn in the style of the notebooks."""

from __future__ import annotations

import matplotlib as mpl
import pytest
from second_look.figures.style import use_style


@pytest.fixture(autouse=True)
def as_in_notebooks():
    """The style of the notebooks."""
    with mpl.rc_context():
        use_style()
        yield

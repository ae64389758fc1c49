"""Cells of a user's table."""

from __future__ import annotations

import pytest
from second_look.sources.folder_values import UnusableError, parse_box


@pytest.mark.parametrize("number", ["inf", "-inf", "1e999", "9" * 400])
@pytest.mark.parametrize("box_format", ["rowcol", "xywh", "xyxy"])
def test_a_box_without_end_is_unusable(number, box_format):
    with pytest.raises(UnusableError, match="finite"):
        parse_box(f"{number},5,8,9", box_format)

"""Starts by name, and where their weights lie."""

import pytest
from second_look.errors import DataError
from second_look.studies.transfer.starts import (
    PATCHES,
    PHANTOM,
    resolve_starts,
    weights_folders,
)


@pytest.mark.parametrize("trained_here", [PATCHES, PHANTOM])
def test_starts_are_named_as_tables_name_them(tmp_path, trained_here):
    weights = tmp_path / "w.safetensors"
    starts = resolve_starts(["random", trained_here, "x/radio.pth"], {trained_here: weights})
    assert starts == {"random": "random", trained_here: str(weights), "radio": "x/radio.pth"}


def test_a_start_without_its_training_is_refused():
    with pytest.raises(DataError, match="start phantom needs a model"):
        resolve_starts(["phantom"], {PHANTOM: None})


def test_weights_lie_in_the_data_root_if_there_is_one(tmp_path):
    assert weights_folders(str(tmp_path), "weights") == [tmp_path / "weights"]
    assert weights_folders(str(tmp_path / "none"), "weights") == []

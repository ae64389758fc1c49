"""Starts by name, and the folders of their weights."""

import pytest
from second_look.errors import DataError
from second_look.studies.transfer.starts import (
    PATCHES,
    PHANTOM,
    resolve_starts,
    weights_folders,
)


@pytest.mark.parametrize("trained_here", [PATCHES, PHANTOM])
def test_starts_get_the_names_of_tables(tmp_path, trained_here):
    weights = tmp_path / "w.safetensors"
    starts = resolve_starts(["random", trained_here, "x/radio.pth"], {trained_here: weights})
    assert starts == {"random": "random", trained_here: str(weights), "radio": "x/radio.pth"}


def test_a_start_that_was_not_trained_is_refused():
    with pytest.raises(DataError, match="start phantom needs a model"):
        resolve_starts(["phantom"], {PHANTOM: None})


def test_weights_are_in_the_data_root_if_there_is_one(tmp_path):
    assert weights_folders(str(tmp_path), "weights") == [tmp_path / "weights"]
    assert weights_folders(str(tmp_path / "none"), "weights") == []

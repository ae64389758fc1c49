"""Views of a breast are paired: a missing one is replaced by the other, a doubled one counted."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from second_look.batches.affine import NO_AUGMENTATION
from second_look.batches.breasts import BreastBatches, pair_views
from second_look.batches.pictures import WHITE, Pictures
from second_look.catalogue import LABELS
from second_look.errors import DataError

ROWS = [
    ("a", "p1", "L", "CC", "benign"),
    ("b", "p1", "L", "MLO", "malignant"),
    ("c", "p1", "R", "MLO", "normal"),
    ("d", "p2", "L", "CC", "benign"),
    ("e", "p2", "L", "CC", "benign"),
    ("f", "p2", "L", "MLO", "benign"),
    ("g", "p3", "L", "XCCL", "benign"),
]


@pytest.fixture
def images() -> pd.DataFrame:
    columns = ["image_id", "patient_id", "laterality", "view", "label"]
    return pd.DataFrame(ROWS, columns=columns).assign(dataset="d", split="train")


def test_views_of_a_breast_are_paired(images) -> None:
    breasts = pair_views(images)
    columns = ["first", "second", "label", "views", "images"]
    assert breasts[columns].to_numpy().tolist() == [
        ["a", "b", "malignant", "both", 2],
        ["c", "c", "normal", "MLO", 1],
        ["d", "f", "benign", "both", 3],
    ]


def test_without_views_the_remedy_is_named(images) -> None:
    with pytest.raises(DataError, match=r"no image is a view of CC or MLO.*two_view_epochs"):
        pair_views(images[images["view"] == "XCCL"])


def test_a_batch_holds_both_views_of_each_breast(images) -> None:
    ids = tuple(row[0] for row in ROWS)
    # Each picture is as bright as its place among them says.
    levels = np.arange(len(ids), dtype=np.uint16) * (WHITE // 10)
    array = np.broadcast_to(levels[:, None, None], (len(ids), 8, 6)).copy()
    breasts = pair_views(images)
    source = BreastBatches(
        Pictures(ids, array, "x"), breasts, batch_size=12, seed=0, augmentation=NO_AUGMENTATION
    )
    pixels, labels = source.share(0, 0, 1, torch.device("cpu"))
    assert pixels.shape == (12, 2, 8, 6)
    malignant, benign = LABELS.index("malignant"), LABELS.index("benign")
    pairs = {(0, 1): malignant, (2, 2): 0, (3, 5): benign}  # places of the views -> of the label
    shown_places = (pixels[:, :, 4, 3] * 10).round().int()
    assert {(*view.tolist(),) for view in shown_places} == set(pairs)
    assert [pairs[(*view.tolist(),)] for view in shown_places] == labels.tolist()
    parts = [source.make(0, rank, 2)[0] for rank in (0, 1)]
    assert torch.equal(torch.cat(parts), pixels)
    assert (
        source.identity()
        != BreastBatches(Pictures(ids, array, "x"), breasts[:2], batch_size=12, seed=0).identity()
    )

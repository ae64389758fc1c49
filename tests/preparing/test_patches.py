"""The label rule and the window sums against plain loops."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from second_look.catalogue import LABELS, Catalogue
from second_look.errors import DataError
from second_look.geometry import window_starts
from second_look.preparing.patches import (
    HALF_RULE,
    LabelRule,
    class_balance,
    label_windows,
    window_sums,
    window_table,
)
from second_look.preparing.store import Prepared


@settings(max_examples=60)
@given(
    rows=st.integers(1, 60),
    cols=st.integers(1, 60),
    size=st.integers(1, 30),
    stride=st.integers(1, 20),
    seed=st.integers(0, 99),
)
def test_window_sums_equal_a_plain_loop(rows, cols, size, stride, seed):
    mask = np.random.default_rng(seed).random((rows, cols)) < 0.4
    tops, lefts = window_starts(rows, size, stride), window_starts(cols, size, stride)
    expected = [[mask[t : t + size, c : c + size].sum() for c in lefts] for t in tops]
    sums = window_sums(mask, tops, lefts, size)
    np.testing.assert_array_equal(sums, np.array(expected).reshape(sums.shape))


def plain_label(window, regions, pathologies, rule, unlocated):
    """The rule as its docstring says it, one window at a time."""
    size = window.shape[0]
    counting, touching = [], False
    for code, pathology in pathologies.items():
        pixels, area = (window == code).sum(), (regions == code).sum()
        touching |= pixels > 0
        if pixels and (
            pixels >= rule.min_lesion_share * area or pixels >= rule.min_window_share * size**2
        ):
            counting.append(LABELS.index(pathology))
    if counting:
        return LABELS[max(counting)], ""
    if touching:
        return "", "partial lesion"
    if (window > 0).mean() < rule.min_breast_share:
        return "", "off breast"
    return ("", "unlocated lesion") if unlocated else ("normal", "")


@settings(max_examples=80)
@given(
    seed=st.integers(0, 999),
    size=st.integers(2, 14),
    stride=st.integers(1, 9),
    shares=st.tuples(*[st.sampled_from([0.0, 0.1, 0.5, 0.9, 1.0])] * 3),
    unlocated=st.booleans(),
)
def test_labels_follow_the_rule_as_it_is_written(seed, size, stride, shares, unlocated):
    rng = np.random.default_rng(seed)
    regions = (rng.random((30, 24)) < 0.8).astype(np.uint8)
    pathologies = {}
    for code in range(2, 2 + rng.integers(4)):
        top, left = rng.integers(0, 20, 2)
        regions[top : top + rng.integers(1, 10), left : left + rng.integers(1, 10)] = code
        pathologies[int(code)] = LABELS[rng.integers(1, 4)]
    rule = LabelRule(*shares)
    windows = label_windows(
        regions, pathologies, size=size, stride=stride, rule=rule, unlocated=unlocated
    )
    for row in windows.itertuples():
        window = regions[row.row : row.row + size, row.col : row.col + size]
        assert (row.label, row.excluded) == plain_label(
            window, regions, pathologies, rule, unlocated
        )
        assert row.breast_share == pytest.approx((window > 0).mean())
        if row.lesion_code:
            area = (regions == row.lesion_code).sum()
            assert row.lesion_share == pytest.approx((window == row.lesion_code).sum() / area)


def test_the_worst_lesion_wins_even_with_the_smaller_share():
    regions = np.ones((8, 8), dtype=np.uint8)
    regions[:4], regions[4, :2] = 2, 3
    windows = label_windows(
        regions, {2: "benign", 3: "malignant"}, size=8, stride=8, rule=HALF_RULE
    ).iloc[0]
    assert (windows["label"], windows["lesion_code"]) == ("malignant", 3)


def test_a_lesion_larger_than_the_window_still_counts():
    regions = np.full((64, 64), 2, dtype=np.uint8)
    windows = label_windows(regions, {2: "benign"}, size=8, stride=8, rule=HALF_RULE)
    assert set(windows["label"]) == {"benign"}


def test_a_picture_smaller_than_the_window_gives_none():
    windows = label_windows(np.ones((5, 9), dtype=np.uint8), {}, size=8, stride=4, rule=HALF_RULE)
    assert windows.empty


def test_a_rule_outside_0_to_1_is_refused():
    with pytest.raises(ValueError, match="between 0 and 1"):
        replace(HALF_RULE, min_breast_share=1.5)


def fake_set(tmp_path, spacings=(0.1, 0.2)):
    """Two images of 64 x 48 px, the second with a lesion that has no place."""
    images, rows = [], []
    for number, spacing in enumerate(spacings):
        name = f"i{number}"
        np.save(tmp_path / f"{name}.pixels.npy", np.full((64, 48), 9, dtype=np.uint8))
        np.save(tmp_path / f"{name}.regions.npy", np.ones((64, 48), dtype=np.uint8))
        images.append({"image_id": name, "rows": 64, "cols": 48, "pixel_spacing_mm": spacing})
        label = "benign" if number else "normal"
        rows.append(
            {"image_id": name, "dataset": "d", "patient_id": f"p{number}", "rows": 64, "cols": 48}
            | {"bits": 8, "label": label, "split": "train", "path": name}
        )
    lesion = {"lesion_id": "l", "image_id": "i1", "kind": "mass", "pathology": "benign"}
    catalogue = Catalogue.from_rows(rows, [lesion])
    lesions = pd.DataFrame([{"lesion_id": "l", "image_id": "i1", "code": 0}])
    nothing = np.zeros((2, 32, 32), dtype=np.float32)
    prepared = Prepared(tmp_path, pd.DataFrame(images), lesions, catalogue.quarantine, nothing)
    return prepared, catalogue


def test_table_of_all_images_and_its_balance(tmp_path):
    prepared, catalogue = fake_set(tmp_path)
    table = window_table(prepared, catalogue, size=16, stride=16, rule=HALF_RULE)
    assert len(table) == 24
    assert set(table["split"]) == {"train"}
    assert set(table.loc[table["image_id"] == "i1", "excluded"]) == {"unlocated lesion"}
    balance = class_balance(table).set_index("class")
    assert balance.loc["normal", ["windows", "images", "patients"]].tolist() == [12, 1, 1]
    assert balance.loc["unlocated lesion", "windows"] == 12
    assert balance.loc["malignant", "windows"] == 0


def test_windows_in_mm_have_each_image_s_own_pixels(tmp_path):
    prepared, catalogue = fake_set(tmp_path)
    table = window_table(prepared, catalogue, size=16, stride=8, rule=HALF_RULE, size_mm=3.2)
    assert dict(table.groupby("image_id")["size"].first()) == {"i0": 32, "i1": 16}
    unknown, _ = fake_set(tmp_path, (0.1, np.nan))
    with pytest.raises(DataError, match="1 images have no pixel size, such as i1"):
        window_table(unknown, catalogue, size=16, stride=8, rule=HALF_RULE, size_mm=3.2)

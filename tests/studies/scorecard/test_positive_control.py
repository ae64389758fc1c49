"""What a run's networks learnt, read from its tables."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from second_look.studies.scorecard import positive_control as control

FROC = pd.DataFrame(
    [
        ("Mask R-CNN (small)", "lesion", "centre", "lesion", rate, value, low, high, 46)
        for rate, value, low, high in (("0.5", 0.6, 0.5, 0.7), ("1", 0.9, 0.78, 0.97))
    ]
    + [
        ("Mask R-CNN (small)", "lesion", "iou", "lesion", "1", 0.3, 0.2, 0.4, 46),
        ("brightest blob", "lesion", "centre", "lesion", "1", 0.2, 0.1, 0.35, 46),
    ],
    columns=["model", "target", "rule", "by", "false_positives", "sensitivity", "low", "high", "n"],
)
CURVE = pd.DataFrame(
    [("random", 512, "macro_auc", 0.6, 0.45, 0.7, 2000),
     ("random", 4096, "macro_auc", 0.9, 0.85, 0.94, 2000),
     ("random", 4096, "accuracy", 0.7, 0.6, 0.8, 2000),
     ("phantom", 4096, "macro_auc", 0.99, 0.98, 1.0, 2000)],
    columns=["start", "patches", "measure", "value", "low", "high", "n"],
)  # fmt: skip
AREAS = pd.DataFrame(
    [("scheme A, highest", "image", 0.8, 0.6, 0.9, 100, np.nan),
     ("scheme A, highest", "breast", 0.99, 0.9, 1.0, 50, np.nan),
     ("scheme B, 512×416, start patches", "image", 0.55, 0.4, 0.7, 100, np.nan),
     ("scheme B, 512×416, start patches tta", "image", 0.9, 0.8, 0.95, 100, np.nan)],
    columns=["model", "unit", "value", "low", "high", "n", "reason"],
)  # fmt: skip


def samples(ratio: float, noise: float = 5.0) -> pd.DataFrame:
    """Texture of the samples of three generators at about a multiple of its floor."""
    ratios = ratio * np.array([0.95, 1.0, 1.05])
    last = pd.DataFrame({"swd": ratios * 20, "floor": 20.0, "noise": 20.0 * noise, "epoch": 9})
    last = last.assign(samples=16)
    first = last.assign(swd=400.0, epoch=0)
    return pd.concat([first, last]).assign(architecture="dcgan")


def test_the_rows_that_stand_for_each_method_are_read() -> None:
    tables = {control.LESIONS: FROC, control.PATCHES: CURVE, control.WHOLE_IMAGES: AREAS}
    table = control.table(control.skills(tables)).set_index("method")
    lesions = table.loc["Mask R-CNN"]
    assert (lesions["value"], lesions["null"], lesions["learnt"]) == (0.9, 0.2, control.YES)
    # The random start, the most patches: a start from phantoms would flatter the code.
    assert table.loc["patch classifier", "value"] == 0.9
    assert table.loc["scheme A", "value"] == 0.8
    assert table.loc["scheme B", ["value", "learnt"]].tolist() == [0.55, control.NOT_SHOWN]


@pytest.mark.parametrize(
    ("ratio", "learnt"), [(1.0, control.YES), (1.5, control.NOT_SHOWN), (4.0, control.NOT_SHOWN)]
)
def test_samples_have_to_be_clearly_nearer_than_what_is_sufficient(
    ratio: float, learnt: str
) -> None:
    (skill,) = control.skills({control.SAMPLES: samples(ratio)})
    assert skill.value == pytest.approx(ratio, rel=0.01)
    # Three classes are no three trainings: what is shown is their range.
    assert (skill.low, skill.high) == pytest.approx((0.95 * ratio, 1.05 * ratio))
    assert (skill.reason, skill.n) == ("range of classes", 48)
    assert skill.learnt == learnt


def test_a_measure_that_mere_noise_passes_shows_nothing() -> None:
    (skill,) = control.skills({control.SAMPLES: samples(1.0, noise=1.2)})
    assert (skill.learnt, skill.reason[:10]) == (control.NOT_SHOWN, "mere noise")


def test_no_interval_shows_nothing() -> None:
    areas = AREAS.iloc[:1].assign(low=np.nan, high=np.nan, reason="too few patients: 5")
    measured = control.table(control.skills({control.WHOLE_IMAGES: areas}))
    assert measured["learnt"].tolist() == [control.NOT_SHOWN]
    assert "0.80 [too few patients: 5]" in control.sentences(measured, synthetic=False)


def test_the_sentences_say_on_whom_and_beside_what() -> None:
    measured = control.table(control.skills({control.LESIONS: FROC, control.WHOLE_IMAGES: AREAS}))
    text = control.sentences(measured, synthetic=True)
    assert "**2 of 3 measures show that something was learnt**, on phantom patients" in text
    assert "0.90 [0.78, 0.97] (brightest blobs: 0.20): yes" in text
    assert "phantom" not in control.sentences(measured, synthetic=False)


def test_a_run_without_trainings_says_that_nothing_is_measured() -> None:
    nothing = control.table(control.skills({}))
    assert "has been measured" in control.sentences(nothing, synthetic=True)

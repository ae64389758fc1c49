"""Sets too small to learn from, or with one split: surveyed, and later notebooks say why."""

from __future__ import annotations

import pytest
from helpers.small_mammograms import small_settings
from second_look.decoding.pixels import write_png
from second_look.errors import NotApplicableError
from second_look.phantoms.phantom import PhantomSettings, draw_image, plan_patient
from second_look.preparing.dataset import build_dataset, check_can_predict, require
from second_look.studies.survey import cohort, data_survey


@pytest.mark.parametrize(
    ("split", "reason"), [("test", "no image in train and val"), ("", "no image in val and test")]
)
def test_two_images_are_surveyed_and_later_notebooks_say_what_is_missing(tmp_path, split, reason):
    settings = PhantomSettings(patients=1, rows=128, cols=104, bits=8, seed=2)
    rows = ["path,patient,label,split"]
    for breast in plan_patient(settings, 0):
        write_png(tmp_path / f"{breast.laterality}.png", draw_image(settings, breast, "CC").pixels)
        rows.append(f"{breast.laterality}.png,p,benign,{split}")
    (tmp_path / "t.csv").write_text("\n".join(rows))
    two = small_settings(source="folder", data_root=str(tmp_path), table="t.csv")
    data = build_dataset(tmp_path / "out", two, workers=0)
    assert len(data.catalogue.images) == 2
    data_survey.counts(data)
    cohort.flow(data)
    cohort.expected_precision(data)
    later = cohort.later_notebooks(data)
    assert later["can_run"].tolist() == [False] * 6 + [True, False, True]
    assert later["reason"].iloc[:5].str.contains(reason).all()
    for outlines in (False, True):
        with pytest.raises(NotApplicableError, match=reason):
            require(data, outlines=outlines)
    with pytest.raises(NotApplicableError, match=reason):
        check_can_predict(tmp_path / "out")

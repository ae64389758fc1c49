"""Verdicts of notebooks 01 to 03, and the pixel sizes of patches."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from second_look.outputs import load_results, open_run
from second_look.paper import PATCH_SIZE
from second_look.preparing import views
from second_look.preparing.patches import HALF_RULE, window_table
from second_look.studies.gan import dcgan
from second_look.studies.survey import data_survey, patching
from second_look.verdicts import REPRODUCED


@pytest.fixture(scope="module")
def windows(phantom_data):
    return window_table(
        phantom_data.prepared, phantom_data.catalogue, size=64, stride=64, rule=HALF_RULE
    )


def with_labels(data, labels):
    """The data set whose images have these labels only."""
    images = data.catalogue.images
    used = images[images["label"].isin(labels)]
    return replace(data, catalogue=replace(data.catalogue, images=used))


def test_the_number_of_patches_is_judged_at_the_papers_size_only():
    assert patching.count_verdict(PATCH_SIZE) is None
    assert patching.count_verdict(128) == "differs: windows of 128 px, 256 px in the paper"


def test_a_data_set_without_a_class_differs_from_the_paper(phantom_data, windows):
    assert patching.classes_verdict(windows, phantom_data) is None
    three = ["normal", "benign", "malignant"]
    of_three = windows[windows["label"].isin([*three, ""])]
    verdict = patching.classes_verdict(of_three, with_labels(phantom_data, three))
    assert verdict == "differs: phantom has 3 of the 4"
    # Here the windows lack a class that the images have, because of stride or rule: no excuse.
    assert patching.classes_verdict(of_three, phantom_data) is None


def test_the_number_of_gan_patches_is_judged_if_it_is_the_paper_s():
    table = pd.DataFrame({"label": ["normal", "benign"], "patches": [4000, 3000]})
    assert dcgan.patches_verdict(table) is None
    few = dcgan.patches_verdict(table.assign(patches=256))
    assert few == "differs: 256 were chosen for this run"


def test_pixels_of_patches_and_views_have_their_size(phantom_data, windows):
    some = windows.groupby("image_id").head(1).head(3)
    spacings = patching.mm_per_px(phantom_data, some, 32)
    spacing = phantom_data.prepared.images.set_index("image_id")["pixel_spacing_mm"]
    assert spacings.tolist() == [2 * spacing[image_id] for image_id in some["image_id"]]
    image_id = some["image_id"].iloc[0]
    view = views.prepared_view(phantom_data, image_id, 128)
    rows = phantom_data.prepared.pixels(image_id).shape[0]
    assert patching.zoom(phantom_data, view) == rows / view.picture.shape[0]
    assert np.isfinite(spacings).all()


def test_images_of_mias_are_counted_among_other_data_sets(phantom_data, tmp_path):
    run = open_run(tmp_path, notebook="01_data_survey")
    data_survey.report_counts(run, phantom_data, files=10_239, mammograms=3_103)
    assert load_results(tmp_path) == []
    images = phantom_data.catalogue.images
    names = np.where(np.arange(len(images)) < 10, "mias", "cbis")
    mixed = replace(
        phantom_data,
        catalogue=replace(phantom_data.catalogue, images=images.assign(dataset=names)),
    )
    data_survey.report_counts(run, mixed, files=10_239, mammograms=3_103)
    rows = {row["claim"]: row for row in load_results(tmp_path)}
    assert rows["data-mias"]["value"] == 10
    assert rows["data-mias"]["verdict"] != REPRODUCED
    assert rows["data-total"]["value"] == 10_249
    assert rows["data-total"]["verdict"] == "differs: they show 3,113 mammograms"

"""What is planted in the form of CBIS-DDSM is what is read, in every layout, with every fault."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from second_look.catalogue import assign_splits, check_no_patient_leak, clean_official_split, worst
from second_look.decoding.masks import read_mask
from second_look.decoding.pixels import read_pixels
from second_look.errors import LeakageError
from second_look.phantoms.cbis import FAULTS, LAYOUTS, write_cbis_layout
from second_look.phantoms.phantom import PhantomSettings, draw_image
from second_look.preparing.prepare import prepare
from second_look.quarantine import Code
from second_look.sources.cbis_ddsm import read_cbis

SETTINGS = PhantomSettings(patients=48, rows=256, cols=208, seed=1)
LEFT_OUT = {"unknown_pathology", "row_without_image", "image_without_row", "truncated_dicom"}
WITHOUT_MASK = {"missing_series", "mask_and_crop_small"}


@pytest.fixture(scope="module", params=LAYOUTS)
def case(request, tmp_path_factory):
    """What was planted with all faults in one layout, and what was read."""
    folder = tmp_path_factory.mktemp(request.param)
    planted = write_cbis_layout(folder / "raw", SETTINGS, layout=request.param, faults=FAULTS)
    return planted, read_cbis(folder / "raw", folder / "cache"), folder


def lesion_id(lesion):
    return f"{lesion.image_key}_{lesion.kind}_{lesion.abnormality_id}"


def test_every_lesion_is_read_or_set_aside_for_its_fault(case):
    planted, catalogue, _ = case
    expected_ids = {lesion_id(lesion) for lesion in planted if lesion.fault not in LEFT_OUT}
    assert set(catalogue.lesions["lesion_id"]) == expected_ids
    reasons = " ".join(catalogue.quarantine["reason"]) + " ".join(catalogue.quarantine["image_id"])
    for lesion in planted:
        if lesion.fault in LEFT_OUT - {"image_without_row"}:
            assert lesion.image_key in reasons, lesion.fault


def test_labels_splits_and_sizes_are_the_planted_ones(case):
    planted, catalogue, _ = case
    images = catalogue.images.set_index("image_id")
    lesions = catalogue.lesions.set_index("lesion_id")
    for lesion in planted:
        if lesion.fault in LEFT_OUT:
            assert lesion.image_key not in images.index
            continue
        lesions_of_image = [
            companion for companion in planted if companion.image_key == lesion.image_key
        ]
        image = images.loc[lesion.image_key]
        assert image["label"] == worst(companion.pathology for companion in lesions_of_image)
        assert image["split"] == (
            "test" if any(o.split == "test" for o in lesions_of_image) else "train"
        )
        assert (image["rows"], image["cols"]) == (lesion.rows, lesion.cols)
        assert image["bits"] == 16
        assert lesions.loc[lesion_id(lesion), "pathology"] == lesion.pathology
        assert lesions.loc[lesion_id(lesion), "kind"] == lesion.kind


def test_masks_are_the_planted_ones_pixel_by_pixel(case):
    planted, catalogue, _ = case
    paths = catalogue.lesions.set_index("lesion_id")["mask_path"]
    for lesion in planted:
        if lesion.fault in LEFT_OUT:
            continue
        path = paths[lesion_id(lesion)]
        if lesion.fault in WITHOUT_MASK:
            assert path == ""
            continue
        drawn = draw_image(SETTINGS, lesion.breast, lesion.view)
        mask = read_mask(Path(path), lesion.rows, lesion.cols)
        truth = drawn.lesions[lesion.lesion].mask
        if lesion.fault == "mask_of_another_image":
            assert not np.array_equal(mask, truth)
        elif lesion.fault == "mask_other_size":
            # Written smaller and read back at the image's size: edges move by less than a pixel.
            assert (mask & truth).sum() / (mask | truth).sum() > 0.85
        else:
            np.testing.assert_array_equal(mask, truth)


def test_pixels_keep_their_sixteen_bits(case):
    planted, catalogue, _ = case
    lesion = next(lesion for lesion in planted if not lesion.fault)
    path = catalogue.images.set_index("image_id").loc[lesion.image_key, "path"]
    truth = draw_image(SETTINGS, lesion.breast, lesion.view).pixels
    np.testing.assert_array_equal(read_pixels(Path(path)), truth)
    assert truth.max() > 255


def test_the_leak_is_found_closed_and_counted(case):
    planted, catalogue, _ = case
    leaking = {lesion.image_key[:7] for lesion in planted if lesion.fault == "leaking_patient"}
    assert len(leaking) == 1
    with pytest.raises(LeakageError, match=leaking.pop()):
        check_no_patient_leak(catalogue.images)
    clean = clean_official_split(catalogue)
    check_no_patient_leak(clean.images)
    gone = clean.quarantine[clean.quarantine["code"] == Code.PATIENT_IN_TEST_SET]
    left = set(catalogue.images["image_id"]) - set(clean.images["image_id"])
    train = {lesion.image_key for lesion in planted
             if lesion.fault == "leaking_patient" and lesion.split == "train"}  # fmt: skip
    assert set(gone["image_id"]) == left == train
    assert len(gone) == len(train)
    shared = assign_splits(clean, seed=0, val_share=0.2, test_share=0.2)
    assert set(shared.images["split"]) == {"train", "val", "test"}


def test_all_that_was_read_can_be_prepared(case):
    _, catalogue, folder = case
    ready = prepare(catalogue, folder / "prepared", workers=0)
    assert set(ready.images["image_id"]) == set(catalogue.images["image_id"])
    located = ready.lesions.set_index("lesion_id")["code"] > 0
    without = {path == "" for path in catalogue.lesions["mask_path"]}
    assert without == {True, False}
    assert not located[
        catalogue.lesions.loc[catalogue.lesions["mask_path"] == "", "lesion_id"]
    ].any()
    assert located.mean() > 0.9

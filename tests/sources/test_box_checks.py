"""Boxes that were read in another way than they were written, in sets of any number."""

from __future__ import annotations

import numpy as np
import pytest
from second_look.decoding.pixels import write_png
from second_look.errors import DataError
from second_look.sources.folder import read_folder

BOX = ["row_min", "col_min", "row_max", "col_max"]
SHAPE = (80, 60)
LESIONS = np.array([[50, 10, 62, 20], [30, 40, 40, 52], [60, 30, 76, 42], [20, 45, 28, 55]])


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    for number, (top, left, bottom, right) in enumerate(LESIONS):
        write_png(tmp_path / f"{number}.png", rng.integers(0, 250, SHAPE, dtype=np.uint8))
        mask = np.zeros(SHAPE, dtype=np.uint8)
        mask[top:bottom, left:right] = 255
        write_png(tmp_path / f"m{number}.png", mask)
    return tmp_path


def read(folder, boxes, *, masks=True, count=4, **options):
    rows = ["path,patient,label,mask,boxes"]
    for number, box in list(enumerate(boxes))[:count]:
        mask = f"m{number}.png" if masks else ""
        rows.append(f'{number}.png,p{number},benign,{mask},"{",".join(map(str, box))}"')
    (folder / "t.csv").write_text("\n".join(rows))
    return read_folder(folder / "t.csv", folder, dataset="own", **options)


@pytest.mark.parametrize("count", [1, 2, 4])
@pytest.mark.parametrize(
    ("boxes", "problem"),
    [
        (LESIONS[:, [1, 0, 3, 2]], r"(fit|agree) as .*xyxy"),
        (LESIONS * 0.5, "2 times as large they agree"),
        (LESIONS * 0.77, "1.3 times as large they agree"),
    ],
)
def test_masks_show_that_boxes_are_read_wrongly_at_any_number(folder, boxes, problem, count):
    with pytest.raises(DataError, match=problem):
        read(folder, boxes, count=count)


def test_masks_that_agree_or_cannot_be_read_are_no_sign_against_boxes(folder):
    assert read(folder, LESIONS).quarantine.empty
    write_png(folder / "m0.png", np.zeros(SHAPE, dtype=np.uint8))
    write_png(folder / "m1.png", np.pad(np.ones((70, 50), dtype=np.uint8), 5))
    assert read(folder, LESIONS).lesions[BOX].to_numpy().tolist() == LESIONS.tolist()


def test_masks_of_which_most_lie_elsewhere_are_an_error_and_a_single_one_is_not(folder):
    write_png(folder / "m0.png", np.eye(*SHAPE, k=-20, dtype=np.uint8)[::-1].copy())
    assert len(read(folder, LESIONS).lesions) == 4
    for number in (1, 2):
        write_png(folder / f"m{number}.png", np.pad(np.ones((8, 8), dtype=np.uint8), (0, 52))[:80])
        mask = np.zeros(SHAPE, dtype=np.uint8)
        mask[2:8, 2:8] = 1
        write_png(folder / f"m{number}.png", mask)
    with pytest.raises(DataError, match=r"of 4 masks that were compared lie elsewhere .*mask: ''"):
        read(folder, LESIONS)
    assert len(read(folder, LESIONS, columns={"mask": ""}).lesions) == 4


@pytest.mark.parametrize("count", [2, 4])
def test_boxes_that_run_out_of_the_picture_are_a_sign_at_any_number(folder, count):
    with pytest.raises(DataError, match="images of another size"):
        read(folder, LESIONS * 1.3, masks=False, count=count)


def test_boxes_in_shares_of_the_picture_are_told_as_that(folder):
    with pytest.raises(DataError, match=r"4 boxes lie between 0 and 1: .* shares of the images"):
        read(folder, LESIONS / 80, masks=False)


def test_a_good_mask_beside_an_unusable_box_is_used(folder):
    boxes = LESIONS.astype(object)
    boxes[0] = ("a", "b", "c", "d")
    catalogue = read(folder, boxes)
    assert catalogue.lesions["mask_path"].str.endswith("m0.png").tolist()[0]
    (row,) = catalogue.quarantine.to_dict("records")
    assert row["effect"] == "kept, corrected"
    assert row["reason"].endswith("its mask is used")


@pytest.mark.parametrize(
    ("largest", "masks", "refused"), [(0.84, False, False), (0.6, False, True), (0.6, True, False)]
)
def test_many_boxes_may_all_end_before_the_air_and_masks_prove_their_size(
    tmp_path, largest, masks, refused
):
    rng = np.random.default_rng(0)
    rows = ["path,patient,label,mask,boxes"]
    for number in range(40):
        write_png(tmp_path / f"{number}.png", rng.integers(0, 250, SHAPE, dtype=np.uint8))
        bottom, right = (np.array(SHAPE) * rng.uniform(0.3, largest, 2)).astype(int)
        mask = np.zeros(SHAPE, dtype=np.uint8)
        mask[bottom - 8 : bottom, right - 8 : right] = 255
        write_png(tmp_path / f"m{number}.png", mask)
        box = f"{bottom - 8},{right - 8},{bottom},{right}"
        rows.append(f'{number}.png,p{number},benign,{f"m{number}.png" if masks else ""},"{box}"')
    (tmp_path / "t.csv").write_text("\n".join(rows))
    if refused:
        with pytest.raises(DataError, match="images of another size"):
            read_folder(tmp_path / "t.csv", tmp_path, dataset="own")
    else:
        assert len(read_folder(tmp_path / "t.csv", tmp_path, dataset="own").lesions) == 40

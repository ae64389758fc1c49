"""Pictures of any kind in, answers in the pixels of their files out: known networks as oracles."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from helpers.small_dicom import file as dicom_file
from helpers.small_published import (
    COLS,
    ROWS,
    SHARES,
    drawn_breast,
    known_classifier,
    known_detector,
    png,
)
from second_look.errors import DataError, ParameterError
from second_look.evaluation.detection_tables import BOX
from second_look.published.answer_files import in_words, write_answer
from second_look.published.answers import Answer, answer, mask_in_file
from second_look.published.card import DISCLAIMER
from second_look.published.mammograms import Acquisition, Mammograms, read_mammograms

# In the frame of 64 px of the detector.
BOX_IN_FRAME = (4.0, 10.0, 20.0, 30.0)


def read(tmp_path: Path, *paths: Path, **acquisition: object) -> Mammograms:
    return read_mammograms(paths, tmp_path / "prepared", Acquisition(**acquisition))


def boxes(result: Answer) -> np.ndarray:
    return np.array([image.lesions[list(BOX)].iloc[0] for image in result.images], dtype=float)


def test_a_score_becomes_a_probability(tmp_path: Path) -> None:
    mammograms = read(tmp_path, png(tmp_path / "a.png", drawn_breast()))
    result = answer(mammograms, {"image": known_classifier()}, prevalence=0.01)
    chance = result.images[0].chance
    assert chance is not None
    assert chance.score == pytest.approx(SHARES[3], abs=1e-6)
    # Platt with slope 1 and offset 0 changes nothing; Bayes moves 25 % to 1 %.
    odds = SHARES[3] / (1 - SHARES[3]) * (0.01 / 0.99) / (0.25 / 0.75)
    assert chance.probability == pytest.approx(odds / (1 + odds), rel=1e-4)
    assert chance.prevalence == 0.01
    assert chance.reached == {"sensitivity 90%": True, "Youden": False}


def test_views_of_a_breast_are_averaged_where_its_side_is_known(tmp_path: Path) -> None:
    paths = [png(tmp_path / f"{name}.png", drawn_breast()) for name in ("a", "b")]
    result = answer(read(tmp_path, *paths, sides=["L"]), {"image": known_classifier()})
    assert list(result.breasts) == ["L"]
    assert result.breasts["L"].score == pytest.approx(SHARES[3], abs=1e-6)
    assert answer(read(tmp_path, *paths), {"image": known_classifier()}).breasts == {}


def test_a_box_of_a_mirrored_breast_is_the_mirrored_box(tmp_path: Path) -> None:
    paths = [png(tmp_path / f"{s}.png", drawn_breast(side=s)) for s in ("L", "R")]
    result = answer(read(tmp_path, *paths), {"detector": known_detector(BOX_IN_FRAME)})
    (left, right) = boxes(result)
    assert right == pytest.approx([left[0], COLS - left[3], left[2], COLS - left[1]])
    masks = [mask_in_file(image.lesions.iloc[0].to_dict(), (ROWS, COLS)) for image in result.images]
    assert masks[0].sum() == pytest.approx(
        0.25 * (left[2] - left[0]) * (left[3] - left[1]), rel=0.1
    )
    assert np.mean(masks[1] == masks[0][:, ::-1]) > 0.998


def test_a_box_goes_back_through_scale_and_crop(tmp_path: Path) -> None:
    mammograms = read(tmp_path, png(tmp_path / "a.png", drawn_breast()))
    row = mammograms.data.prepared.images.iloc[0]
    factor = min(64 / row["rows"], 64 / row["cols"])
    x_min, y_min, x_max, y_max = np.array(BOX_IN_FRAME) / factor
    offset = row["row_offset"], row["col_offset"]
    expected = [y_min + offset[0], x_min + offset[1], y_max + offset[0], x_max + offset[1]]
    (box,) = boxes(answer(mammograms, {"detector": known_detector(BOX_IN_FRAME)}))
    assert box == pytest.approx(expected, rel=0.02)


def test_oblong_pixels_of_a_file_get_boxes_in_its_own_pixels(tmp_path: Path) -> None:
    pixels = drawn_breast().astype(np.uint16) * 16
    square = dicom_file(tmp_path / "a.dcm", pixels, bits=12, PixelSpacing=[0.5, 0.5])
    narrow = dicom_file(tmp_path / "b.dcm", pixels[:, ::2], bits=12, PixelSpacing=[0.5, 1.0])
    result = answer(read(tmp_path, square, narrow), {"detector": known_detector(BOX_IN_FRAME)})
    (wide_box, narrow_box) = boxes(result)
    assert narrow_box == pytest.approx(wide_box * [1, 0.5, 1, 0.5], abs=4)


def test_a_file_that_cannot_be_read_is_reported_and_the_others_go_on(tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_bytes(b"no picture")
    good = png(tmp_path / "a.png", drawn_breast())
    mammograms = read(tmp_path, tmp_path / "broken.png", good, tmp_path / "missing.dcm")
    assert mammograms.image_ids == ["a"]
    assert [part.file.name for part in mammograms.refused] == ["broken.png", "missing.dcm"]
    assert "expected PGM" in mammograms.refused[0].reason
    with pytest.raises(DataError, match=r"no picture can be used: .*broken\.png"):
        read(tmp_path, tmp_path / "broken.png")


@pytest.mark.parametrize(
    ("tags", "reason"),
    [
        ({"EstimatedRadiographicMagnificationFactor": 1.8}, "magnification"),
        ({"SeriesDescription": "Specimen"}, "specimen"),
        ({"PresentationIntentType": "FOR PROCESSING"}, "for processing"),
    ],
)
def test_what_no_model_has_seen_is_refused(tmp_path: Path, tags: dict, reason: str) -> None:
    pixels = drawn_breast().astype(np.uint16)
    good = png(tmp_path / "a.png", drawn_breast())
    special = dicom_file(tmp_path / "b.dcm", pixels, bits=8, **tags)
    (refused,) = read(tmp_path, good, special).refused
    assert reason in refused.reason


def test_too_few_pixels_are_refused_by_the_image_model(tmp_path: Path) -> None:
    mammograms = read(tmp_path, png(tmp_path / "a.png", drawn_breast()))
    model = known_classifier()
    large = replace(model.card, input={"rows": 1024.0, "cols": 768.0, "averaged": 0.0})
    image = answer(mammograms, {"image": replace(model, card=large)}).images[0]
    assert image.chance is None
    assert any("too few pixels" in text for text in image.warnings)


def test_another_acquisition_than_in_training_is_said(tmp_path: Path) -> None:
    pixels = drawn_breast().astype(np.uint16)
    paths = [
        dicom_file(tmp_path / "a.dcm", pixels, bits=8, Manufacturer="Acme"),
        dicom_file(tmp_path / "b.dcm", pixels, bits=8, ConversionType="DF"),
        png(tmp_path / "c.png", drawn_breast()),
    ]
    images = answer(read(tmp_path, *paths), {"image": known_classifier()}).images
    assert "a digital mammogram (Acme)" in images[0].warnings[0]
    assert images[1].warnings == ()
    assert "does not say how it was acquired" in images[2].warnings[0]


def test_sides_and_views_must_fit(tmp_path: Path) -> None:
    good = png(tmp_path / "a.png", drawn_breast())
    with pytest.raises(ParameterError, match=r"one side for all pictures or one each, 1\. Got 2"):
        read(tmp_path, good, sides=["L", "R"])
    with pytest.raises(ParameterError, match="a view is one of"):
        read(tmp_path, good, views=["oblique"])


def test_a_heat_map_needs_the_size_of_a_pixel(tmp_path: Path) -> None:
    good = png(tmp_path / "a.png", drawn_breast())
    models = {"patch": known_classifier("patch")}
    unknown = answer(read(tmp_path, good), models).images[0]
    assert unknown.heat is None
    assert any("--pixel-size" in text for text in unknown.warnings)
    measured = answer(read(tmp_path, good, pixel_size_mm=0.5), models).images[0]
    assert measured.heat is not None
    in_breast = measured.heat.scores[np.isfinite(measured.heat.scores)]
    assert in_breast == pytest.approx(SHARES[3], abs=1e-4)
    assert measured.heat.scores.shape == (ROWS, COLS)


def test_two_files_of_one_name_stay_apart(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    paths = [png(folder / "a.png", drawn_breast()) for folder in (tmp_path, tmp_path / "x")]
    assert read(tmp_path, *paths).image_ids == ["a", "a_2"]


def test_files_of_an_answer_say_that_it_is_no_diagnosis(tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_bytes(b"no picture")
    mammograms = read(tmp_path, png(tmp_path / "a.png", drawn_breast()), tmp_path / "broken.png")
    models = {"image": known_classifier(), "detector": known_detector(BOX_IN_FRAME)}
    result = answer(mammograms, models)
    files = write_answer(tmp_path / "out", result, models)
    assert [path.name for path in files] == ["answer.json", "images.csv", "lesions.csv", "a.png"]
    content = json.loads(files[0].read_text())
    assert content["disclaimer"] == DISCLAIMER
    assert content["images"][0]["score"] == pytest.approx(SHARES[3], abs=1e-6)
    assert content["images"][0]["lesions"][0]["score"] == pytest.approx(0.9)
    assert content["images"][0]["lesions"][0]["malignant"] == pytest.approx(0.8)
    assert [part["file"] for part in content["refused"]] == [str(tmp_path / "broken.png")]
    assert (pd.read_csv(files[1])["note"] == DISCLAIMER).all()
    assert (pd.read_csv(files[2])["note"] == DISCLAIMER).all()
    lines = in_words(result)
    assert lines[0] == DISCLAIMER
    assert "1 lesion marked" in lines[1]
    assert "refused" in lines[-1]

"""Masks that look wrong are reported, and pictures of no whole breast are left out and said."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.small_dicom import file
from second_look.catalogue import Catalogue
from second_look.decoding.pixels import write_png
from second_look.errors import DataError
from second_look.phantoms import digital
from second_look.phantoms.phantom import PhantomSettings, draw_image, plan_patient
from second_look.preparing.breast import find_breast
from second_look.preparing.mask_checks import mask_doubt, special_shape
from second_look.preparing.prepare import prepare
from second_look.quarantine import Code

SETTINGS = PhantomSettings(patients=1, rows=256, cols=208, bits=12, seed=3)


def drawn(form, side=0):
    return digital.draw_digital(SETTINGS, plan_patient(SETTINGS, 0)[side], "CC", form)


def row(path, image_id, view="CC"):
    base = {"image_id": image_id, "dataset": "d", "patient_id": image_id, "bits": 12}
    return base | {"rows": 256, "cols": 208, "label": "normal", "view": view, "path": str(path)}


@pytest.mark.parametrize("form", digital.WHOLE)
def test_nothing_is_wrong_with_a_whole_breast(form):
    pixels = drawn(form).pixels
    mask = find_breast(pixels)
    assert mask_doubt(pixels, mask) == ""
    assert special_shape(pixels, mask) == ""


def test_an_edge_through_tissue_is_reported():
    image = drawn("implant")
    # What Otsu's threshold took for the breast: the bright implant and what is dense.
    assert "runs through tissue" in mask_doubt(image.pixels, image.pixels > 1500)


def test_an_oddly_small_mask_is_reported():
    pixels = drawn("plain").pixels
    mask = np.zeros(pixels.shape, dtype=bool)
    mask[100:140, :30] = True
    assert mask_doubt(pixels, mask) == "the breast covers only 2.3% of the picture"


@pytest.mark.parametrize("side", [0, 1])
def test_a_specimen_is_told_by_its_shape(side):
    image = drawn("specimen", side)
    assert "specimen" in special_shape(image.pixels, find_breast(image.pixels))
    # On film, whose air is not black, shapes say nothing: chest walls end anywhere on it.
    noise = np.random.default_rng(0).integers(0, 400, image.pixels.shape, dtype=np.uint16)
    assert special_shape(image.pixels + noise, image.breast) == ""


@pytest.mark.parametrize("side", [0, 1])
def test_a_collimated_spot_view_is_told_by_its_shape_and_a_film_on_padding_is_none(side):
    pixels = drawn("spot", side).pixels
    assert "spot view" in special_shape(pixels, find_breast(pixels))
    film = draw_image(SETTINGS, plan_patient(SETTINGS, 0)[side], "CC").pixels
    padded = np.pad(np.maximum(film, 200), 40)
    assert special_shape(padded, find_breast(padded)) == ""


def test_views_that_show_no_whole_breast_are_left_out_and_said(tmp_path):
    plain, magnified = drawn("plain").pixels, drawn("magnification").pixels
    write_png(tmp_path / "specimen.png", drawn("specimen").pixels)
    write_png(tmp_path / "plain.png", plain)
    orientation = ["R", "P"]  # as a stereo spot has it
    rows = [
        row(file(tmp_path / "a.dcm", plain, PatientOrientation=["P", "L"]), "standard"),
        row(tmp_path / "plain.png", "standard too"),
        row(file(tmp_path / "b.dcm", plain, PatientOrientation=orientation), "stereo"),
        row(
            file(tmp_path / "c.dcm", magnified, EstimatedRadiographicMagnificationFactor=1.8),
            "magnified",
        ),
        row(file(tmp_path / "d.dcm", plain, PaddleDescription="SPOT"), "spot"),
        row(tmp_path / "plain.png", "spot by the table", "CC spot"),
        row(tmp_path / "specimen.png", "specimen"),
    ]
    catalogue = Catalogue.from_rows(rows)
    prepared = prepare(catalogue, tmp_path / "out", workers=0)
    assert list(prepared.images["image_id"]) == ["standard", "standard too"]
    left_out = prepared.quarantine.set_index("image_id")
    assert set(left_out["code"]) == {Code.VIEW_SPECIAL}
    assert set(left_out["effect"]) == {"image left out"}
    reasons = left_out["reason"]
    assert "chest wall" in reasons["stereo"]
    assert "factor of 1.8" in reasons["magnified"]
    assert "PaddleDescription" in reasons["spot"]
    assert "spot" in reasons["spot by the table"]
    assert "by its shape" in reasons["specimen"]
    with pytest.raises(DataError, match="chest wall"):
        prepare(catalogue, tmp_path / "out", workers=0, strict=True)


def test_a_doubtful_mask_is_in_the_quarantine_and_the_image_is_used(tmp_path):
    # A magnified breast that fills the picture without air, and a header that does not say so.
    write_png(tmp_path / "a.png", drawn("magnification", side=1).pixels[64:192, 20:124])
    image = row(tmp_path / "a.png", "a") | {"rows": 128, "cols": 104}
    prepared = prepare(Catalogue.from_rows([image]), tmp_path / "out", workers=0)
    assert list(prepared.images["image_id"]) == ["a"]
    (doubt,) = prepared.quarantine.to_dict("records")
    assert doubt["code"] == Code.BREAST_UNCERTAIN
    assert doubt["effect"] == "kept, mask uncertain"
    assert "runs through tissue" in doubt["reason"]

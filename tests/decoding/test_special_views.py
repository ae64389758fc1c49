"""Headers as devices write them: which pictures show no whole breast in a standard view."""

from __future__ import annotations

import re

import numpy as np
import pytest
from helpers.small_dicom import file
from pydicom.dataset import Dataset
from second_look.decoding.pixels import read_header
from second_look.decoding.special_views import special_view_name

PIXELS = np.arange(64 * 48, dtype=np.uint16).reshape(64, 48)
STANDARD = {
    "ImageLaterality": "L",
    "ViewPosition": "CC",
    "PatientOrientation": ["A", "R"],
    "PaddleDescription": "24X29CM",
    "EstimatedRadiographicMagnificationFactor": 1.07,
    "SeriesDescription": "L CC",
    "ImageType": ["ORIGINAL", "PRIMARY", ""],
}


def item(**tags):
    data = Dataset()
    for name, value in tags.items():
        setattr(data, name, value)
    return data


def view_code(code, *modifiers):
    items = [item(CodeValue=modifier, CodingSchemeDesignator="SCT") for modifier in modifiers]
    view = item(CodeValue=code, CodingSchemeDesignator="SCT")
    view.ViewModifierCodeSequence = items
    return {"ViewCodeSequence": [view]}


@pytest.mark.parametrize(
    ("tags", "reason"),
    [
        (view_code("399162004", "399055006"), "spot compression"),
        (view_code("399162004", "399163009", "399055006"), "magnification"),
        (view_code("127457009"), "specimen"),
        ({"EstimatedRadiographicMagnificationFactor": 1.8}, "factor of 1.8"),
        ({"PaddleDescription": "SPOT_CONTACT"}, "spot compression, by PaddleDescription"),
        ({"PaddleDescription": "10CM MAG"}, "magnification, by PaddleDescription"),
        ({"PaddleDescription": "BIOPSY 9X9"}, "stereo view"),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "STEREO_SCOUT"]}, "stereo view, by ImageType"),
        ({"SeriesDescription": "L ML scout"}, "scout"),
        ({"SeriesDescription": "Specimen 1"}, "specimen"),
        ({"SeriesDescription": "Needle localization"}, "localisation"),
        ({"ViewPosition": "MCC"}, "magnification, by ViewPosition"),
        # A stereo spot by Siemens: it was taken for a left breast.
        ({"PatientOrientation": ["R", "P"], "ImageLaterality": "R"}, r"chest wall .* \(R\\P\)"),
        ({"SpecimenDescriptionSequence": [item(SpecimenIdentifier="1")]}, "specimen"),
    ],
)
def test_what_a_header_says_of_a_special_view_is_read(tmp_path, tags, reason):
    special = read_header(file(tmp_path / "a.dcm", PIXELS, **STANDARD | tags)).special_view
    assert special
    assert re.search(reason, special)


@pytest.mark.parametrize(
    "tags",
    [
        {},
        view_code("399368009"),
        view_code("399192008"),
        # Whole breasts: an implant pushed back, a rolled breast, the axillary tail with it.
        view_code("399162004", "399209000"),
        view_code("399162004", "399197002"),
        {"PatientOrientation": ["P", "FL"]},
        {"PatientOrientation": ["AR", "FR"]},
        {"PatientOrientation": "CC"},  # as CBIS-DDSM writes it
        {"PatientOrientation": ""},
        {"EstimatedRadiographicMagnificationFactor": ""},
        {"ViewPosition": "MLO", "SeriesDescription": "R MLO C-View image, post biopsy"},
        {"PaddleDescription": "", "SeriesDescription": "ML LM LMO XCCL FB"},
        {"ImageType": ["DERIVED", "PRIMARY", "LOW_ENERGY", "LEFT"]},
    ],
)
def test_standard_views_are_none(tmp_path, tags):
    assert read_header(file(tmp_path / "a.dcm", PIXELS, **STANDARD | tags)).special_view == ""


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("CC", ""),
        ("MLO", ""),
        ("CC spot", "spot compression"),
        ("LMLO_MAG", "magnification"),
        ("stereo", "stereo view"),
        ("", ""),
    ],
)
def test_names_of_views_in_tables(text, kind):
    assert special_view_name(text) == kind

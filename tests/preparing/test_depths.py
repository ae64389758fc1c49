"""12-bit levels in files of 16 bits are as bright as in files that say so."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from helpers.small_dicom import file
from second_look.batches.pictures import fit
from second_look.decoding.pixels import read_pixels, write_png
from second_look.errors import DataError, LostRowsError
from second_look.phantoms.phantom import PhantomSettings, draw_image, plan_patient
from second_look.preparing.depths import with_depths
from second_look.preparing.image import read_original
from second_look.preparing.prepare import prepare
from second_look.sources.folder import read_folder


@pytest.fixture(scope="module")
def mixed(tmp_path_factory):
    """One mammogram of 12 bits, as a PNG of 16 and as DICOM, and a darker one as a PNG."""
    folder = tmp_path_factory.mktemp("mixed")
    settings = PhantomSettings(patients=1, rows=256, cols=208, bits=12, seed=0)
    pixels = draw_image(settings, plan_patient(settings, 0)[0], "CC").pixels
    assert 2048 <= pixels.max() < 4096
    write_png(folder / "a.png", pixels)
    file(folder / "b.dcm", pixels, bits=12)
    write_png(folder / "c.png", pixels // 2)
    return folder


def prepared_of(folder, text, **settings):
    (folder / "t.csv").write_text(text)
    catalogue = read_folder(folder / "t.csv", folder, dataset="mixed", **settings)
    return prepare(catalogue, folder / "prepared", workers=0)


TABLE = "path,patient,label\na.png,a,normal\nb.dcm,b,normal\nc.png,c,normal\n"


def mean_levels(prepared):
    """Mean of what a network is fed."""
    return [
        fit(prepared.pixels(image.image_id), bits=image.bits, size=(64, 64)).mean()
        for image in prepared.images.itertuples()
    ]


def test_png_and_dicom_of_one_set_are_as_bright_and_it_is_said(mixed):
    prepared = prepared_of(mixed, TABLE)
    assert prepared.images["bits"].tolist() == [12, 12, 12]
    first, second, dimmer = mean_levels(prepared)
    assert first == second > 1000
    # The depth is that of the set: a dim picture stays dim.
    assert dimmer == pytest.approx(first / 2, rel=0.02)
    (row,) = prepared.quarantine.itertuples()
    assert (row.code, row.effect) == ("depth_found", "kept, corrected")
    assert row.reason.startswith("2 files of 16 bits hold levels up to ")


def test_a_stated_depth_counts_and_pictures_that_are_dim_then_are_listed(mixed):
    prepared = prepared_of(mixed, TABLE, bits=16)
    assert prepared.images["bits"].tolist() == [16, 12, 16]
    assert prepared.quarantine["code"].tolist() == ["few_levels"] * 2
    assert prepared.quarantine["image_id"].tolist() == ["a", "c"]
    assert (
        prepared.quarantine["reason"]
        .str.contains("12 in a PNG or TIFF of 16, give them as bits")
        .all()
    )
    column = TABLE.replace("label\n", "label,bits\n").replace("normal\nb", "normal,13\nb")
    column = column.replace("b,normal", "b,normal,").replace("c,normal", "c,normal,12")
    assert prepared_of(mixed, column).images["bits"].tolist() == [13, 12, 12]


def test_every_set_has_its_own_depth():
    images = pd.DataFrame(
        {
            "image_id": list("abcd"),
            "bits": [0, 0, 0, 8],
            "brightest": [1000, 9000, 900, 255],
        }
    )
    settled, rows = with_depths(images, ["p", "p", "q", "q"], list("abcd"))
    assert settled["bits"].tolist() == [14, 14, 10, 8]
    assert [(row["dataset"], row["code"]) for row in rows] == [
        ("p", "depth_found"),
        ("p", "few_levels"),
        ("q", "depth_found"),
    ]
    assert with_depths(images.assign(brightest=np.int64(40_000)), ["p"] * 4, list("abcd"))[0][
        "bits"
    ].tolist() == [16, 16, 16, 8]


def test_levels_beyond_the_bits_are_not_believed(mixed):
    wrong = TABLE.replace("label\n", "label,bits\n").replace("a,normal", "a,normal,10")
    wrong = wrong.replace("b,normal", "b,normal,").replace("c,normal", "c,normal,12")
    prepared = prepared_of(mixed, wrong)
    assert prepared.images["image_id"].tolist() == ["b", "c"]
    (row,) = prepared.quarantine.to_dict("records")
    assert (row["code"], row["effect"]) == ("bits_exceeded", "image left out")
    assert row["file"].endswith("a.png")
    highest = int(read_pixels(mixed / "a.png").max())
    assert f"levels go up to {highest}, but 10 bits end at 1023: give at least 12" in row["reason"]


def test_a_set_whose_bits_are_too_few_is_an_error_that_names_file_level_and_remedy(mixed):
    with pytest.raises(LostRowsError, match=r"2 of 3 .*a\.png: its levels go .* Set bits .* to 0"):
        prepared_of(mixed, TABLE, bits=10)


def test_too_few_bits_of_a_negative_are_not_cut_off(tmp_path):
    write_png(tmp_path / "n.png", np.tile(np.arange(4096, dtype=np.uint16), (8, 1)))
    image = {"path": tmp_path / "n.png", "rows": 8, "cols": 4096, "photometric": "MONOCHROME1"}
    assert read_original(image | {"bits": 12}).max() == 4095
    with pytest.raises(DataError, match="levels go up to 4095, but 10 bits end at 1023"):
        read_original(image | {"bits": 10})

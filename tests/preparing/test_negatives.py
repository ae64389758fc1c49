"""Pictures whose air is white: noticed, left out, or read as what they are where the table says."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import tifffile
from helpers.small_dicom import file
from helpers.small_mammograms import small_settings
from scipy.ndimage import gaussian_filter
from second_look.decoding.pixels import read_pixels, write_png
from second_look.errors import DataError
from second_look.phantoms.phantom import PhantomSettings, draw_image, plan_patient
from second_look.preparing.dataset import build_dataset
from second_look.preparing.image import read_original
from second_look.preparing.mask_checks import negative_doubt
from second_look.preparing.prepare import prepare
from second_look.quarantine import Code
from second_look.sources.folder import read_folder


@pytest.fixture(scope="module")
def mammograms():
    """Four phantoms, 8 bit."""
    settings = PhantomSettings(patients=2, rows=256, cols=208, bits=8, seed=2)
    breasts = [breast for patient in range(2) for breast in plan_patient(settings, patient)]
    return [draw_image(settings, breast, "CC").pixels for breast in breasts]


def written(root, mammograms, negatives):
    """A folder with a table; the pictures with these numbers are negatives."""
    rows = ["path,patient,label,split"]
    for number, pixels in enumerate(mammograms):
        write_png(root / f"{number}.png", 255 - pixels if number in negatives else pixels)
        rows.append(f"{number}.png,p{number},normal,train")
    (root / "t.csv").write_text("\n".join(rows))
    return root / "t.csv"


def test_a_single_negative_is_left_out_and_said(tmp_path, mammograms):
    table = written(tmp_path, mammograms, {2})
    prepared = prepare(read_folder(table, tmp_path, dataset="own"), tmp_path / "out", workers=0)
    assert list(prepared.images["image_id"]) == ["0", "1", "3"]
    (row,) = prepared.quarantine.to_dict("records")
    assert (row["image_id"], row["effect"], row["code"]) == ("2", "image left out", Code.NEGATIVE)
    assert "looks like a negative" in row["reason"]


def test_a_whole_set_of_negatives_is_an_error_that_names_the_remedy(tmp_path, mammograms):
    written(tmp_path, mammograms, range(4))
    settings = small_settings(source="folder", data_root=str(tmp_path), table="t.csv")
    with pytest.raises(DataError, match=r"4 of 4 .* Set photometric to MONOCHROME1") as error:
        build_dataset(tmp_path / "out", settings, workers=0)
    assert "quarantine.csv" in str(error.value)
    assert (tmp_path / "out" / "dataset" / "quarantine.csv").read_text().count("a negative") == 4


def test_negatives_that_are_said_to_be_some_are_read_as_what_they_show(tmp_path, mammograms):
    table = written(tmp_path, mammograms, range(4))
    catalogue = read_folder(table, tmp_path, dataset="own", photometric="MONOCHROME1")
    for image, pixels in zip(catalogue.images.to_dict("records"), mammograms, strict=True):
        np.testing.assert_array_equal(read_original(image), pixels)
    prepared = prepare(catalogue, tmp_path / "out", workers=0)
    assert (len(prepared.images), len(prepared.quarantine)) == (4, 0)


def test_a_column_says_it_of_single_pictures(tmp_path):
    pixels = np.tile(np.arange(40, dtype=np.uint8), (40, 1))
    write_png(tmp_path / "a.png", pixels)
    write_png(tmp_path / "b.png", pixels)
    write_png(tmp_path / "c.png", pixels.astype(np.uint16))
    file(tmp_path / "d.dcm", pixels, PhotometricInterpretation="MONOCHROME1")
    (tmp_path / "t.csv").write_text(
        "path,patient,label,photometric\na.png,p,normal,monochrome1\nb.png,q,normal,negative\n"
        "c.png,r,normal,MONOCHROME1\nd.dcm,s,normal,MONOCHROME1\n"
    )
    catalogue = read_folder(tmp_path / "t.csv", tmp_path, dataset="own")
    # A DICOM file says so itself: what it holds is not turned round twice.
    assert catalogue.images.set_index("image_id")["photometric"].to_dict() == {
        "a": "MONOCHROME1",
        "c": "MONOCHROME1",
        "d": "",
    }
    reasons = " ".join(catalogue.quarantine["reason"])
    assert "MONOCHROME1 or MONOCHROME2 as photometric. Got 'negative'" in reasons


def of_16_bits(folder, mammograms, stored, *, ending="png"):
    """A table of pictures as `stored` makes them of levels of 12 bits."""
    rows = ["path,patient,label,split"]
    for number, pixels in enumerate(mammograms):
        path = folder / f"{number}.{ending}"
        levels = stored(pixels.astype(np.uint16) * 16)
        if ending == "tif":
            tifffile.imwrite(path, levels, photometric="miniswhite")
        else:
            write_png(path, levels)
        rows.append(f"{path.name},p{number},normal,train")
    (folder / "t.csv").write_text("\n".join(rows))
    return small_settings(source="folder", data_root=str(folder), table="t.csv")


def assert_read_as(data, mammograms):
    assert set(data.prepared.images["bits"]) == set(data.catalogue.images["bits"]) == {12}
    for image, pixels in zip(data.catalogue.images.to_dict("records"), mammograms, strict=True):
        np.testing.assert_array_equal(read_original(image), pixels.astype(np.uint16) * 16)


def test_the_advice_for_negatives_of_12_bits_in_16_can_be_followed(tmp_path, mammograms):
    settings = of_16_bits(tmp_path, mammograms, lambda levels: 4095 - levels)
    with pytest.raises(DataError, match="Set photometric to MONOCHROME1"):
        build_dataset(tmp_path / "out", settings, workers=0)
    advised = replace(settings, photometric="MONOCHROME1")
    data = build_dataset(tmp_path / "out", advised, workers=0)
    assert_read_as(data, mammograms)
    (row,) = data.catalogue.quarantine.to_dict("records")
    assert row["code"] == Code.DEPTH_FOUND
    assert "they count as 12 bits" in row["reason"]


def test_positives_that_are_said_to_be_negatives_are_told_the_other_way(tmp_path, mammograms):
    settings = of_16_bits(tmp_path, mammograms, lambda levels: levels)
    wrong = replace(settings, photometric="MONOCHROME1", bits=12)
    with pytest.raises(DataError, match="Set photometric to MONOCHROME2"):
        build_dataset(tmp_path / "out", wrong, workers=0)


@pytest.mark.parametrize("bits", [0, 12])
def test_a_tiff_whose_lowest_level_is_white_is_turned_round_about_its_depth(
    tmp_path, mammograms, bits
):
    settings = of_16_bits(tmp_path, mammograms, lambda levels: 4095 - levels, ending="tif")
    data = build_dataset(tmp_path / "out", replace(settings, bits=bits), workers=0)
    assert_read_as(data, mammograms)
    assert data.prepared.images["brightest"].max() < 4096


def test_white_tissue_that_fills_a_picture_with_a_dark_corner_is_no_negative():
    rows, cols = np.mgrid[:600, :500]
    texture = gaussian_filter(np.random.default_rng(0).normal(size=rows.shape), 8)
    tissue = np.clip(210 + 15 * texture / texture.std(), 0, 255)
    pixels = np.where(rows + cols < 1000, tissue, 0).astype(np.uint8)
    assert negative_doubt(pixels) == ""
    assert "even as air is" in negative_doubt(np.where(rows + cols < 600, 250, pixels // 2))


@pytest.mark.real_data
@pytest.mark.slow
def test_every_real_negative_is_noticed_and_no_real_mammogram_accused(cbis_mass_folder):
    films = sorted(cbis_mass_folder.glob("*/images/*.jpg"))[::8]
    digital = cbis_mass_folder.parent / "cesm-cc-87" / "images"
    paths = [*films, *sorted(digital.iterdir())] if digital.is_dir() else films
    assert len(films) == 199
    for path in paths:
        pixels = read_pixels(path)
        assert negative_doubt(pixels) == "", path
        assert negative_doubt(255 - pixels), path

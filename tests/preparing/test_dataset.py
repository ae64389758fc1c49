"""From parameters to prepared images, and the numbers and pictures that notebooks show of them."""

from __future__ import annotations

import shutil
from dataclasses import asdict, replace
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from helpers.small_cbis import Roi, write_csvs
from helpers.small_mammograms import small_settings
from second_look.batches.sampler import PATCHES, PatchSampler
from second_look.catalogue import LABELS, Catalogue, split_counts
from second_look.decoding.pixels import write_png
from second_look.errors import (
    DataError,
    LeakageError,
    MissingDataError,
    NotApplicableError,
    OutputError,
    ParameterError,
)
from second_look.evaluation.intervals import LEAST_FOR_MEAN
from second_look.figures import data_survey as draw_survey
from second_look.figures import patching as draw_patching
from second_look.figures import style
from second_look.outputs import load_results, open_run
from second_look.phantoms.cbis import write_cbis_layout
from second_look.phantoms.ddsm import write_ddsm_layout
from second_look.phantoms.files import write_folder_layout, write_mias_layout
from second_look.phantoms.forms import FORMS
from second_look.phantoms.phantom import PhantomSettings
from second_look.preparing import dataset as ds
from second_look.preparing import reading, views
from second_look.preparing.dataset import LAB_SETTINGS, LAB_WORKERS, build_dataset, open_dataset
from second_look.preparing.patches import HALF_RULE, window_table
from second_look.preparing.splits import check_every_class, later_notebooks
from second_look.quarantine import Code
from second_look.running.parameters import read_cell
from second_look.sources.cbis_descriptions import survey_descriptions
from second_look.studies.survey import data_survey, survey_claims
from second_look.studies.survey import patching as patching_study

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
FAULTY = small_settings(
    phantom_form="cbis_nbia", phantom_faults=True, patients=48, image_rows=256, image_cols=208,
    seed=1,
)  # fmt: skip
RULE = HALF_RULE
# Which case each patient of the phantoms' CBIS-DDSM is.
CASES = "cbis,ddsm\n" + "".join(f"P_{number:05d},B_{number:04d}\n" for number in range(1, 9))


@pytest.fixture(scope="module")
def data(phantom_data):
    return phantom_data


@pytest.fixture(scope="module")
def windows(data):
    return patching_study.windows_by_stride(data, [16, 32, 64], size=64, size_mm=None, rule=RULE)


@pytest.fixture(autouse=True)
def close_figures():
    with plt.rc_context():  # the look of notebooks is not left to the tests that follow
        yield
    plt.close("all")


def test_what_the_lab_prepares_are_the_defaults_of_the_notebooks():
    cell = read_cell(NOTEBOOKS / "01_data_survey.ipynb")
    for name, value in asdict(LAB_SETTINGS).items():
        assert cell[name].default == value, name
    assert cell["workers"].default == LAB_WORKERS
    rule = read_cell(NOTEBOOKS / "02_patching.ipynb")
    for name, value in asdict(HALF_RULE).items():
        assert rule[name].default == value, name


def test_a_data_set_is_opened_as_it_was_built(data):
    again = open_dataset(data.folder.parent)
    pd.testing.assert_frame_equal(again.catalogue.images, data.catalogue.images)
    pd.testing.assert_frame_equal(again.prepared.images, data.prepared.images)
    assert again.synthetic
    assert again.name == "phantom"
    assert {path.name for path in again.files} >= {"images.parquet", "duplicates.parquet"}


def test_a_notebook_opened_alone_gets_the_default_phantoms(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(ds, "build_dataset", lambda *args, **options: asked.append((args, options)))
    open_dataset(tmp_path / "lab")
    assert asked == [((tmp_path / "lab", LAB_SETTINGS), {"workers": LAB_WORKERS})]
    # Under the name of a real set, phantoms would be mistaken for it.
    with pytest.raises(OutputError, match="run notebook 01_data_survey first"):
        open_dataset(tmp_path / "mias")


def test_the_data_root_is_found_by_parameter_then_variable(tmp_path, monkeypatch):
    monkeypatch.setenv(reading.DATA_VARIABLE, str(tmp_path))
    assert reading.find_data_root("") == tmp_path
    (tmp_path / "own").mkdir()
    assert reading.find_data_root(str(tmp_path / "own")) == tmp_path / "own"
    with pytest.raises(MissingDataError, match=reading.DATA_VARIABLE):
        reading.find_data_root(str(tmp_path / "none"))
    assert reading.data_locations(small_settings()) == []
    folder = small_settings(source="folder", table="own/t.csv")
    assert reading.data_locations(folder) == [tmp_path / "own"]


def test_own_folder_and_mias_layout_go_the_same_way(tmp_path):
    phantom = PhantomSettings(patients=16, rows=256, cols=208, seed=2)
    write_folder_layout(tmp_path / "data" / "mine", phantom)
    write_mias_layout(tmp_path / "data", phantom)
    root = {"data_root": str(tmp_path / "data"), "pixel_size_mm": 0.5}
    folder_settings = small_settings(
        source="folder", table="mine/images.csv", dataset="mine", **root
    )
    mine = build_dataset(tmp_path / "one", folder_settings, workers=0)
    assert (mine.name, mine.synthetic) == ("mine", False)
    # The table gives a pixel size, so the parameter is not needed.
    assert set(mine.catalogue.images["pixel_spacing_mm"]) == {0.8}
    mias = build_dataset(tmp_path / "two", small_settings(source="mias", **root), workers=0)
    assert mias.name == "mias"
    assert len(mias.catalogue.images) == 32


def test_whatever_stops_the_preparation_what_was_left_out_is_said_before(tmp_path):
    for name in "ab":
        write_png(tmp_path / f"{name}.png", np.full((20, 20), 7, dtype=np.uint8))
    (tmp_path / "broken.png").write_bytes(b"no picture")
    settings = small_settings(source="folder", table="t.csv", data_root=str(tmp_path), max_lost=1.0)
    table = "path,patient,label,split\nbroken.png,r,malignant,\na.png,p,benign,\n"
    for row, problem in (("b.png,q,normal,train", "have no split"), ("", "no image could be")):
        (tmp_path / "t.csv").write_text(f"{table}{row}\n")
        with pytest.raises(DataError, match=problem):
            build_dataset(tmp_path / "run", settings, workers=0)
        quarantine = pd.read_csv(tmp_path / "run" / "dataset" / ds.QUARANTINE_CSV)
        assert "broken" in quarantine["image_id"].tolist()
        (tmp_path / "run" / "dataset" / ds.QUARANTINE_CSV).unlink()


# The layouts of CBIS-DDSM go the same way but for their folders: all of them in the slow tests.
_SLOW_FORMS = {form for form in FORMS if form.startswith("cbis_")} - {"cbis_idc"}


def with_slow(forms):
    """The forms as parameters; some of the layouts of CBIS-DDSM are slow tests."""
    return [pytest.param(form, marks=[pytest.mark.slow] * (form in _SLOW_FORMS)) for form in forms]


@pytest.mark.parametrize("form", with_slow(FORMS))
def test_phantoms_in_every_form_are_read_as_phantoms(form, tmp_path):
    settings = small_settings(phantom_form=form, patients=8)
    catalogue = reading.read_source(settings, tmp_path / "dataset" / "raw")
    assert set(catalogue.images["dataset"]) == {"phantom"}
    assert len(catalogue.images) >= 8
    # A second call draws nothing anew.
    files = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.dcm")}
    again = reading.read_source(settings, tmp_path / "dataset" / "raw")
    pd.testing.assert_frame_equal(again.images, catalogue.images)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.dcm")} == files
    described = reading.case_descriptions(settings, tmp_path)
    if form.startswith("cbis_"):
        assert described["image_key"].nunique() == len(catalogue.images)
    else:
        assert described is None


@pytest.fixture(scope="module")
def faulty_folder(tmp_path_factory):
    """Folder of a run in which the phantoms of FAULTY are kept once they are drawn."""
    return tmp_path_factory.mktemp("faulty")


@pytest.mark.parametrize("form", with_slow(form for form in FORMS if form.startswith("cbis_")))
def test_every_fault_is_said_in_every_layout_that_parameters_ask_for(form, faulty_folder):
    settings = replace(FAULTY, phantom_form=form)
    catalogue = reading.read_source(settings, faulty_folder / "dataset" / "raw")
    described = reading.case_descriptions(settings, faulty_folder)
    usable = described[described["problem"] == ""]
    # Two rows without a file, and two files that are cut off.
    assert len(catalogue.images) == usable["image_key"].nunique() - 2 - 2
    for effect, words in (
        ("image left out", ("no row", "series of 2 images are not among", "UNPROVEN", "truncated")),
        ("kept, corrected", ("are copies", "have several files", "density '0'", "is resampled")),
        ("location unknown", ("as small as a crop", "series of 2 masks are not among")),
    ):
        reasons = " ".join(
            catalogue.quarantine.loc[catalogue.quarantine["effect"] == effect, "reason"]
        )
        assert [word for word in words if word not in reasons] == []


def test_the_survey_of_a_faulty_set_shows_true_counts_leaks_and_quarantine(faulty_folder):
    data = build_dataset(faulty_folder, FAULTY, workers=0)
    described = survey_descriptions(reading.case_descriptions(FAULTY, faulty_folder))
    true = dict(described.itertuples(index=False))
    assert (true["patients in train and test"], true["images in train and test"]) == (2, 2)
    leaks = dict(data_survey.leak_checks(data).itertuples(index=False))
    excluded = "training images excluded: patient is in the official test set"
    assert (leaks[excluded], leaks["patients in more than one split"]) == (2, 0)
    counted = data_survey.counts(data).set_index("quantity")["count"]
    # Two rows without a file, two files that are cut off and the two images that leak.
    assert counted["images"] == true["all: images"] - 2 - 2 - 2
    # Two masks are missing, two no larger than a crop, two lie in the air.
    assert counted["lesions without a location"] == 6
    summary = data_survey.quarantine_summary(data)
    items = summary.set_index("code")["items"]
    assert (items["patient_in_test_set"], items["lesion_off_breast"]) == (2, 2)
    findings = data_survey.findings(data, data_survey.area_estimates(
        data_survey.lesion_areas(data), seed=0), {})  # fmt: skip
    assert "2 images of 1 patient were excluded from training" in findings


def test_several_sources_are_one_data_set(tmp_path):
    phantom = PhantomSettings(patients=6, rows=256, cols=208, seed=5)
    root = tmp_path / "data"
    write_mias_layout(root, phantom)
    write_cbis_layout(root / "cbis", phantom, layout="idc")
    write_ddsm_layout(root / "ddsm" / "normals" / "normal_01", phantom)
    settings = small_settings(
        source="cbis",
        also=["mias", "ddsm"],
        data_root=str(root),
        cbis_folder="cbis",
        ddsm_folder="ddsm",
    )
    with pytest.raises(ParameterError, match=r"cbis and ddsm cannot .* chosen from the cases of"):
        reading.read_source(settings, tmp_path / "cache")
    (root / "cases.csv").write_text(CASES)
    settings = replace(settings, ddsm_cases="cases.csv")
    assert reading.data_locations(settings) == [root / "cbis", root, root / "ddsm"]
    catalogue = reading.read_source(settings, tmp_path / "cache")
    counts = catalogue.images["dataset"].value_counts()
    assert set(counts.index) == {"cbis", "mias", "ddsm"}
    assert counts["mias"] == 12
    repeated = catalogue.quarantine["code"] == Code.CASE_IN_BOTH_SETS
    patients = catalogue.images.groupby("dataset")["patient_id"].unique()
    assert repeated.sum() == 4 * len(patients["cbis"])
    assert not {name.replace("P_0", "B_") for name in patients["cbis"]} & set(patients["ddsm"])
    with pytest.raises(MissingDataError, match="Set ddsm_folder"):
        reading.read_source(replace(settings, ddsm_folder="none"), tmp_path / "cache")


def test_a_table_of_images_of_cbis_takes_its_labels_from_the_case_descriptions(tmp_path):
    write_csvs(tmp_path / "csvs", [Roi("P_00001", pathology="BENIGN"), Roi("P_00001", kind="calc")])
    write_png(tmp_path / "a.png", np.zeros((9, 9), dtype=np.uint8))
    (tmp_path / "t.csv").write_text(
        'path,patient,side,view,label,boxes\na.png,P_00001,LEFT,CC,benign,"1,1,4,4"\n'
    )
    settings = small_settings(
        source="folder", data_root=str(tmp_path), table="t.csv", cbis_descriptions="csvs"
    )
    assert reading.data_locations(settings) == [tmp_path, tmp_path / "csvs"]
    catalogue = reading.read_source(settings, tmp_path / "cache")
    assert catalogue.images["label"].tolist() == ["malignant"]
    assert catalogue.lesions["kind"].tolist() == ["mass", "calcification"]
    absent = replace(settings, cbis_descriptions="none")
    catalogue = reading.read_source(absent, tmp_path / "cache")
    assert catalogue.images["label"].tolist() == ["benign"]
    assert catalogue.quarantine["effect"].tolist() == ["kept, label uncertain"]
    with pytest.raises(ParameterError, match="folder and ddsm cannot be read"):
        reading.read_source(replace(settings, also=["ddsm"]), tmp_path / "cache")


def test_lesions_without_a_place_and_labels_in_doubt_are_said(data):
    unlocated = data.prepared.lesions.assign(code=0)
    row = {"dataset": "d", "effect": "kept, label uncertain", "code": "descriptions_missing",
           "reason": "without x.csv"}  # fmt: skip
    doubtful = replace(
        data,
        prepared=replace(data.prepared, lesions=unlocated),
        catalogue=data.catalogue.with_quarantine([row]),
    )
    text = data_survey.findings(doubtful, pd.DataFrame(columns=["share_of"]), {})
    images = unlocated["image_id"].nunique()
    assert f"- {images} images (" in text
    assert "**Labels may be incomplete:** without x.csv." in text
    counted = data_survey.counts(doubtful).set_index("quantity")["count"]
    assert counted["images with such a lesion: no normal windows"] == images


def test_faults_are_those_of_one_form(tmp_path):
    settings = small_settings(phantom_form="mias", phantom_faults=True)
    with pytest.raises(ParameterError, match=r"needs a phantom_form that begins with 'cbis_'"):
        build_dataset(tmp_path, settings, workers=0)


def test_optical_density_is_for_ddsm_only(tmp_path):
    settings = small_settings(optical_density=True)
    with pytest.raises(ParameterError, match=r"source ddsm. Got the sources \['phantom'\]"):
        build_dataset(tmp_path, settings, workers=0)


def test_an_unknown_source_and_an_empty_set_are_named(tmp_path):
    with pytest.raises(ParameterError, match="phantom_form must be one of"):
        reading.read_source(small_settings(phantom_form="paper"), tmp_path)
    with pytest.raises(ParameterError, match="source must be one of"):
        reading.read_source(small_settings(source="web"), tmp_path)
    (tmp_path / "t.csv").write_text("path,patient,label\nnone.png,p,benign\n")
    empty = small_settings(source="folder", data_root=str(tmp_path), table="t.csv", max_lost=1.0)
    with pytest.raises(DataError, match="not one usable image among 1"):
        reading.read_source(empty, tmp_path)


def test_a_class_missing_from_a_split_stops_the_run(data):
    images = data.catalogue.images
    gone = images[~((images["label"] == "malignant") & (images["split"] == "val"))]
    with pytest.raises(NotApplicableError, match="malignant in val"):
        check_every_class(gone, "quarantine.csv")
    with pytest.raises(NotApplicableError, match="every image is normal: there is nothing"):
        check_every_class(images[images["label"] == "normal"], "quarantine.csv")
    check_every_class(images, "quarantine.csv")
    assert later_notebooks(gone, located=3)["can_run"].tolist() == [False] * 6 + [True, False, True]
    assert later_notebooks(images, located=3)["can_run"].all()
    without_outlines = later_notebooks(images, located=0)
    assert without_outlines["can_run"].tolist() == [False] * 4 + [True] * 5
    assert without_outlines["reason"].str.contains("outlines").tolist() == [True] * 5 + [False] * 4


def with_a_copy(folder, splits):
    """Four patients in these splits; one picture of the first is one of the second too."""
    normal = PhantomSettings(
        patients=4, rows=256, cols=208, seed=2, label_shares=(1.0, 0.0, 0.0, 0.0)
    )
    write_folder_layout(folder, normal)
    shutil.copy(folder / "images" / "p0000_L_CC.png", folder / "images" / "p0001_L_CC.png")
    rows = pd.read_csv(folder / "images.csv", dtype=str)
    rows["split"] = [splits[int(patient[1:])] for patient in rows["patient"]]
    rows.to_csv(folder / "images.csv", index=False)
    return small_settings(source="folder", data_root=str(folder), table="images.csv")


def test_the_same_picture_in_two_splits_stops_the_run(tmp_path):
    settings = with_a_copy(tmp_path, ["train", "test", "val", "test"])
    with pytest.raises(LeakageError, match=r"\b1 pictures .* names: p0000_L_CC = p0001_L_CC\."):
        build_dataset(tmp_path / "run", settings, workers=0)


def test_the_same_picture_twice_in_one_split_is_said_only(tmp_path):
    settings = with_a_copy(tmp_path, ["train", "train", "val", "test"])
    data = build_dataset(tmp_path / "run", settings, workers=0)
    (pair,) = data.duplicates[["image_a", "image_b", "how"]].to_numpy().tolist()
    assert pair == ["p0000_L_CC", "p0001_L_CC", "identical"]


def test_where_the_papers_number_of_images_comes_from():
    files = data_survey.public_ddsm_files().set_index("content")
    assert files.loc["all files", ["series", "files"]].tolist() == [6775, 10_239]
    # 71 mammograms are there twice, for their masses and for their calcifications.
    assert files.loc["whole mammograms", ["files", "mammograms"]].tolist() == [3103, 3032]
    assert (files["mammograms"] == 3032).all()
    # One crop and one mask for each of the 3,568 lesions in the four official tables.
    assert files.loc["crops and masks of lesions", "files"] == 2 * 3568
    assert files.loc["all files", "gigabytes"] == pytest.approx(163.5, abs=0.1)


def test_counts_areas_and_tables_agree_with_the_catalogue(data):
    counts = data_survey.counts(data).set_index("quantity")["count"]
    assert (counts["images"], counts["patients"], counts["breasts"]) == (64, 16, 32)
    assert counts["lesions"] == len(data.catalogue.lesions)
    areas = data_survey.lesion_areas(data)
    assert (areas["share_of_breast"] > areas["share_of_image"]).all()
    estimates = data_survey.area_estimates(areas, seed=0)
    mass = estimates[(estimates["kind"] == "mass") & (estimates["share_of"] == "image")].iloc[0]
    expected = 100 * areas.loc[areas["kind"] == "mass", "share_of_image"].mean()
    assert mass["mean"] == pytest.approx(expected)
    # So few women have a mass that their mean has no interval.
    assert mass["patients"] < LEAST_FOR_MEAN
    assert np.isnan(mass["low"])
    assert data_survey.labels_by(data, "view").to_numpy().sum() == 64
    assert data_survey.kinds_by_pathology(data).to_numpy().sum() == counts["lesions"]
    assert (data_survey.leak_checks(data)["count"] == 0).all()
    assert data_survey.sizes(data)["images"].sum() == 64
    assert data_survey.split_table(data)["label"].tolist() == list(LABELS)
    text = data_survey.findings(data, estimates, {"mass": 1.2})
    assert "64 images of 16 patients" in text
    assert "phantoms" in text


def test_the_quarantine_is_counted_by_code(data):
    rows = [
        {
            "dataset": "d",
            "image_id": f"i{n}",
            "effect": "image left out",
            "code": Code.IMAGE_UNUSABLE.value,
            "reason": "truncated",
        }
        for n in range(8)
    ]
    summary = data_survey.quarantine_summary(
        replace(data, catalogue=data.catalogue.with_quarantine(rows))
    )
    assert summary[["effect", "code", "reason", "items"]].to_numpy().tolist() == [
        ["image left out", "image_unusable", "truncated", 8]
    ]
    assert summary.loc[0, "examples"] == "i0, i1, i2, i3, i4, i5"
    rows[1]["reason"] = "empty"
    summary = data_survey.quarantine_summary(
        replace(data, catalogue=data.catalogue.with_quarantine(rows))
    )
    assert list(summary["items"]) == [8]
    assert summary.loc[0, "reason"] == f"{Code.IMAGE_UNUSABLE.text}, such as: truncated"


def test_areas_stand_beside_the_papers_without_a_verdict_on_phantoms(data, tmp_path):
    run = open_run(tmp_path, notebook="01_data_survey")
    survey_claims.report_areas(run, data_survey.lesion_areas(data), data, seed=0)
    verdicts = {row["claim"]: row["verdict"] for row in load_results(tmp_path)}
    assert verdicts == dict.fromkeys(("area-calc", "area-mass"), "no verdict: synthetic images")


def test_a_view_shows_the_lesion_where_the_original_has_it(data):
    lesion = data.catalogue.lesions.iloc[0]
    view = views.original_view(data, lesion["image_id"], 128)
    code = next(c for c, name in view.pathologies.items() if name == lesion["pathology"])
    rows, cols = np.nonzero(view.regions == code)
    # Half the height of the original, so half its coordinates.
    middle = (
        (lesion["row_min"] + lesion["row_max"]) / 4,
        (lesion["col_min"] + lesion["col_max"]) / 4,
    )
    assert (rows.mean(), cols.mean()) == pytest.approx(middle, abs=3)
    assert view.picture.shape == (128, 104)
    assert 0 <= view.picture.min() < view.picture.max() <= 1
    assert view.mm_per_px == pytest.approx(1.6)
    prepared = views.prepared_view(data, lesion["image_id"], 100)
    assert prepared.regions.shape[0] == 100
    assert code in prepared.regions


def test_examples_and_masks_to_look_at_are_chosen_by_rule(data):
    examples = views.choose_examples(data.catalogue.images, per_label=2, seed=0)
    assert examples["label"].tolist() == [label for label in LABELS for _ in range(2)]
    sheet = views.choose_masks_to_look_at(data, count=12, seed=0)
    shares = data.prepared.images["breast_px"] / (256 * 208)
    assert sheet["breast_share"].is_monotonic_increasing
    assert len(sheet) == sheet["image_id"].nunique() == 12
    assert sheet["breast_share"].iloc[[0, -1]].tolist() == [shares.min(), shares.max()]
    assert len(views.choose_masks_to_look_at(data, count=1000, seed=0)) == 64


def test_patch_numbers_fall_from_image_to_breast_and_rise_with_smaller_strides(data, windows):
    counts = patching_study.counts_by_stride(data, windows, size=64, size_mm=None)
    assert (counts["image"] > counts["crop"]).all()
    assert (counts["crop"] > counts["breast"]).all()
    assert counts["breast"].is_monotonic_decreasing
    # Images of 256 x 208 px at stride 16: 13 x 10 windows each.
    assert counts.loc[0, "image"] == 64 * 13 * 10
    strides = patching_study.largest_strides(counts, 10, 1e9)
    assert strides["stride"].tolist() == [64, 64, 0, 0]
    assert "not reached" in patching_study.findings(
        windows[32], strides, costs_of(data, windows[32]), synthetic=True
    )
    assert "lie on the breast" in patching_study.savings(counts)


def costs_of(data, table):
    sampler = PatchSampler(data.prepared, table, size=64, batch_size=4, seed=0)
    return patching_study.cost(sampler, data, batches=2, patches=[10, 1000])


def test_windows_in_mm_are_counted_on_the_whole_image_too(data):
    size = {"size": 32, "size_mm": 51.2}
    table = patching_study.windows_by_stride(data, [16], rule=RULE, **size)
    counts = patching_study.counts_by_stride(data, table, **size)
    # 51.2 mm are 64 px of 0.8 mm, and the stride keeps its ratio to the size: 32 px.
    in_px = patching_study.windows_by_stride(data, [32], size=64, size_mm=None, rule=RULE)
    expected = patching_study.counts_by_stride(data, in_px, size=64, size_mm=None)
    columns = ["image", "crop", "breast"]
    assert counts[columns].to_numpy().tolist() == expected[columns].to_numpy().tolist()


def test_a_window_larger_than_every_image_is_an_error_that_says_so(data):
    with pytest.raises(DataError, match=r"none of 64 images holds a window of 512 px.*smaller"):
        patching_study.windows_by_stride(data, [64], size=512, size_mm=None, rule=RULE)


def test_costs_grow_with_patches_only_where_they_are_written(data, windows):
    costs = costs_of(data, windows[32])
    assert costs["gb_prepared"].nunique() == 1
    grow = ["minutes_to_cut", "minutes_to_write", "gb_as_png"]
    assert (costs.loc[1, grow] / costs.loc[0, grow]).tolist() == pytest.approx([100, 100, 100])
    assert (costs["minutes_to_write"] > costs["minutes_to_cut"]).all()
    # The images of the windows are kept in memory, at two bytes a pixel.
    images = data.prepared.images.set_index("image_id").loc[windows[32]["image_id"].unique()]
    expected = 2 * (images["rows"] * images["cols"]).sum() / 1e9
    assert costs["gb_memory"].tolist() == pytest.approx([expected, expected])


def test_a_stricter_rule_leaves_fewer_lesion_windows(data):
    ruled = patching_study.windows_by_rule(
        data, [0.1, 0.9], size=64, size_mm=None, stride=16, rule=RULE
    )
    table = patching_study.balance(ruled, "lesion_share")
    lesion = table[table["label"] != "normal"].groupby("lesion_share")["windows"].sum()
    assert lesion[0.1] > lesion[0.9] > 0
    assert table.groupby("lesion_share")["share"].sum().tolist() == pytest.approx([1, 1])


def test_chosen_patches_have_a_class_and_many_patients(windows):
    chosen = patching_study.choose_patches(windows[16], per_label=3, seed=0)
    assert (chosen["excluded"] == "").all()
    normal = chosen[chosen["label"] == "normal"]
    assert len(normal) == normal["patient_id"].nunique() == 3
    assert patching_study.choose_rule_example(windows[16]) in set(windows[16]["image_id"])


def test_a_data_set_without_a_located_lesion_is_surveyed_and_patched_too(data, windows):
    lesions = data.prepared.lesions.assign(code=0)
    nowhere = replace(data, prepared=replace(data.prepared, lesions=lesions))
    areas = data_survey.lesion_areas(nowhere)
    estimates = data_survey.area_estimates(areas, seed=0)
    assert len(areas) == len(estimates) == 0
    assert "No lesion has a usable location" in data_survey.findings(
        nowhere, estimates, {"mass": 1.2}
    )
    table = patching_study.windows_by_stride(nowhere, [32], size=64, size_mm=None, rule=RULE)
    assert set(table[32]["label"]) == {"normal", ""}
    assert patching_study.choose_rule_example(table[32]) in set(data.prepared.images["image_id"])
    words = texts(
        draw_patching.class_shares(patching_study.balance(table, "stride"), "stride", "x")
    )
    assert "no window of a lesion" in words
    normal = data.catalogue.images["label"] == "normal"
    of_normal = data.catalogue.without_images(data.catalogue.images.loc[~normal, "image_id"])
    kinds = data_survey.kinds_by_pathology(replace(data, catalogue=of_normal))
    tables = [("lesions", kinds), ("view", data_survey.labels_by(data, "view"))]
    words = texts(draw_survey.composition(tables))
    assert "view" in words
    assert "lesions" not in words


def texts(figure):
    return {text.get_text() for text in figure.findobj(plt.Text)}


def test_figures_show_units_numbers_and_the_papers_values(data, windows):
    style.use_style()
    areas = data_survey.lesion_areas(data)
    estimates = data_survey.area_estimates(areas, seed=0)
    words = texts(draw_survey.labels_by_split(split_counts(data.catalogue.images)))
    assert {"images (n)", "test", "benign without callback"} <= words
    assert {"width (px)", "height (px)"} <= texts(draw_survey.film_sizes(data.catalogue.images))
    words = texts(draw_survey.lesion_area_shares(areas, estimates, {"mass": 1.2}))
    assert {
        "lesion area (% of the film)",
        "lesion area (% of the breast)",
        "the paper's mean",
    } <= words
    words = texts(draw_survey.composition([("view, images", data_survey.labels_by(data, "view"))]))
    assert {"CC", "MLO", "view, images"} <= words
    pictures = [views.original_view(data, i, 96) for i in data.catalogue.images["image_id"][:6]]
    assert "50 mm" in texts(draw_survey.examples(pictures, columns=3))
    sheet = draw_survey.mask_contact_sheet(pictures, columns=4)
    assert len([axis for axis in sheet.axes if axis.images]) == 6
    assert {"breast mask", "50 mm"} <= texts(sheet)
    counts = patching_study.counts_by_stride(data, windows, size=64, size_mm=None)
    words = texts(draw_patching.counts_against_stride(counts, 40_000, 1_200_000))
    assert {"stride (px)", "patches (n)", "the paper's range"} <= words
    balance = patching_study.balance(windows, "stride")
    words = texts(draw_patching.class_shares(balance, "stride", "stride (px)"))
    assert {"share of labelled windows (%)", "stride (px); n: labelled windows"} <= words
    labelled = int((windows[16]["excluded"] == "").sum())
    assert f"16\nn = {labelled:,}" in words
    words = texts(draw_patching.cost(costs_of(data, windows[32])))
    assert {"disk (GB)", "time on this machine (minutes)", "patches (thousands)"} <= words


def test_pictures_of_patches_carry_class_and_scale(data, windows):
    table = window_table(data.prepared, data.catalogue, size=64, stride=16, rule=RULE)
    example = patching_study.choose_rule_example(table)
    rows = data.prepared.images.set_index("image_id").loc[example, "rows"]
    view = views.prepared_view(data, example, 160)
    figure = draw_patching.label_rule(view, table[table["image_id"] == example], rows / 160)
    assert any(text.startswith("partial lesion (n = ") for text in texts(figure))
    chosen = patching_study.choose_patches(table, per_label=2, seed=0)
    sampler = PatchSampler(
        data.prepared, table, size=64, batch_size=2, seed=0, augmentation=PATCHES
    )
    patches = sampler.variants(int(chosen.index[0]), count=len(chosen), seed=0)
    gallery = draw_patching.gallery(patches, list(chosen["label"]), [0.8] * len(chosen))
    assert {"normal", "malignant", "10 mm"} <= texts(gallery)
    assert {"as cut", "augmented 2"} <= texts(
        draw_patching.augmented(patches[0], patches[1:3], 0.8)
    )


@pytest.mark.parametrize(("size", "words"), [(0.8, "20 mm"), (float("nan"), "pixel size unknown")])
def test_the_scale_stands_below_the_picture_and_covers_nothing_of_it(data, size, words):
    view = views.original_view(data, data.catalogue.images["image_id"].iloc[0], 96)
    figure, axes = style.grid(1, 1, (2, 2))
    style.show_mammogram(axes[0], replace(view, mm_per_px=size))
    assert words in texts(figure)
    figure.draw_without_rendering()
    picture_box = axes[0].images[0].get_window_extent()
    (text,) = [text for text in axes[0].texts if text.get_text() == words]
    bars = [line for line in axes[0].lines if len(line.get_xdata()) == 2]
    assert len(bars) == int(words == "20 mm")
    for artist in (text, *bars):
        artist_box = artist.get_window_extent()
        assert figure.bbox.y0 < artist_box.y0 <= artist_box.y1 < picture_box.y0
        assert picture_box.x0 <= artist_box.x0 < artist_box.x1 <= picture_box.x1 + 1
    if bars:
        pixel = picture_box.width / view.picture.shape[1]
        assert bars[0].get_window_extent().width == pytest.approx(20 / size * pixel, abs=2.5)


def test_pixel_size_of_the_parameter_fills_gaps_only():
    rows = [
        {"image_id": f"{n}", "dataset": "d", "patient_id": f"{n}", "rows": 9, "cols": 9, "bits": 8}
        | {"label": "normal", "path": "x", "pixel_spacing_mm": size}
        for n, size in enumerate((0.1, None))
    ]
    filled = reading._with_pixel_size(Catalogue.from_rows(rows), 0.33)
    assert filled.images["pixel_spacing_mm"].tolist() == [0.1, 0.33]

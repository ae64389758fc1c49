"""Labels of images of CBIS-DDSM by all of its case descriptions, not by one table alone."""

from __future__ import annotations

import pytest
from conftest import real_data
from helpers.real_cbis import cbis_mass_parameters, read_cbis_masses
from helpers.small_cbis import NAMES, Roi, write_csvs
from second_look.catalogue import Catalogue
from second_look.errors import DataError
from second_look.quarantine import Code
from second_look.sources.cbis_labels import add_described_lesions


def masses(*images):
    """A catalogue of (patient, labels of its masses): left CC views, one located box a mass."""
    rows, lesions = [], []
    for patient, labels in images:
        rows.append({"image_id": patient, "dataset": "d", "patient_id": patient, "laterality": "L",
                     "view": "CC", "rows": 9, "cols": 9, "bits": 8, "label": labels[0],
                     "split": "test", "path": "x"})  # fmt: skip
        lesions += [
            {"lesion_id": f"{patient}_{number}", "image_id": patient, "kind": "mass",
             "pathology": label, "row_min": 1, "col_min": 1, "row_max": 4, "col_max": 4}
            for number, label in enumerate(labels)
        ]  # fmt: skip
    return Catalogue.from_rows(rows, lesions)


def test_a_calcification_of_the_other_table_makes_a_benign_image_malignant(tmp_path):
    write_csvs(
        tmp_path,
        [
            Roi("P_1", pathology="BENIGN", split="test"),
            Roi("P_1", kind="calc", pathology="MALIGNANT", subtlety="2"),
            Roi("P_2", pathology="MALIGNANT", split="test"),
            Roi("P_2", kind="calc", pathology="BENIGN", split="test"),
            Roi("P_3", pathology="BENIGN"),
        ],
    )
    catalogue = masses(("P_1", ["benign"]), ("P_2", ["malignant"]), ("P_3", ["benign"]))
    completed = add_described_lesions(catalogue, tmp_path, strict=False)
    assert completed.images["label"].tolist() == ["malignant", "malignant", "benign"]
    assert completed.images["split"].tolist() == ["test"] * 3
    added = completed.lesions.iloc[3:]
    assert added["image_id"].tolist() == ["P_1", "P_2"]
    assert added["kind"].tolist() == ["calcification"] * 2
    assert added["subtlety"].tolist()[0] == 2
    assert added[["row_min", "circle_row"]].isna().all(axis=None)
    assert completed.quarantine["code"].tolist() == [Code.LOCATION_NOT_GIVEN] * 2
    assert completed.quarantine["effect"].tolist() == ["location unknown"] * 2


def test_lesions_that_the_table_has_are_not_added_again(tmp_path):
    write_csvs(
        tmp_path, [Roi("P_1", pathology="BENIGN"), Roi("P_1", pathology="BENIGN", number="2")]
    )
    completed = add_described_lesions(masses(("P_1", ["benign"] * 2)), tmp_path, strict=False)
    assert len(completed.lesions) == 2
    assert completed.quarantine.empty


def test_missing_tables_and_images_are_said(tmp_path):
    catalogue = masses(("P_1", ["benign"]), ("P_9", ["benign"]))
    unchanged = add_described_lesions(catalogue, tmp_path / "none", strict=False)
    assert unchanged.images["label"].tolist() == ["benign"] * 2
    (reason,) = unchanged.quarantine["reason"]
    assert all(name in reason for name in NAMES.values())
    write_csvs(tmp_path, [Roi("P_1", pathology="BENIGN")])
    (tmp_path / NAMES["calc", "train"]).unlink()
    completed = add_described_lesions(catalogue, tmp_path, strict=False)
    assert completed.quarantine["effect"].tolist() == ["kept, label uncertain"] * 2
    assert completed.quarantine["image_id"].tolist() == ["", "P_9"]
    with pytest.raises(DataError, match="Correct it, or run without strict"):
        add_described_lesions(catalogue, tmp_path, strict=True)
    with pytest.raises(DataError, match=r"describe none of the 1 images, such as P_9_LEFT_CC"):
        add_described_lesions(masses(("P_9", ["benign"])), tmp_path, strict=False)


@pytest.mark.slow
@pytest.mark.real_data
def test_of_the_mass_set_71_images_hold_calcifications_14_of_them_malignant_by_these_alone(
    cbis_mass_folder,
):
    catalogue = read_cbis_masses(cbis_mass_folder)
    csvs = real_data(cbis_mass_parameters()["cbis_descriptions"])
    completed = add_described_lesions(catalogue, csvs, strict=False)
    added = completed.lesions.iloc[len(catalogue.lesions) :]
    split = completed.images.set_index("image_id")["split"]
    assert set(added["kind"]) == {"calcification"}
    assert split[added["image_id"].unique()].value_counts().to_dict() == {"train": 53, "test": 18}
    changed = (completed.images["label"] == "malignant") & (
        catalogue.images["label"] != "malignant"
    )
    assert completed.images.loc[changed, "split"].value_counts().to_dict() == {
        "train": 7,
        "test": 7,
    }

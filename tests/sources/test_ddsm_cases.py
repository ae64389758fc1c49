"""Films of one woman are not read from CBIS-DDSM and from DDSM at once."""

from __future__ import annotations

import pytest
from second_look.catalogue import Catalogue
from second_look.errors import DataError, MissingDataError
from second_look.quarantine import Code
from second_look.sources.ddsm_cases import without_cases_of_cbis


def films(dataset, *patients):
    shape = {"rows": 9, "cols": 9, "bits": 8, "label": "normal", "path": "x"}
    return Catalogue.from_rows(
        {"image_id": f"{name}_{view}", "dataset": dataset, "patient_id": name, "view": view} | shape
        for name in patients
        for view in ("CC", "MLO")
    )


def test_a_case_that_is_a_patient_of_cbis_is_left_out(tmp_path):
    (tmp_path / "cases.csv").write_text("cbis,ddsm\nP_00001,A_0002\nP_00002,B_0002\n")
    ddsm, cbis = films("ddsm", "A_0002", "A_0003", "B_0002"), films("cbis", "P_00001")
    cleaned = without_cases_of_cbis(ddsm, cbis, tmp_path / "cases.csv")
    assert cleaned.images["patient_id"].unique().tolist() == ["A_0003", "B_0002"]
    assert cleaned.quarantine["code"].tolist() == [Code.CASE_IN_BOTH_SETS] * 2
    assert cleaned.quarantine["image_id"].tolist() == ["A_0002_CC", "A_0002_MLO"]


def test_a_table_that_does_not_say_which_case_a_patient_is_is_refused(tmp_path):
    ddsm, cbis, table = films("ddsm", "A_0002"), films("cbis", "P_1", "P_2"), tmp_path / "t.csv"
    with pytest.raises(MissingDataError, match="Set ddsm_cases"):
        without_cases_of_cbis(ddsm, cbis, table)
    for text, problem in (
        ("cbis,case\nP_1,A_0002\n", "expected the columns cbis and ddsm. Got cbis, case"),
        ("cbis,ddsm\nP_1,A_0002\nP_2,\n", "no case of DDSM for 1 patients of CBIS-DDSM: P_2"),
        ("", "expected the columns cbis and ddsm"),
        ('cbis,ddsm\nP_1,"A_0002\nP_2,B_0002\nP_3,C_0003"\n', "line 4 or before: a cell holds 2"),
        ("cbis,ddsm\nP_1,A_0002\nP_2\n", "line 3: expected 2 values. Got 1"),
        ("cbis,ddsm\nP_1,A_0002\nP_2,B_1\nP_1,A_0003\n", "line 4: P_1 has the case A_0002 in an"),
    ):
        table.write_text(text)
        with pytest.raises(DataError, match=problem):
            without_cases_of_cbis(ddsm, cbis, table)

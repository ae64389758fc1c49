"""Cases of DDSM that are in CBIS-DDSM too, by a table of the user.

CBIS-DDSM was chosen from the films of DDSM and numbers its patients anew; no file of either says
which case a patient is.
"""

from __future__ import annotations

from pathlib import Path

from second_look.catalogue import Catalogue
from second_look.errors import DataError, first_few
from second_look.files import read_bytes
from second_look.quarantine import Code
from second_look.sources.csv_rows import csv_rows

COLUMNS = ("cbis", "ddsm")


def without_cases_of_cbis(ddsm: Catalogue, cbis: Catalogue, csv_path: Path) -> Catalogue:
    """DDSM without the cases that are patients of CBIS-DDSM: their films are there already.

    Args:
        ddsm: Its catalogue, patients called A_0002 (letter and number of the case).
        cbis: That of CBIS-DDSM, patients called P_00001.
        csv_path: Table with the columns cbis and ddsm, one row a patient.

    Raises:
        MissingDataError: The table is not there.
        DataError: It lacks a column, or a patient of CBIS-DDSM.
    """
    text = read_bytes(csv_path, "Set ddsm_cases.").decode("utf-8-sig", errors="replace")
    (_, names), *rows = [row for row in csv_rows(text, csv_path) if row[1]] or [(1, [])]
    if not set(COLUMNS) <= set(names):
        raise DataError(
            f"expected the columns {' and '.join(COLUMNS)}. Got {', '.join(names)}.", csv_path
        )
    case_of: dict[str, str] = {}
    for line, values in rows:
        if len(values) != len(names):
            problem = f"expected {len(names)} values. Got {len(values)}."
            raise DataError(problem, f"{csv_path} line {line}", "Correct the row.")
        patient, case = (values[names.index(column)].strip() for column in COLUMNS)
        if case_of.setdefault(patient, case) != case:
            problem = f"{patient} has the case {case_of[patient]} in an earlier line."
            raise DataError(problem, f"{csv_path} line {line}", "Keep the right one.")
    patients = cbis.images["patient_id"].unique()
    unmapped = [patient for patient in patients if not case_of.get(patient)]
    if unmapped:
        raise DataError(
            f"no case of DDSM for {len(unmapped)} patients of CBIS-DDSM: {first_few(unmapped)}.",
            csv_path,
            "Add a row for each of them: their films may be in DDSM under another name.",
        )
    repeated = ddsm.images[ddsm.images["patient_id"].isin({case_of[name] for name in patients})]
    left_out = [
        {
            "dataset": image.dataset,
            "image_id": image.image_id,
            "file": image.path,
            "effect": "image left out",
            "code": Code.CASE_IN_BOTH_SETS.value,
            "reason": f"case {image.patient_id} is a patient of CBIS-DDSM, whose films are used",
        }
        for image in repeated.itertuples()
    ]
    return ddsm.without_images(repeated["image_id"]).with_quarantine(left_out)

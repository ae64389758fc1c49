"""Cases of DDSM that are in CBIS-DDSM too, by a table of the user.

CBIS-DDSM was chosen from the films of DDSM and numbers its patients anew; no file of either says
which case a patient is.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from second_look.catalogue import Catalogue
from second_look.errors import DataError, MissingDataError, first_few
from second_look.quarantine import Code

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
    try:
        cases = pd.read_csv(csv_path, dtype=str, keep_default_na=False)
    except FileNotFoundError:
        raise MissingDataError("there is no such table.", csv_path, "Set ddsm_cases.") from None
    except ValueError as error:
        raise DataError(f"not valid CSV ({error}).", csv_path, "Correct it.") from None
    if not set(COLUMNS) <= set(cases):
        raise DataError(
            f"expected the columns {' and '.join(COLUMNS)}. Got {', '.join(cases)}.", csv_path
        )
    case_of = dict(zip(cases["cbis"], cases["ddsm"], strict=True))
    patients = cbis.images["patient_id"].unique()
    unmapped = [patient for patient in patients if not case_of.get(patient)]
    if unmapped:
        raise DataError(
            f"no case of DDSM for {len(unmapped)} patients of CBIS-DDSM: {first_few(unmapped)}.",
            csv_path,
            "Add a row for each of them: their films may be in DDSM under another name.",
        )
    repeated = ddsm.images[ddsm.images["patient_id"].isin({case_of[name] for name in patients})]
    rows = [
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
    return ddsm.without_images(repeated["image_id"]).with_quarantine(rows)

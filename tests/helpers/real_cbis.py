"""The real masses of CBIS-DDSM, read as params/cbis_mass.yaml reads them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from second_look.catalogue import Catalogue
from second_look.sources.folder import read_folder

PARAMS = Path(__file__).parents[2] / "params" / "cbis_mass.yaml"


def cbis_mass_parameters() -> dict[str, Any]:
    """The parameters of notebook 01 for this set."""
    parameters: dict[str, Any] = YAML(typ="safe").load(PARAMS.read_text())["01_data_survey"]
    return parameters


def read_cbis_masses(folder: Path) -> Catalogue:
    """The table of the folder, without what the case descriptions add."""
    parameters = cbis_mass_parameters()
    return read_folder(
        folder / "labels.csv",
        folder,
        dataset="cbis_mass",
        columns=parameters["columns"],
        box_format=parameters["box_format"],
    )

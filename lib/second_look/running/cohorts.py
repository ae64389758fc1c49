"""The images of a set before and after notebook 01, and which notebooks they do not suffice for."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from second_look.errors import OutputError, SecondLookError
from second_look.files import read_parquet
from second_look.records import DATASET

if TYPE_CHECKING:
    from second_look.preparing.reading import DataSettings

# The readers of images are slow to import, and not needed where everything is up to date.


@dataclass(frozen=True)
class KnownImages:
    """What is known of the images of a set.

    Attributes:
        images: Of the catalogue, with their splits.
        located: Lesions with a location.
        prepared: Size of each prepared image, columns rows and cols; None before notebook 01.
    """

    images: pd.DataFrame
    located: int
    prepared: pd.DataFrame | None = None

    def refusals(self) -> dict[str, str]:
        """Notebook -> why it cannot run; without those that can."""
        from second_look.preparing.splits import later_notebooks

        later = later_notebooks(self.images, self.located)
        cannot = later[~later["can_run"]]
        return dict(zip(cannot["notebook"], cannot["reason"], strict=True))


def data_settings(survey: Mapping[str, Any]) -> DataSettings:
    """Which mammograms the parameters of notebook 01 name."""
    from second_look.preparing.reading import DataSettings

    names = {field.name for field in fields(DataSettings)}
    return DataSettings(**{name: survey[name] for name in names & set(survey)})


def known_images(outputs: Path, survey: Mapping[str, Any]) -> KnownImages | None:
    """What notebook 01 prepared, else what a user's table says; None where neither is there.

    Args:
        outputs: Folder of the set.
        survey: Parameters of notebook 01.
    """
    table, folder = outputs / DATASET / "images.parquet", outputs / DATASET / "prepared"
    if table.is_file() and (folder / "images.parquet").is_file():
        with suppress(OutputError):  # a damaged table: notebook 01 writes it anew
            images = read_parquet(table, columns=["label", "split"])
            codes = read_parquet(folder / "lesions.parquet", columns=["code"])["code"]
            sizes = read_parquet(folder / "images.parquet", columns=["rows", "cols"])
            return KnownImages(images, int((codes > 0).sum()), sizes)
    if survey["source"] != "folder" or survey.get("also") or survey["table_form"] != "table":
        return None
    from second_look.preparing.reading import expected_catalogue

    try:
        catalogue, located = expected_catalogue(data_settings(survey))
    except SecondLookError:
        return None  # notebook 01 says what is wrong with the table
    return KnownImages(catalogue.images, located)

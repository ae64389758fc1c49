"""One data set of a run: read, split by patient, checked for leaks, prepared, kept on disk.

Notebook 01 builds it; every later notebook opens what 01 left in the run's outputs.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path

import pandas as pd

from second_look.catalogue import (
    LABELS,
    SPLITS,
    Catalogue,
    assign_splits,
    clean_official_split,
)
from second_look.errors import DataError, OutputError
from second_look.files import write_json, write_parquet
from second_look.phantoms.forms import DATASET as PHANTOM
from second_look.preparing.duplicates import check_no_content_leak, find_duplicates
from second_look.preparing.image import PrepareSettings
from second_look.preparing.prepare import prepare
from second_look.preparing.reading import DataSettings, read_source
from second_look.preparing.store import Prepared
from second_look.records import DATASET

MARK = "settings.json"  # of a data set's folder, written last
# Outputs folder of notebooks that are opened by hand, their default.
LAB = "lab"
# What is prepared there where notebook 01 has not run: the defaults of its parameters. They stand
# here too because the library does not read notebooks; a test compares them.
LAB_SETTINGS = DataSettings(
    source="phantom",
    box_format="rowcol",
    dataset="folder",
    patients=24,
    image_rows=1024,
    image_cols=832,
    phantom_form="folder",
    val_share=0.2,
    test_share=0.2,
    seed=0,
)
LAB_WORKERS = 2


@dataclass(frozen=True)
class Dataset:
    """Catalogue and prepared images of a run.

    Attributes:
        folder: Where both are kept.
        catalogue: What the readers found, split; images that could not be prepared are not in it,
            but in its quarantine.
        prepared: The images on disk.
        duplicates: Pictures that stand under two ids.
        synthetic: Whether the images are phantoms, which say nothing about patients.
    """

    folder: Path
    catalogue: Catalogue
    prepared: Prepared
    duplicates: pd.DataFrame
    synthetic: bool

    @property
    def name(self) -> str:
        """Names of its data sets, joined."""
        return " + ".join(sorted(self.catalogue.images["dataset"].unique()))

    @property
    def files(self) -> list[Path]:
        """The tables that change whenever the data set does."""
        return sorted(self.folder.glob("*.parquet")) + sorted(
            self.prepared.folder.glob("*.parquet")
        )


def build_dataset(
    outputs: Path, settings: DataSettings, *, workers: int, scheduler: str = ""
) -> Dataset:
    """Read, split, check and prepare; what an earlier call finished is not done again.

    Args:
        outputs: Folder of the run; the data set goes to its folder `dataset`.
        settings: Which mammograms.
        workers: Local processes that prepare images; 0 prepares in this one.
        scheduler: Address of a running Dask scheduler to use instead.

    Raises:
        DataError: The data set is missing or empty, or a split lacks a class.
        LeakageError: A patient or a picture stands in two splits.
    """
    folder = outputs / DATASET
    catalogue = clean_official_split(read_source(settings, folder / "raw"))
    catalogue = assign_splits(
        catalogue,
        seed=settings.seed,
        val_share=settings.val_share,
        test_share=settings.test_share,
    )
    # Written last, it marks a whole data set: from here on, old tables may stand by new images.
    (folder / MARK).unlink(missing_ok=True)
    prepared = prepare(
        catalogue,
        folder / "prepared",
        PrepareSettings(spacing_mm=settings.spacing_mm or None),
        workers=workers,
        scheduler=scheduler,
        strict=settings.strict,
    )
    lost = set(catalogue.images["image_id"]) - set(prepared.images["image_id"])
    quarantine = prepared.quarantine.to_dict("records")
    catalogue = catalogue.without_images(lost).with_quarantine(quarantine)
    check_every_class(catalogue.images)
    duplicates = find_duplicates(prepared)
    check_no_content_leak(duplicates, catalogue.images)
    catalogue.save(folder)
    write_parquet(folder / "duplicates.parquet", duplicates)
    write_json(folder / MARK, asdict(settings))
    return Dataset(folder, catalogue, prepared, duplicates, _is_synthetic(catalogue))


def open_dataset(outputs: Path) -> Dataset:
    """What notebook 01 left in the run's outputs; in LAB, where that is nothing, LAB_SETTINGS.

    Raises:
        OutputError: Notebook 01 has not run for this set, or not to its end.
    """
    folder = outputs / DATASET
    if not (folder / MARK).is_file():
        if (folder / "images.parquet").is_file():
            raise OutputError(f"{folder} is incomplete: run notebook 01_data_survey again.")
        if outputs.name != LAB:
            raise OutputError(f"{folder} holds no data set: run notebook 01_data_survey first.")
        return build_dataset(outputs, LAB_SETTINGS, workers=LAB_WORKERS)
    catalogue = Catalogue.load(folder)
    duplicates = pd.read_parquet(folder / "duplicates.parquet")
    prepared = Prepared.load(folder / "prepared")
    return Dataset(folder, catalogue, prepared, duplicates, _is_synthetic(catalogue))


def check_every_class(images: pd.DataFrame) -> None:
    """A class that the data set has must be in each of its splits.

    Raises:
        DataError: Names the classes and splits.
    """
    counts = pd.crosstab(images["label"], images["split"]).reindex(columns=SPLITS, fill_value=0)
    present = [label for label in LABELS if label in counts.index]
    empty = [pair for pair in product(present, SPLITS) if counts.loc[pair] == 0]
    if empty:
        raise DataError(
            f"no image of a class in a split: {', '.join(map(' in '.join, empty))}.",
            location="table images",
            remedy="Use more patients, larger val_share and test_share, or another seed.",
        )


def _is_synthetic(catalogue: Catalogue) -> bool:
    """Whether any image is a phantom: a number from a mixture says nothing about patients."""
    return bool((catalogue.images["dataset"] == PHANTOM).any())

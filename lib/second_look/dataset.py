"""One data set of a run: read, split by patient, checked for leaks, prepared, kept on disk.

Notebook 01 builds it; every later notebook opens what 01 left in the run's outputs.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import pandas as pd

from second_look.catalogue import (
    LABELS,
    SPLITS,
    Catalogue,
    assign_splits,
    clean_official_split,
)
from second_look.duplicates import check_no_content_leak, find_duplicates
from second_look.errors import DataError, MissingDataError, OutputError, ParameterError
from second_look.files import write_json
from second_look.prepare import PrepareSettings, prepare
from second_look.sources.folder import read_folder
from second_look.sources.mias import find_mias, read_mias
from second_look.sources.phantom import PhantomSettings
from second_look.sources.phantom_files import read_phantom
from second_look.store import Prepared

SOURCES = ("phantom", "mias", "folder")
DATA_VARIABLE = "SECOND_LOOK_DATA"
# Outputs folder of notebooks that are opened by hand, their default.
LAB = "lab"


@dataclass(frozen=True)
class DataSettings:
    """Which mammograms a run works on; the defaults need no download.

    Attributes:
        source: One of SOURCES.
        data_root: Folder of the data sets; empty: $SECOND_LOOK_DATA, then ./data.
        table: For source folder: the CSV, relative to data_root.
        columns: For source folder: standard column name -> name in that CSV.
        box_format: For source folder: rowcol or xywh.
        dataset: For source folder: name of the data set in every table.
        pixel_size_mm: Of images whose source gives none; 0 leaves it unknown.
        patients, image_rows, image_cols, lesion_contrast: Of the phantom, px and grey-level units.
        spacing_mm: Resample all images to it; 0 keeps their own pixels.
        val_share, test_share: Shares of the patients where there is no official split.
        seed: Of phantom and split.
        strict: Make an error of what would go to the quarantine.
    """

    source: str = "phantom"
    data_root: str = ""
    table: str = ""
    columns: Mapping[str, str] = field(default_factory=dict)
    box_format: str = "rowcol"
    dataset: str = "folder"
    pixel_size_mm: float = 0.0
    patients: int = 24
    image_rows: int = 1024
    image_cols: int = 832
    lesion_contrast: float = 1.0
    spacing_mm: float = 0.0
    val_share: float = 0.2
    test_share: float = 0.2
    seed: int = 0
    strict: bool = False


@dataclass(frozen=True)
class Dataset:
    """Catalogue and prepared images of a run.

    Attributes:
        folder: Where both are kept.
        catalogue: What the readers found, split; images that could not be prepared are gone,
            and said so in its quarantine.
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


def find_data_root(data_root: str) -> Path:
    """The folder of the data sets: the parameter, else the environment variable, else ./data.

    Raises:
        MissingDataError: It is not there.
    """
    given = data_root or os.environ.get(DATA_VARIABLE, "")
    root = Path(given or "data").expanduser()
    if not given and not root.is_dir():
        # A notebook's working folder is notebooks/, one below the checkout.
        root = Path("..") / "data"
    if not root.is_dir():
        raise MissingDataError(
            f"there is no data folder {root}.",
            remedy=f"Set the parameter data_root or the environment variable {DATA_VARIABLE}; "
            "README.md says how to get the data.",
        )
    return root.resolve()


def data_location(settings: DataSettings) -> Path | None:
    """The file or folder outside the project that a source reads; None for the phantom."""
    if settings.source == "phantom":
        return None
    root = find_data_root(settings.data_root)
    return root / Path(settings.table).parent if settings.source == "folder" else find_mias(root)


def read_source(settings: DataSettings, cache: Path) -> Catalogue:
    """The catalogue of the chosen source, before splits and preparation.

    Raises:
        ParameterError: There is no such source.
        DataError: The data set is missing, broken or empty.
    """
    if settings.source == "phantom":
        phantom = PhantomSettings(
            patients=settings.patients,
            rows=settings.image_rows,
            cols=settings.image_cols,
            lesion_contrast=settings.lesion_contrast,
            seed=settings.seed,
        )
        catalogue = read_phantom(cache, phantom)
    elif settings.source == "mias":
        root = find_data_root(settings.data_root)
        catalogue = read_mias(root, cache, strict=settings.strict)
    elif settings.source == "folder":
        table = find_data_root(settings.data_root) / settings.table
        catalogue = read_folder(
            table,
            table.parent,
            dataset=settings.dataset,
            columns=settings.columns,
            box_format=settings.box_format,
            strict=settings.strict,
        )
    else:
        raise ParameterError(f"source must be one of {SOURCES}. Got {settings.source!r}.")
    if catalogue.images.empty:
        raise DataError(
            f"not one usable image among {len(catalogue.quarantine)} quarantined items.",
            where=f"source {settings.source}",
            remedy="The quarantine's first reason: "
            + (catalogue.quarantine["reason"].iloc[0] if len(catalogue.quarantine) else "none."),
        )
    return _with_pixel_size(catalogue, settings.pixel_size_mm)


def build_dataset(
    outputs: Path, settings: DataSettings, *, workers: int = 2, scheduler: str = ""
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
    folder = outputs / "dataset"
    catalogue = clean_official_split(read_source(settings, folder / "raw"))
    catalogue = assign_splits(
        catalogue,
        seed=settings.seed,
        val_share=settings.val_share,
        test_share=settings.test_share,
    )
    prepared = prepare(
        catalogue,
        folder / "prepared",
        PrepareSettings(spacing_mm=settings.spacing_mm or None),
        workers=workers,
        scheduler=scheduler,
        strict=settings.strict,
    )
    lost = set(catalogue.images["image_id"]) - set(prepared.images["image_id"])
    catalogue = catalogue.without_images(lost)
    catalogue = catalogue.with_quarantine(prepared.quarantine.to_dict("records"))
    check_every_class(catalogue.images)
    duplicates = find_duplicates(prepared)
    check_no_content_leak(duplicates, catalogue.images)
    catalogue.save(folder)
    duplicates.to_parquet(folder / "duplicates.parquet", index=False)
    write_json(folder / "settings.json", asdict(settings))
    return Dataset(folder, catalogue, prepared, duplicates, settings.source == "phantom")


def open_dataset(outputs: Path, *, workers: int = 2) -> Dataset:
    """What notebook 01 left in the run's outputs.

    In the folder that notebooks opened by hand write to, the default phantoms are prepared where
    there is no data set yet, so that any notebook just works.

    Raises:
        OutputError: Notebook 01 has not run for this set.
    """
    folder = outputs / "dataset"
    if not (folder / "settings.json").is_file():
        if outputs.name != LAB:
            raise OutputError(f"{folder} holds no data set: run notebook 01_data_survey first.")
        return build_dataset(outputs, DataSettings(), workers=workers)
    catalogue = Catalogue.load(folder)
    synthetic = bool((catalogue.images["dataset"] == "phantom").all())
    duplicates = pd.read_parquet(folder / "duplicates.parquet")
    return Dataset(folder, catalogue, Prepared.load(folder / "prepared"), duplicates, synthetic)


def check_every_class(images: pd.DataFrame) -> None:
    """A class that the data set has must be in each of its splits.

    Raises:
        DataError: Names the classes and splits.
    """
    seen = pd.crosstab(images["label"], images["split"]).reindex(columns=SPLITS, fill_value=0)
    missing = [
        f"{label} in {split}"
        for label in LABELS
        if label in seen.index
        for split in SPLITS
        if seen.loc[label, split] == 0
    ]
    if missing:
        raise DataError(
            f"no image of a class in a split: {', '.join(missing)}.",
            where="table images",
            remedy="Use more patients, larger val_share and test_share, or another seed.",
        )


def _with_pixel_size(catalogue: Catalogue, pixel_size_mm: float) -> Catalogue:
    if not pixel_size_mm:
        return catalogue
    images = catalogue.images.copy()
    images["pixel_spacing_mm"] = images["pixel_spacing_mm"].fillna(pixel_size_mm)
    return replace(catalogue, images=images)

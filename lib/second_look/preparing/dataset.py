"""One data set of a run: read, split by patient, checked for leaks, prepared, kept on disk.

Notebook 01 builds it; every later notebook opens what 01 left in the run's outputs.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path

import pandas as pd

from second_look.catalogue import (
    Catalogue,
    assign_splits,
    clean_official_split,
)
from second_look.errors import DataError, LostRowsError, NotApplicableError, OutputError
from second_look.files import read_parquet, write_csv, write_json, write_parquet
from second_look.phantoms.forms import DATASET as PHANTOM
from second_look.preparing.duplicates import check_no_content_leak, find_duplicates
from second_look.preparing.image import PrepareSettings
from second_look.preparing.prepare import prepare
from second_look.preparing.reading import DataSettings, read_source
from second_look.preparing.splits import NO_OUTLINES, check_every_class
from second_look.preparing.store import Prepared
from second_look.records import DATASET

MARK = "settings.json"  # of a data set's folder, written last
# The quarantine as people read it, also where a run stops after it.
QUARANTINE_CSV = "quarantine.csv"
# Outputs folder of notebooks that are opened by hand, their default.
LAB = "lab"
# What is prepared there where notebook 01 has not run: the defaults of its parameters. They stand
# here too because the library does not read notebooks; a test compares them.
LAB_SETTINGS = DataSettings(
    source="phantom",
    table_form="table",
    box_format="rowcol",
    photometric="MONOCHROME2",
    max_lost=0.1,
    dataset="folder",
    patients=72,
    image_rows=512,
    image_cols=416,
    lesion_contrast=2.0,
    phantom_form="folder",
    val_share=0.2,
    test_share=0.35,
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

    @property
    def written(self) -> list[Path]:
        """These tables, and what else notebook 01 leaves of the set beside the images."""
        return [*self.files, self.folder / MARK, self.prepared.folder / "fingerprints.npy"]


def build_dataset(
    outputs: Path,
    settings: DataSettings,
    *,
    workers: int,
    scheduler: str = "",
    scheduler_tls: str = "",
) -> Dataset:
    """Read, split, check and prepare; what an earlier call finished is not done again.

    Args:
        outputs: Folder of the run; the data set goes to its folder `dataset`.
        settings: Which mammograms.
        workers: Local processes that prepare images; 0 prepares in this one.
        scheduler: Address of a running Dask scheduler to use instead.
        scheduler_tls: Folder with the files of `workers.TLS_FILES`, for such an address.

    Raises:
        DataError: The data set is missing or empty, or too much of it cannot be used.
        LeakageError: A patient or a picture stands in two splits.
    """
    folder = outputs / DATASET
    try:
        catalogue = clean_official_split(read_source(settings, folder / "raw"))
    except LostRowsError as error:
        raise _with_quarantine(error, folder) from None
    # Whatever stops the run from here on, it says what was left out before.
    _save_quarantine(folder, catalogue.quarantine)
    catalogue = assign_splits(
        catalogue,
        seed=settings.seed,
        val_share=settings.val_share,
        test_share=settings.test_share,
    )
    # Written last, it marks a whole data set: from here on, old tables may stand by new images.
    (folder / MARK).unlink(missing_ok=True)
    try:
        prepared = prepare(
            catalogue,
            folder / "prepared",
            PrepareSettings(spacing_mm=settings.spacing_mm or None),
            workers=workers,
            scheduler=scheduler,
            scheduler_tls=scheduler_tls,
            strict=settings.strict,
        )
    except LostRowsError as error:
        error.rows = [*catalogue.quarantine.to_dict("records"), *error.rows]
        raise _with_quarantine(error, folder) from None
    lost = set(catalogue.images["image_id"]) - set(prepared.images["image_id"])
    quarantine = prepared.quarantine.to_dict("records")
    catalogue = catalogue.without_images(lost).with_quarantine(quarantine)
    # Whoever reads a file again has to know the depth that was found for it.
    bits = prepared.images.set_index("image_id")["bits"]
    images = catalogue.images.assign(bits=catalogue.images["image_id"].map(bits))
    catalogue = replace(catalogue, images=images)
    _save_quarantine(folder, catalogue.quarantine)
    duplicates = find_duplicates(prepared)
    check_no_content_leak(duplicates, catalogue.images)
    catalogue.save(folder)
    write_parquet(folder / "duplicates.parquet", duplicates)
    write_json(folder / MARK, asdict(settings))
    return Dataset(folder, catalogue, prepared, duplicates, _is_synthetic(catalogue))


def _with_quarantine(error: LostRowsError, folder: Path) -> DataError:
    """The error, which names the file that its rows are written to."""
    path = _save_quarantine(folder, Catalogue.from_rows([], quarantine=error.rows).quarantine)
    return DataError(error.problem, error.location, f"{error.remedy} See {path}.")


def _save_quarantine(folder: Path, rows: pd.DataFrame) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    write_csv(folder / QUARANTINE_CSV, rows)
    return folder / QUARANTINE_CSV


def open_dataset(outputs: Path) -> Dataset:
    """What notebook 01 left in the run's outputs; in LAB, where that is nothing, LAB_SETTINGS.

    Args:
        outputs: Folder of the run.

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
    duplicates = read_parquet(
        folder / "duplicates.parquet", remedy="Run notebook 01_data_survey again."
    )
    prepared = Prepared.load(folder / "prepared")
    return Dataset(folder, catalogue, prepared, duplicates, _is_synthetic(catalogue))


def require(dataset: Dataset, *, outlines: bool) -> None:
    """Stop a notebook that trains and tests where the data set has too little for it.

    Args:
        dataset: Opened.
        outlines: Whether it needs to know where lesions are.

    Raises:
        NotApplicableError: A class is missing from a split, or no lesion has a location.
    """
    check_every_class(dataset.catalogue.images, dataset.folder / QUARANTINE_CSV)
    if outlines and not (dataset.prepared.lesions["code"] > 0).any():
        raise NotApplicableError(f"{NO_OUTLINES}.", dataset.name)


def check_can_predict(outputs: Path) -> None:
    """Say where there will be no predictions, because no model can be trained on the data set.

    Raises:
        NotApplicableError: A class is missing from a split.
    """
    path = outputs / DATASET / "images.parquet"
    if path.is_file():
        check_every_class(read_parquet(path), outputs / DATASET / QUARANTINE_CSV)


def lacks_outlines(outputs: Path) -> bool:
    """Whether the data set in these outputs has no lesion with a location."""
    path = outputs / DATASET / "prepared" / "lesions.parquet"
    try:
        return path.is_file() and not (read_parquet(path, ["code"])["code"] > 0).any()
    except OutputError:  # damaged: the notebook that opens the data set says so
        return False


def _is_synthetic(catalogue: Catalogue) -> bool:
    """Whether any image is a phantom: a number from a mixture says nothing about patients."""
    return bool((catalogue.images["dataset"] == PHANTOM).any())

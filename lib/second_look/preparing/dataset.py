"""One data set of a run: read, split by patient, checked for leaks, prepared, kept on disk.

Notebook 01 builds it; every later notebook opens what 01 left in the run's outputs.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import product
from pathlib import Path

import pandas as pd

from second_look.catalogue import (
    LABELS,
    SPLITS,
    Catalogue,
    assign_splits,
    clean_official_split,
    merge,
)
from second_look.errors import DataError, MissingDataError, OutputError, ParameterError
from second_look.files import DATA_VARIABLE, write_json, write_parquet
from second_look.phantoms.forms import CBIS, FORMS, phantom_folder, read_phantom
from second_look.phantoms.forms import DATASET as PHANTOM
from second_look.phantoms.phantom import PhantomSettings
from second_look.preparing.duplicates import check_no_content_leak, find_duplicates
from second_look.preparing.image import PrepareSettings
from second_look.preparing.prepare import prepare
from second_look.preparing.store import Prepared
from second_look.sources.cbis_ddsm import find_csvs, read_cbis, read_descriptions
from second_look.sources.ddsm import read_ddsm
from second_look.sources.folder import read_folder
from second_look.sources.mias import find_mias, read_mias

SOURCES = ("phantom", "mias", "cbis", "ddsm", "folder")


@dataclass(frozen=True, kw_only=True)
class DataSettings:
    """Which mammograms a run works on.

    Attributes:
        source: One of SOURCES.
        also: More of them, read beside it as one data set.
        data_root: Folder of the data sets; empty: $SECOND_LOOK_DATA, then ./data.
        cbis_folder, ddsm_folder: Of these data sets, relative to data_root.
        optical_density: For source ddsm: grey levels linear in optical density.
        table: For source folder: the CSV, relative to data_root.
        columns: For source folder: standard column name -> name in that CSV.
        box_format: For source folder: rowcol or xywh.
        dataset: For source folder: name of the data set in every table.
        pixel_size_mm: Of images whose source gives none; 0 leaves it unknown.
        patients, image_rows, image_cols, lesion_contrast: Of the phantom, px and grey-level units.
        phantom_form: Form of files that phantoms are written in, one of FORMS.
        phantom_faults: In the form cbis_*: with every known fault of the real files.
        spacing_mm: Resample all images to it; 0 keeps their own pixels.
        val_share, test_share: Shares of the patients where there is no official split.
        seed: Of phantom and split.
        strict: Make an error of what would go to the quarantine.
    """

    source: str
    also: Sequence[str] = field(default_factory=list)
    data_root: str = ""
    cbis_folder: str = ""
    ddsm_folder: str = ""
    optical_density: bool = False
    table: str = ""
    columns: Mapping[str, str] = field(default_factory=dict)
    box_format: str
    dataset: str
    pixel_size_mm: float = 0.0
    patients: int
    image_rows: int
    image_cols: int
    lesion_contrast: float = 1.0
    phantom_form: str
    phantom_faults: bool = False
    spacing_mm: float = 0.0
    val_share: float
    test_share: float
    seed: int
    strict: bool = False


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


def find_data_root(data_root: str) -> Path:
    """The folder of the data sets: the parameter, else the environment variable, else ./data.

    Raises:
        MissingDataError: It is not there.
    """
    named = data_root or os.environ.get(DATA_VARIABLE, "")
    root = Path(named or "data").expanduser()
    if not named and not root.is_dir():
        # A notebook's working folder is notebooks/, one below the checkout.
        root = Path("..") / "data"
    if not root.is_dir():
        raise MissingDataError(
            f"there is no data folder {root}.",
            remedy=f"Set the parameter data_root or the environment variable {DATA_VARIABLE}; "
            "README.md says how to get the data.",
        )
    return root.resolve()


def data_locations(settings: DataSettings) -> list[Path]:
    """The files and folders outside the project that the sources read; none for the phantom."""
    places = []
    for source in _sources(settings):
        if source == "mias":
            places.append(find_mias(find_data_root(settings.data_root)))
        elif source == "folder":
            places.append(_table(settings).parent)
        elif source != "phantom":
            places.append(_folder_of(settings, source))
    return places


def read_source(settings: DataSettings, cache: Path) -> Catalogue:
    """The catalogue of the chosen sources, before splits and preparation.

    Raises:
        ParameterError: There is no such source.
        DataError: A data set is missing, broken or empty.
    """
    catalogue = merge(_read_one(settings, source, cache) for source in _sources(settings))
    return _with_pixel_size(catalogue, settings.pixel_size_mm)


def _sources(settings: DataSettings) -> list[str]:
    """The chosen sources, each once."""
    chosen = list(dict.fromkeys([settings.source, *settings.also]))
    unknown = [source for source in chosen if source not in SOURCES]
    if unknown:
        raise ParameterError(f"source must be one of {SOURCES}. Got {unknown[0]!r}.")
    if settings.optical_density and "ddsm" not in chosen:
        raise ParameterError(
            f"optical_density is for films of the source ddsm. Got the sources {chosen}."
        )
    return chosen


def _read_one(settings: DataSettings, source: str, cache: Path) -> Catalogue:
    catalogue = _READERS[source](settings, cache)
    if catalogue.images.empty:
        raise DataError(
            f"not one usable image among {len(catalogue.quarantine)} quarantined items.",
            location=f"source {source}",
            remedy="The quarantine's first reason: "
            + (catalogue.quarantine["reason"].iloc[0] if len(catalogue.quarantine) else "none."),
        )
    return catalogue


def _read_phantom(settings: DataSettings, cache: Path) -> Catalogue:
    if settings.phantom_form not in FORMS:
        raise ParameterError(f"phantom_form must be one of {FORMS}. Got {settings.phantom_form!r}.")
    if settings.phantom_faults and not settings.phantom_form.startswith(CBIS):
        raise ParameterError(
            f"phantom_faults needs a phantom_form that begins with {CBIS!r}: the faults are those "
            f"of CBIS-DDSM's files. Got {settings.phantom_form!r}."
        )
    return read_phantom(
        cache, _phantom(settings), settings.phantom_form, faults=settings.phantom_faults
    )


def _phantom(settings: DataSettings) -> PhantomSettings:
    return PhantomSettings(
        patients=settings.patients,
        rows=settings.image_rows,
        cols=settings.image_cols,
        lesion_contrast=settings.lesion_contrast,
        seed=settings.seed,
    )


def _read_mias(settings: DataSettings, cache: Path) -> Catalogue:
    return read_mias(find_data_root(settings.data_root), cache, strict=settings.strict)


def _read_cbis(settings: DataSettings, cache: Path) -> Catalogue:
    return read_cbis(_folder_of(settings, "cbis"), cache, strict=settings.strict)


def _read_ddsm(settings: DataSettings, cache: Path) -> Catalogue:
    return read_ddsm(
        _folder_of(settings, "ddsm"),
        cache / "ddsm",
        strict=settings.strict,
        optical_density=settings.optical_density,
    )


def _read_folder(settings: DataSettings, cache: Path) -> Catalogue:
    table = _table(settings)
    return read_folder(
        table,
        table.parent,
        dataset=settings.dataset,
        columns=settings.columns,
        box_format=settings.box_format,
        strict=settings.strict,
    )


_READERS = {
    "phantom": _read_phantom,
    "mias": _read_mias,
    "cbis": _read_cbis,
    "ddsm": _read_ddsm,
    "folder": _read_folder,
}


def _table(settings: DataSettings) -> Path:
    return find_data_root(settings.data_root) / settings.table


def _folder_of(settings: DataSettings, source: str) -> Path:
    """Of a source that has a parameter <source>_folder."""
    name: str = getattr(settings, f"{source}_folder")
    folder = find_data_root(settings.data_root) / name
    if not folder.is_dir():
        raise MissingDataError(
            f"there is no folder {folder}.", remedy=f"Set {source}_folder, or leave it empty."
        )
    return folder


def case_descriptions(settings: DataSettings, outputs: Path) -> pd.DataFrame | None:
    """The rows of CBIS-DDSM's case descriptions, real or phantoms'; None without that source.

    Args:
        settings: As `build_dataset` was given them.
        outputs: Folder of the run.
    """
    sources = _sources(settings)
    if "cbis" in sources:
        folder = _folder_of(settings, "cbis")
    elif "phantom" in sources and settings.phantom_form.startswith(CBIS):
        folder = phantom_folder(
            outputs / "dataset" / "raw",
            _phantom(settings),
            settings.phantom_form,
            faults=settings.phantom_faults,
        )
    else:
        return None
    return read_descriptions(list(find_csvs(folder).values()))


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
    quarantine = prepared.quarantine.to_dict("records")
    catalogue = catalogue.without_images(lost).with_quarantine(quarantine)
    check_every_class(catalogue.images)
    duplicates = find_duplicates(prepared)
    check_no_content_leak(duplicates, catalogue.images)
    catalogue.save(folder)
    write_parquet(folder / "duplicates.parquet", duplicates)
    write_json(folder / "settings.json", asdict(settings))
    return Dataset(folder, catalogue, prepared, duplicates, _is_synthetic(catalogue))


def open_dataset(outputs: Path) -> Dataset:
    """What notebook 01 left in the run's outputs; in LAB, where that is nothing, LAB_SETTINGS.

    Raises:
        OutputError: Notebook 01 has not run for this set.
    """
    folder = outputs / "dataset"
    if not (folder / "settings.json").is_file():
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


def _with_pixel_size(catalogue: Catalogue, pixel_size_mm: float) -> Catalogue:
    if not pixel_size_mm:
        return catalogue
    return replace(catalogue, images=catalogue.images.fillna({"pixel_spacing_mm": pixel_size_mm}))

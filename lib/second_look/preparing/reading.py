"""Which mammograms a run works on: from its parameters to one catalogue of all its sources."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pandas as pd

from second_look.catalogue import Catalogue, assign_splits, clean_official_split, merge
from second_look.errors import DataError, LostRowsError, MissingDataError, ParameterError
from second_look.files import DATA_VARIABLE
from second_look.phantoms.forms import CBIS, FORMS, phantom_folder, read_phantom
from second_look.phantoms.phantom import PhantomSettings
from second_look.records import DATASET
from second_look.sources.cbis_ddsm import find_csvs, read_cbis, read_descriptions
from second_look.sources.cbis_index import index_files
from second_look.sources.cbis_labels import add_described_lesions
from second_look.sources.ddsm import read_ddsm
from second_look.sources.ddsm_cases import without_cases_of_cbis
from second_look.sources.folder import read_folder, rows_at_a_glance
from second_look.sources.mias import read_mias
from second_look.sources.mias_files import find_mias
from second_look.sources.table_forms import BOX_FORMATS, Converted, convert, join_cmmd
from second_look.sources.table_forms import FORMS as TABLE_FORMS

SOURCES = ("phantom", "mias", "cbis", "ddsm", "folder")


@dataclass(frozen=True, kw_only=True)
class DataSettings:
    """Which mammograms a run works on.

    Attributes:
        source: One of SOURCES.
        also: More of them, read beside it as one data set.
        data_root: Folder of the data sets; empty: $SECOND_LOOK_DATA, then ./data.
        cbis_folder, ddsm_folder: Of these data sets, relative to data_root.
        ddsm_cases: For cbis and ddsm together: CSV of which case of DDSM each patient of CBIS-DDSM
            is (columns cbis and ddsm), relative to data_root.
        optical_density: For source ddsm: grey levels linear in optical density.
        table: For source folder: the CSV, relative to data_root.
        columns: For source folder: standard column name -> name in that CSV.
        labels: For source folder: spelling of a label in that CSV -> its standard name.
        table_form: For source folder: form of the table, one of TABLE_FORMS.
        box_format: For source folder: rowcol, xywh or xyxy.
        bits: For source folder: bits of the grey levels in 16-bit PNG and TIFF files; 0: found.
        photometric: For source folder: one of PHOTOMETRIC, of files that do not say.
        max_lost: For source folder: largest share of images that may be left out.
        dataset: For source folder: name of the data set in every table.
        cbis_descriptions: For source folder, of images of CBIS-DDSM: folder of its case
            descriptions, relative to data_root, which complete the lesions and labels.
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
    ddsm_cases: str = ""
    optical_density: bool = False
    table: str = ""
    columns: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    table_form: str
    box_format: str
    bits: int = 0
    photometric: str
    max_lost: float = 1.0
    dataset: str
    cbis_descriptions: str = ""
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


def find_data_root(data_root: str) -> Path:
    """The folder of the data sets: the parameter, else the environment variable, else ./data.

    Raises:
        MissingDataError: It is not there.
        DataError: Names of files cannot be read here, or its own cannot be written into tables.
    """
    if (encoding := sys.getfilesystemencoding()) != "utf-8":
        raise DataError(
            f"names of files are read as {encoding} here, not as UTF-8.",
            "the locale",
            "Set the environment variable PYTHONUTF8=1.",
        )
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
    root = root.resolve()
    try:
        str(root).encode()
    except UnicodeEncodeError:
        raise DataError("its name is not UTF-8.", ascii(str(root)), "Rename it.") from None
    return root


def data_locations(settings: DataSettings) -> list[Path]:
    """The files and folders outside the project that the sources read; none for the phantom."""
    places = []
    for source in _sources(settings):
        if source == "mias":
            places.append(find_mias(find_data_root(settings.data_root)))
        elif source == "folder":
            places.append(_table(settings).parent)
            if settings.cbis_descriptions and _descriptions(settings).is_dir():
                places.append(_descriptions(settings))
        elif source != "phantom":
            places.append(_folder_of(settings, source))
    return places


def read_source(settings: DataSettings, cache: Path) -> Catalogue:
    """The catalogue of the chosen sources, before splits and preparation.

    Raises:
        ParameterError: There is no such source.
        DataError: A data set is missing, broken or empty, or CBIS-DDSM's patients are not mapped.
    """
    parts = {source: _read_one(settings, source, cache) for source in _sources(settings)}
    for source in _of_cbis(settings, parts) if "ddsm" in parts else []:
        cases = find_data_root(settings.data_root) / settings.ddsm_cases
        parts["ddsm"] = without_cases_of_cbis(parts["ddsm"], parts[source], cases)
    catalogue = merge(parts.values())
    return _with_pixel_size(catalogue, settings.pixel_size_mm)


def _sources(settings: DataSettings) -> list[str]:
    """The chosen sources, each once."""
    chosen = list(dict.fromkeys([settings.source, *settings.also]))
    unknown = [source for source in chosen if source not in SOURCES]
    if unknown:
        raise ParameterError(f"source must be one of {SOURCES}. Got {unknown[0]!r}.")
    if "ddsm" in chosen and _of_cbis(settings, chosen) and not settings.ddsm_cases:
        raise ParameterError(
            f"{_of_cbis(settings, chosen)[0]} and ddsm cannot be read as one data set: "
            "CBIS-DDSM was chosen from the cases of DDSM and numbers its patients anew, so films "
            "of one woman would get into training and test. Use one of them, or give ddsm_cases, "
            "a CSV of which case is which patient."
        )
    if settings.optical_density and "ddsm" not in chosen:
        raise ParameterError(
            f"optical_density is for films of the source ddsm. Got the sources {chosen}."
        )
    return chosen


def _of_cbis(settings: DataSettings, sources: Iterable[str]) -> list[str]:
    """The sources whose images are of CBIS-DDSM."""
    of_cbis = {"cbis": True, "folder": bool(settings.cbis_descriptions)}
    return [source for source in sources if of_cbis.get(source)]


def _read_one(settings: DataSettings, source: str, cache: Path) -> Catalogue:
    catalogue = _READERS[source](settings, cache)
    if catalogue.images.empty:
        rows = catalogue.quarantine.to_dict("records")
        raise LostRowsError(
            f"not one usable image among {len(rows)} quarantined items.",
            f"source {source}",
            f"The first reason: {rows[0]['reason'] if rows else 'none'}.",
            rows,
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
    catalogue = read_folder(
        table,
        table.parent,
        dataset=settings.dataset,
        columns=settings.columns,
        labels=settings.labels,
        box_format=BOX_FORMATS.get(settings.table_form, settings.box_format),
        bits=settings.bits,
        photometric=settings.photometric,
        max_lost=settings.max_lost,
        strict=settings.strict,
        converted=_converted(settings, table, cache),
    )
    if not settings.cbis_descriptions or catalogue.images.empty:
        return catalogue
    return add_described_lesions(catalogue, _descriptions(settings), strict=settings.strict)


def expected_catalogue(settings: DataSettings) -> tuple[Catalogue, int]:
    """The images that a user's table names, split as they will be, and its rows with a location.

    Their files are not looked at: sizes and depths are none.

    Raises:
        MissingDataError, DataError: The table cannot be read, or its splits are wrong.
    """
    rows, located = rows_at_a_glance(_table(settings), settings.columns, settings.labels)
    unknown = {"dataset": settings.dataset, "rows": 1, "cols": 1, "bits": 0}
    catalogue = Catalogue.from_rows(
        unknown | {"image_id": path, "path": path} | row for path, row in rows.items()
    )
    catalogue = assign_splits(
        clean_official_split(catalogue),
        seed=settings.seed,
        val_share=settings.val_share,
        test_share=settings.test_share,
    )
    return catalogue, located


def _converted(settings: DataSettings, table: Path, cache: Path) -> Converted | None:
    """The rows of a table of another form; None for a plain table."""
    form, drawn = settings.table_form, cache / "drawn-masks"
    if form not in TABLE_FORMS:
        raise ParameterError(f"table_form must be one of {TABLE_FORMS}. Got {form!r}.")
    if form == "cmmd":
        return join_cmmd(table, settings.columns, index_files(table.parent, cache), drawn)
    return None if form == "table" else convert(form, table, settings.columns, drawn)


_READERS = {
    "phantom": _read_phantom,
    "mias": _read_mias,
    "cbis": _read_cbis,
    "ddsm": _read_ddsm,
    "folder": _read_folder,
}


def _table(settings: DataSettings) -> Path:
    return find_data_root(settings.data_root) / settings.table


def _descriptions(settings: DataSettings) -> Path:
    return find_data_root(settings.data_root) / settings.cbis_descriptions


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
            outputs / DATASET / "raw",
            _phantom(settings),
            settings.phantom_form,
            faults=settings.phantom_faults,
        )
    else:
        return None
    return read_descriptions(list(find_csvs(folder).values()))


def _with_pixel_size(catalogue: Catalogue, pixel_size_mm: float) -> Catalogue:
    if not pixel_size_mm:
        return catalogue
    return replace(catalogue, images=catalogue.images.fillna({"pixel_spacing_mm": pixel_size_mm}))

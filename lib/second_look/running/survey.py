"""A data set counted from the command line: what its reader makes of it, before it is prepared."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from second_look.catalogue import Catalogue, assign_splits, clean_official_split
from second_look.errors import LostRowsError
from second_look.preparing.reading import read_source
from second_look.preparing.splits import located_lesions
from second_look.running.cohorts import KnownImages, data_settings
from second_look.running.needs import SURVEY
from second_look.running.notebooks import find_notebooks
from second_look.running.parameters import load_params, read_cells

_REASONS = 8


def survey(params: Path, notebooks: Path, overrides: Sequence[str]) -> tuple[list[str], bool]:
    """Read the data set of a params file and count it; its pictures are not decoded.

    Args:
        params: The params file.
        notebooks: Folder of the notebooks, whose first has the parameters.
        overrides: NAME=VALUE.

    Returns:
        Lines for the terminal; whether notebook 01 takes the data set.

    Raises:
        DataError: The data set is missing, broken or empty.
    """
    cells = read_cells(find_notebooks(notebooks))
    values = load_params(params, cells, overrides)[SURVEY]
    settings = data_settings(values)
    with tempfile.TemporaryDirectory(prefix="second-look-") as cache:
        try:
            catalogue = clean_official_split(read_source(settings, Path(cache)))
        except LostRowsError as error:
            quarantine = Catalogue.from_rows([], quarantine=error.rows).quarantine
            return [f"Notebook 01 stops: {error}", *_quarantine(quarantine)], False
    catalogue = assign_splits(
        catalogue,
        seed=settings.seed,
        val_share=settings.val_share,
        test_share=settings.test_share,
    )
    images = KnownImages(catalogue.images, located_lesions(catalogue.lesions))
    refusals = [f"  {name}: {reason}" for name, reason in images.refusals().items()]
    later = ["", "Notebooks that cannot run on these images:", *refusals] if refusals else []
    return [*_counts(catalogue), "", *_quarantine(catalogue.quarantine), *later], True


def _counts(catalogue: Catalogue) -> list[str]:
    images, lesions = catalogue.images, catalogue.lesions
    patients = images.groupby("dataset")["patient_id"].nunique().sum()
    table = pd.crosstab(images["split"], images["label"], margins=True, margins_name="all")
    spacing = images["pixel_spacing_mm"].notna().mean()
    return [
        f"{len(images):,} images of {patients:,} patients, {len(lesions):,} lesions: "
        f"{' + '.join(sorted(images['dataset'].unique()))}",
        f"Size {images['rows'].min()}×{images['cols'].min()} to "
        f"{images['rows'].max()}×{images['cols'].max()} px; pixel size known for {spacing:.0%}.",
        *str(table).splitlines(),
    ]


def _quarantine(rows: pd.DataFrame) -> list[str]:
    """What cannot be used, summed up by its effect and code."""
    if rows.empty:
        return ["Nothing is in the quarantine. Pictures are decoded in notebook 01 only."]
    grouped = rows.groupby(["effect", "code"]).agg(
        count=("reason", "size"), first=("reason", "first")
    )
    ordered = grouped.sort_values("count", ascending=False)
    lines = [
        f"  {count:>6,}  {effect}, {code}: {reason}"
        for (effect, code), count, reason in ordered.itertuples(name=None)
    ]
    return [f"In the quarantine, by reason: {len(rows):,} rows", *lines[:_REASONS]]

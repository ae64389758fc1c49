"""Phantoms read by the readers that real data use, in any of the forms that real data have."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

from second_look.catalogue import Catalogue
from second_look.files import write_json
from second_look.phantoms.cbis import FAULTS, LAYOUTS, write_cbis_layout
from second_look.phantoms.ddsm import write_ddsm_layout
from second_look.phantoms.digital_files import write_digital_layout
from second_look.phantoms.files import write_folder_layout, write_mias_layout
from second_look.phantoms.phantom import PhantomSettings
from second_look.sources.cbis_ddsm import read_cbis
from second_look.sources.ddsm import read_ddsm
from second_look.sources.folder import read_folder
from second_look.sources.mias import read_mias

DATASET = "phantom"
CBIS = "cbis_"
FORMS = ("folder", "digital", "mias", "ddsm", *(f"{CBIS}{layout}" for layout in LAYOUTS))


def read_phantom(
    cache: Path, settings: PhantomSettings, form: str = "folder", *, faults: bool = False
) -> Catalogue:
    """The catalogue of a set of phantoms, which are written to the cache if they are not there.

    Args:
        cache: Where to.
        settings: What is drawn.
        form: One of FORMS: a user's own folder with a table, the same of digital
            systems in DICOM, mini-MIAS, the originals of DDSM, or
            CBIS-DDSM in one of its layouts.
        faults: In the form of CBIS-DDSM, with every known fault of the real files.

    Raises:
        DataError: There are fewer breasts than faults.
    """
    folder = phantom_folder(cache, settings, form, faults=faults)
    if not (folder / "settings.json").is_file():
        _writer(form, faults=faults)(folder, settings)
        # Written last, it marks the set as whole.
        write_json(folder / "settings.json", asdict(settings))
    catalogue = _read(folder, form)
    # Whatever form they have, nobody shall take them for the real ones.
    return replace(
        catalogue,
        images=catalogue.images.assign(dataset=DATASET),
        quarantine=catalogue.quarantine.assign(dataset=DATASET),
    ).checked()


def phantom_folder(cache: Path, settings: PhantomSettings, form: str, *, faults: bool) -> Path:
    """Where a set of phantoms is kept: other settings never share a folder."""
    if form not in FORMS:
        raise ValueError(f"form must be one of {FORMS}. Got {form!r}.")
    text = repr((sorted(asdict(settings).items()), form, faults))
    return cache / f"phantom-{hashlib.sha256(text.encode()).hexdigest()[:12]}"


def _writer(form: str, *, faults: bool) -> Callable[[Path, PhantomSettings], object]:
    if form.startswith(CBIS):
        chosen = FAULTS if faults else ()
        return partial(write_cbis_layout, layout=form.removeprefix(CBIS), faults=chosen)
    return {
        "folder": write_folder_layout,
        "digital": write_digital_layout,
        "mias": write_mias_layout,
        "ddsm": write_ddsm_layout,
    }[form]


def _read(folder: Path, form: str) -> Catalogue:
    beside = folder.with_name(f"{folder.name}-read")
    if form.startswith(CBIS):
        return read_cbis(folder, beside)
    if form == "ddsm":
        return read_ddsm(folder, beside)
    if form == "mias":
        return read_mias(folder, beside)
    return read_folder(folder / "images.csv", folder, dataset=DATASET)

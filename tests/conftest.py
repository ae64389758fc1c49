"""Shared by all test modules: phantoms, real data, Chromium, limits on threads, hypothesis."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

if "PYTEST_XDIST_WORKER" in os.environ:  # before numpy and torch read it: one core a worker
    for limit in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ.setdefault(limit, "1")

import matplotlib as mpl
from helpers.shared_builds import build_once, unchanged
from helpers.small_mammograms import small_settings
from hypothesis import settings
from second_look.catalogue import Catalogue
from second_look.preparing.dataset import Dataset, build_dataset, open_dataset
from second_look.sources.mias import read_mias

mpl.use("Agg")  # not by MPLBACKEND: kernels started by a test would inherit it

settings.register_profile("local", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True)
settings.register_profile("few", deadline=None, max_examples=10)
settings.load_profile(
    os.environ.get("HYPOTHESIS_PROFILE", "ci" if os.environ.get("CI") else "local")
)

REPO = Path(__file__).resolve().parents[1]
MIAS_ARCHIVES = ("all-mias.tar.xz", "all-mias.tar.gz")
CBIS_FOLDER = "cbis-ddsm-mass-800"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
SLOW_SECONDS = 3600  # a busy machine makes a slow test slower and not wrong


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give slow tests their own time limit, and mark those that wait for prepared phantoms.

    Trainings in two processes want both cores for themselves: they are slow ones.
    """
    for item in items:
        if "two_processes" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.slow)
        if "phantom_data" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.prepared)
        if item.get_closest_marker("slow"):
            item.add_marker(pytest.mark.timeout(SLOW_SECONDS), append=False)


def data_roots() -> list[Path]:
    """Folders that may hold the real data: what SECOND_LOOK_DATA names, or the usual two."""
    named = os.environ.get("SECOND_LOOK_DATA")
    if named:
        return [Path(named).expanduser().resolve()]
    return [REPO.parent / "shared" / "data", REPO / "data"]


def real_data(*names: str) -> Path:
    """The first data root that holds all of these, or a skip that says how to get them."""
    roots = data_roots()
    for root in roots:
        if all((root / name).exists() for name in names):
            return root
    pytest.skip(
        f"no {' and '.join(names)} in {' or '.join(root.as_posix() for root in roots)}: set "
        "SECOND_LOOK_DATA to the folder that holds them. mini-MIAS is at "
        "http://peipa.essex.ac.uk/pix/mias/all-mias.tar.gz, CBIS-DDSM at "
        "https://doi.org/10.7937/K9/TCIA.2016.7O02S9CY"
    )


@pytest.fixture(autouse=True)
def figures_closed() -> Iterator[None]:
    """No test finds a figure that an earlier one of its process left open."""
    yield
    if pyplot := sys.modules.get("matplotlib.pyplot"):
        pyplot.close("all")


@pytest.fixture(scope="session")
def repo() -> Path:
    """The root of the checkout."""
    return REPO


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of this run of pytest that all its processes see."""
    base = tmp_path_factory.getbasetemp()
    folder = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    return folder / "shared"


@pytest.fixture(scope="session")
def phantom_data(run_folder: Path) -> Iterator[Dataset]:
    """64 small phantoms of 16 patients, for tests that only read them."""
    folder = build_once(
        run_folder / "phantoms", lambda folder: build_dataset(folder, small_settings(), workers=0)
    )
    with unchanged(folder):
        yield open_dataset(folder)


@pytest.fixture(scope="session")
def data_root() -> Path:
    """The folder with the mini-MIAS archive and the CBIS-DDSM masses."""
    return real_data(MIAS_ARCHIVES[0], CBIS_FOLDER)


@pytest.fixture(scope="session")
def mias_archive() -> Path:
    """The archive of the 322 mini-MIAS images, .tar.xz or as published .tar.gz."""
    for root in data_roots():
        for name in MIAS_ARCHIVES:
            if (root / name).is_file():
                return root / name
    return real_data(MIAS_ARCHIVES[0]) / MIAS_ARCHIVES[0]


@pytest.fixture(scope="session")
def mias_catalogue(mias_archive: Path, run_folder: Path) -> Catalogue:
    """The real mini-MIAS, unpacked once in a run."""
    cache = build_once(run_folder / "mias", lambda folder: read_mias(mias_archive, folder))
    return read_mias(mias_archive, cache)


@pytest.fixture(scope="session")
def cbis_mass_folder() -> Path:
    """The folder with the 1,592 CBIS-DDSM mammograms with masses, and their labels.csv."""
    return real_data(f"{CBIS_FOLDER}/labels.csv") / CBIS_FOLDER


@pytest.fixture(scope="session")
def chromium() -> str:
    """The path of Chromium or Chrome: $CHROMIUM, or the first one on the path."""
    for name in (os.environ.get("CHROMIUM", ""), *BROWSERS):
        executable = shutil.which(name) if name else None
        if executable:
            return executable
    hint = "no Chromium here: install Debian's chromium, or set CHROMIUM to a Chrome or Chromium"
    if os.environ.get("SECOND_LOOK_BROWSER") == "required":
        pytest.fail(hint)
    pytest.skip(hint)

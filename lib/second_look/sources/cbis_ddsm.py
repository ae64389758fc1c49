"""CBIS-DDSM: 3,032 mammograms with masses or calcifications (Lee et al. 2017), raw DICOM.

The four case description CSVs say what there is; the files are found below the same folder in any
layout, by the SeriesInstanceUID in their headers. An image is a (patient, side, view): one that
stands in several rows, CSVs or files is one image with the lesions of all of them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

import pandas as pd

from second_look.catalogue import Catalogue, worst
from second_look.errors import DataError, MissingDataError
from second_look.files import read_bytes
from second_look.sources.cbis_descriptions import (
    ADDRESS,
    DENSITIES,
    KINDS,
    SIDES,
    csv_names,
    read_descriptions,
    survey_descriptions,
)
from second_look.sources.cbis_index import index_files, walk_files
from second_look.sources.cbis_masks import Picture, choose_mask

__all__ = ["DATASET", "find_csvs", "read_cbis", "read_descriptions", "survey_descriptions"]

DATASET = "cbis"
_DOWNLOAD = (
    "`python -m second_look download cbis` fetches all of it or a part; the NBIA Data Retriever "
    f"does too: {ADDRESS}"
)


@dataclass
class _Findings:
    """Rows collected while reading, or the error at the first problem where strict."""

    csvs: dict[str, Path]
    strict: bool
    images: list[dict[str, Any]] = field(default_factory=list)
    lesions: list[dict[str, Any]] = field(default_factory=list)
    quarantine: list[dict[str, Any]] = field(default_factory=list)
    # (csv, what is not there) -> its names; each becomes one row, not thousands.
    absent: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    twice: list[str] = field(default_factory=list)

    def set_aside(
        self, reason: str, *, effect: str, file: Path | str, row: str = "", **ids: str
    ) -> None:
        """Put something into the quarantine.

        Raises:
            DataError: The same, where strict.
        """
        if self.strict:
            raise DataError(reason, where=f"{file} {row}".strip(), remedy="Or run without strict.")
        self.quarantine.append(
            {"dataset": DATASET, "file": str(file), "row": row, "effect": effect, "reason": reason}
            | ids
        )

    def set_row_aside(self, reason: str, roi: Any, *, effect: str, lesion_id: str = "") -> None:  # noqa: ANN401
        self.set_aside(
            reason,
            effect=effect,
            file=self.csvs[roi.csv],
            row=f"row {roi.row}",
            image_id=roi.image_key,
            lesion_id=lesion_id,
        )

    def miss(self, csv: str, what: str, name: str) -> None:
        names = self.absent.setdefault((csv, what), [])
        if name not in names:
            names.append(name)


def read_cbis(
    root: Path,
    cache: Path,
    *,
    kinds: Sequence[str] = ("mass", "calcification"),
    strict: bool = False,
) -> Catalogue:
    """Read CBIS-DDSM, all of it or what of it is there.

    The split is the official one; an image that stands in both its parts is a test image. Other
    images of its patient stay in training: `clean_official_split` takes them out.

    Args:
        root: Folder with the CSVs and the DICOM files somewhere below it.
        cache: Folder where the index of headers is kept.
        kinds: Which CSVs to read: mass, calcification or both.
        strict: Raise at the first thing that would go to the quarantine.

    Raises:
        MissingDataError: No CSV of these kinds, or not one of their images, is below root.
        DataError: A CSV is broken, or two of one name differ.
    """
    unknown = [kind for kind in kinds if kind not in KINDS]
    if unknown or not kinds:
        raise ValueError(f"kinds must be some of {tuple(KINDS)}. Got {tuple(kinds)}.")
    csvs = find_csvs(root, kinds)
    descriptions = read_descriptions(list(csvs.values()))
    index = index_files(root, cache)
    found = _Findings(csvs, strict)
    files = _pictures(found, root.resolve(), index)
    if not set(descriptions["image_series"]) & set(files):
        raise MissingDataError(
            f"not one of the {descriptions['image_key'].nunique()} images of the CSVs is here, "
            f"among {len(index)} DICOM files.",
            root,
            _DOWNLOAD,
        )
    for image_key, rois in groupby(sorted(descriptions.itertuples(), key=_rank), _image_key):
        _add_image(found, files, image_key, list(rois))
    _report_absent(found)
    _report_strangers(found, root.resolve(), index, descriptions, kinds)
    return Catalogue.from_rows(found.images, found.lesions, found.quarantine)


def find_csvs(root: Path, kinds: Sequence[str] = ("mass", "calcification")) -> dict[str, Path]:
    """Official name -> path of each case description CSV below a folder, wherever it lies.

    Raises:
        MissingDataError: There is none with these kinds of lesions.
        DataError: Two of one name differ.
    """
    wanted = csv_names(kinds)
    paths = [Path(entry.path) for entry in walk_files(root) if entry.name in wanted]
    found: dict[str, Path] = {}
    for path in sorted(paths, key=lambda path: (len(path.parts), path)):
        first = found.setdefault(path.name, path)
        if read_bytes(path, _DOWNLOAD) != read_bytes(first, _DOWNLOAD):
            raise DataError(f"differs from {first}.", path, "Keep the right one only.")
    if not found:
        raise MissingDataError(
            f"no case descriptions here: expected {', '.join(wanted)}.",
            root,
            f"The CSVs are on the page of the data set: {ADDRESS}",
        )
    return {name: found[name] for name in wanted if name in found}


def _pictures(found: _Findings, root: Path, index: pd.DataFrame) -> dict[str, list[Picture]]:
    """SeriesInstanceUID -> its files, each picture once; files of unknown series are set aside."""
    nameless = index[index["series_uid"] == ""]
    if len(nameless):
        found.set_aside(
            f"{len(nameless)} DICOM files cannot be read: "
            + _few(f"{row.path} ({row.problem})" for row in nameless.itertuples()),
            effect="image left out",
            file=root,
        )
    # A good copy comes before a broken one; whoever downloads twice has both.
    named = index[index["series_uid"] != ""].sort_values("path")
    named = named.iloc[(named["problem"] != "").to_numpy().argsort(kind="stable")]
    same = ["series_uid", "sop_uid", "rows", "cols", "bits_stored"]
    copies = named[named.duplicated(same)]
    if len(copies):
        found.set_aside(
            f"{len(copies)} files are copies of others (same SOPInstanceUID) and not used: "
            + _few(sorted(copies["path"])),
            effect="kept, mended",
            file=root,
        )
    files: dict[str, list[Picture]] = {}
    for row in named.drop_duplicates(same).sort_values("path").itertuples():
        picture = Picture(root / row.path, row.rows, row.cols, row.bits_stored, row.problem)
        files.setdefault(row.series_uid, []).append(picture)
    return files


def _image_key(roi: Any) -> str:  # noqa: ANN401
    return str(roi.image_key)


def _rank(roi: Any) -> tuple[str, bool, bool, int]:  # noqa: ANN401
    """Where two CSVs show one image, test comes before train and mass before calcification."""
    return roi.image_key, roi.split != "test", roi.kind != "mass", roi.row


def _add_image(
    found: _Findings, files: dict[str, list[Picture]], image_key: str, rois: list[Any]
) -> None:
    """Add one image with the lesions of all its rows, or set it aside.

    A row that cannot be used takes its image along: its lesion would pass for normal tissue.
    """
    unusable = [roi for roi in rois if roi.problem]
    for roi in unusable:
        found.set_row_aside(roi.problem, roi, effect="image left out")
    if unusable:
        return
    file = _image_file(found, files, image_key, rois)
    if file is None:
        return
    _report_oddities(found, rois)
    found.images.append(
        {
            "image_id": image_key,
            "dataset": DATASET,
            "patient_id": rois[0].patient_id,
            "laterality": SIDES[rois[0].side],
            "view": rois[0].view,
            "rows": file.rows,
            "cols": file.cols,
            "bits": file.bits,
            "density": next((roi.density for roi in rois if roi.density in DENSITIES), ""),
            "label": worst(roi.pathology for roi in rois),
            "split": rois[0].split,
            "path": str(file.path),
        }
    )
    _add_lesions(found, files, image_key, rois, file)


def _image_file(
    found: _Findings, files: dict[str, list[Picture]], image_key: str, rois: list[Any]
) -> Picture | None:
    """The mammogram's file; None, and said so, where there is none that can be used."""
    present = [
        file
        for uid in dict.fromkeys(roi.image_series for roi in rois)
        for file in files.get(uid, [])
    ]
    if not present:
        for csv in dict.fromkeys(roi.csv for roi in rois):
            found.miss(csv, "images", image_key)
        return None
    good = [file for file in present if not file.problem and 1 <= file.bits <= 16]
    if not good:
        reason = present[0].problem or f"{present[0].bits} bits a pixel, expected 1 to 16"
        found.set_aside(reason, effect="image left out", file=present[0].path, image_id=image_key)
        return None
    if len(present) > 1:
        found.twice.append(image_key)
    first = [file for file in good if file in files.get(rois[0].image_series, [])]
    return max(first or good, key=lambda file: file.rows * file.cols)


def _report_oddities(found: _Findings, rois: list[Any]) -> None:
    """Say what is odd about the rows of one image, and what is made of it."""
    for roi in rois:
        if roi.mended:
            found.set_row_aside(f"{roi.mended}: taken as unknown", roi, effect="kept, mended")
        if roi.split != rois[0].split:
            reason = "a CSV of the test set shows the image too: this lesion is a test one"
            found.set_row_aside(reason, roi, effect="kept, mended")
    known = dict.fromkeys(roi.density for roi in rois if roi.density in DENSITIES)
    if len(known) > 1:
        reason = f"rows of one image give the densities {', '.join(known)}; the first is taken"
        found.set_row_aside(reason, rois[0], effect="kept, mended")


def _add_lesions(
    found: _Findings,
    files: dict[str, list[Picture]],
    image_key: str,
    rois: list[Any],
    image: Picture,
) -> None:
    """Add the lesions of one image, each with the file that is its mask."""
    seen: Counter[str] = Counter()
    for roi in rois:
        lesion_id = f"{image_key}_{roi.kind}_{roi.abnormality_id}"
        seen[lesion_id] += 1
        if seen[lesion_id] > 1:
            again = f"{lesion_id}_{seen[lesion_id]}"
            reason = f"the abnormality_id repeats that of another row; the lesion is called {again}"
            found.set_row_aside(reason, roi, effect="kept, mended", lesion_id=again)
            lesion_id = again
        found.lesions.append(
            {
                "lesion_id": lesion_id,
                "image_id": image_key,
                "kind": roi.kind,
                "pathology": roi.pathology,
                "assessment": roi.assessment,
                "subtlety": roi.subtlety,
                "mask_path": _mask_path(found, files, roi, lesion_id, image),
            }
        )


def _mask_path(
    found: _Findings,
    files: dict[str, list[Picture]],
    roi: Any,  # noqa: ANN401
    lesion_id: str,
    image: Picture,
) -> str:
    """The mask file of one ROI; "", and said so, where there is none that can be trusted."""
    series = dict.fromkeys([roi.crop_series, roi.mask_series])
    candidates = [file for uid in series for file in files.get(uid, [])]
    if not candidates:
        found.miss(roi.csv, "masks", lesion_id)
        return ""
    choice = choose_mask(candidates, image)
    if choice.reason:
        found.set_row_aside(choice.reason, roi, effect=choice.effect, lesion_id=lesion_id)
    return str(choice.mask.path) if choice.mask else ""


def _report_absent(found: _Findings) -> None:
    """One row for each CSV and kind of absence, and one for images with several files."""
    if found.twice:
        found.set_aside(
            f"{len(found.twice)} images have several files, as a rule one for their masses and one "
            "for their calcifications; one of them is used, with the lesions of all: "
            + _few(found.twice),
            effect="kept, mended",
            file="",
        )
    effects = {"images": "image left out", "masks": "location unknown"}
    for (csv, what), names in found.absent.items():
        found.set_aside(
            f"the series of {len(names)} {what} are not among the files: {_few(names)}",
            effect=effects[what],
            file=found.csvs[csv],
        )


def _report_strangers(
    found: _Findings,
    root: Path,
    index: pd.DataFrame,
    descriptions: pd.DataFrame,
    kinds: Sequence[str],
) -> None:
    """One row for all DICOM files that no row of the CSVs names."""
    named = set(descriptions[["image_series", "crop_series", "mask_series"]].to_numpy().ravel())
    strange = index[(index["series_uid"] != "") & ~index["series_uid"].isin(named)]
    # Files of a kind that was not asked for say so: Calc-Training_P_00005_RIGHT_CC.
    unasked = [f"{KINDS[kind]}-" for kind in KINDS if kind not in kinds]
    for prefix in unasked:
        strange = strange[~strange["patient_id"].str.lower().str.startswith(prefix)]
    if len(strange):
        found.set_aside(
            f"{len(strange)} DICOM files have no row in the CSVs: {_few(strange['path'])}",
            effect="image left out",
            file=root,
        )


def _few(names: Iterable[str], most: int = 5) -> str:
    every = list(names)
    return ", ".join(every[:most]) + (f" and {len(every) - most} more" if len(every) > most else "")

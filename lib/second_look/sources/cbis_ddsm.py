"""CBIS-DDSM: 3,032 mammograms with masses or calcifications (Lee et al. 2017), DICOM or JPEG.

The four case description CSVs list the images and lesions; their files are found below the same
folder in any layout, by the SeriesInstanceUID in their headers; in Kaggle's copy as JPEG their
folders are called by it. An image is a (patient, side, view): several rows, CSVs or files of it
make one image with the lesions of all of them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

import pandas as pd

from second_look.catalogue import Catalogue, worst
from second_look.errors import DataError, MissingDataError, first_few
from second_look.files import read_bytes
from second_look.quarantine import Code, Quarantine
from second_look.sources.cbis_descriptions import (
    ADDRESS,
    DENSITIES,
    SIDES,
    csv_names,
    read_descriptions,
    survey_descriptions,
)
from second_look.sources.cbis_index import index_copy, index_files, walk_files
from second_look.sources.cbis_masks import Picture, choose_mask

__all__ = [
    "DATASET",
    "add_missing_csvs",
    "find_csvs",
    "read_cbis",
    "read_descriptions",
    "survey_descriptions",
]

DATASET = "cbis"
_DOWNLOAD = (
    "`python -m second_look download cbis` fetches all of it or a part, and so does the NBIA Data "
    f"Retriever: {ADDRESS}"
)


@dataclass
class _Reading:
    """Rows of the catalogue as they are collected."""

    quarantine: Quarantine
    csvs: dict[str, Path]
    images: list[dict[str, Any]] = field(default_factory=list)
    lesions: list[dict[str, Any]] = field(default_factory=list)
    # (csv, images or masks) -> names of those without files; each becomes one row, not thousands.
    absent: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    images_of_several_files: list[str] = field(default_factory=list)

    def add_roi(
        self,
        code: Code,
        reason: str,
        roi: Any,  # noqa: ANN401
        *,
        effect: str,
        lesion_id: str = "",
    ) -> None:
        """Add the row of one ROI to the quarantine."""
        self.quarantine.add(
            code,
            reason,
            effect=effect,
            file=self.csvs[roi.csv],
            row=f"row {roi.row}",
            image_id=roi.image_key,
            lesion_id=lesion_id,
        )

    def add_absent(self, csv: str, kind: str, name: str) -> None:
        """Note an image or a mask without a file."""
        names = self.absent.setdefault((csv, kind), [])
        if name not in names:
            names.append(name)


def read_cbis(
    root: Path,
    cache: Path,
    *,
    strict: bool = False,
) -> Catalogue:
    """Read CBIS-DDSM, or the part of it that was downloaded.

    The split is the official one; an image in both of its parts is a test image. Other training
    images of its patient stay in training: `clean_official_split` removes them.

    Args:
        root: Folder with the CSVs and the DICOM files somewhere below it.
        cache: Folder where the index of headers is kept.
        strict: Raise at the first problem that would go to the quarantine.

    Raises:
        MissingDataError: No CSV, or none of their images, is below root.
        DataError: A CSV is broken, or two of one name differ.
    """
    csvs = find_csvs(root)
    descriptions = read_descriptions(list(csvs.values()))
    index = index_files(root, cache)
    quarantine = Quarantine(DATASET, strict=strict)
    reading = _Reading(quarantine, csvs)
    dicom_files = len(index)
    if not set(descriptions["image_series"]) & set(index["series_uid"]):
        index = index_copy(quarantine, root, descriptions)
    files = _pictures(quarantine, root.resolve(), index)
    if not set(descriptions["image_series"]) & set(files):
        raise MissingDataError(
            f"none of the {descriptions['image_key'].nunique()} images of the CSVs is here, "
            f"among {dicom_files} DICOM files and {len(index)} pictures in folders called by a "
            "series.",
            root,
            _DOWNLOAD,
        )
    for image_key, rois in groupby(sorted(descriptions.itertuples(), key=_rank), _image_key):
        _add_image(reading, files, image_key, list(rois))
    _quarantine_absent(reading)
    _quarantine_undescribed(quarantine, root.resolve(), index, descriptions)
    add_missing_csvs(quarantine, root, csvs)
    return Catalogue.from_rows(reading.images, reading.lesions, quarantine.rows)


def find_csvs(root: Path) -> dict[str, Path]:
    """Official name -> path of the case description CSVs at any depth below a folder.

    Raises:
        MissingDataError: There is none.
        DataError: Two of one name differ.
    """
    names = csv_names()
    paths = [Path(entry.path) for entry in walk_files(root) if entry.name in names]
    csvs: dict[str, Path] = {}
    for path in sorted(paths, key=lambda path: (len(path.parts), path)):
        first = csvs.setdefault(path.name, path)
        if read_bytes(path, _DOWNLOAD) != read_bytes(first, _DOWNLOAD):
            raise DataError(f"differs from {first}.", path, "Keep only the right one.")
    if not csvs:
        raise MissingDataError(
            f"no case descriptions here: expected {', '.join(names)}.",
            root,
            f"The CSVs are on the page of the data set: {ADDRESS}",
        )
    return {name: csvs[name] for name in names if name in csvs}


def add_missing_csvs(quarantine: Quarantine, root: Path, csvs: Mapping[str, Path]) -> None:
    """Say which of the four CSVs are not there: 71 images have lesions in two of them."""
    missing = [name for name in csv_names() if name not in csvs]
    if missing:
        quarantine.add(
            Code.DESCRIPTIONS_MISSING,
            f"without {', '.join(missing)}, an image may hold lesions that nobody knows of here: "
            "its label may be too mild, and its normal windows may show a lesion",
            effect="kept, label uncertain",
            file=root,
        )


def _pictures(quarantine: Quarantine, root: Path, index: pd.DataFrame) -> dict[str, list[Picture]]:
    """SeriesInstanceUID -> its files without copies; unreadable files go to the quarantine."""
    unreadable = index[index["series_uid"] == ""]
    if len(unreadable):
        quarantine.add(
            Code.IMAGE_UNUSABLE,
            f"{len(unreadable)} files cannot be read: "
            + _few(f"{row.path} ({row.problem})" for row in unreadable.itertuples()),
            effect="image left out",
            file=root,
        )
    # A good copy comes before a broken one; after two downloads there may be both.
    named = index[index["series_uid"] != ""].sort_values("path")
    named = named.iloc[(named["problem"] != "").to_numpy().argsort(kind="stable")]
    identity = ["series_uid", "sop_uid", "rows", "cols", "bits_stored"]
    copies = named[named.duplicated(identity)]
    if len(copies):
        quarantine.add(
            Code.FILE_REPEATED,
            f"{len(copies)} files are copies of others (same SOPInstanceUID) and not used: "
            + _few(sorted(copies["path"])),
            effect="kept, corrected",
            file=root,
        )
    files: dict[str, list[Picture]] = {}
    for row in named.drop_duplicates(identity).sort_values("path").itertuples():
        picture = Picture(root / row.path, row.rows, row.cols, row.bits_stored, row.problem)
        files.setdefault(row.series_uid, []).append(picture)
    return files


def _image_key(roi: Any) -> str:  # noqa: ANN401
    return str(roi.image_key)


def _rank(roi: Any) -> tuple[str, bool, bool, int]:  # noqa: ANN401
    """Sort key: of two CSVs with one image, test precedes train, and mass calcification."""
    return roi.image_key, roi.split != "test", roi.kind != "mass", roi.row


def _add_image(
    reading: _Reading, files: dict[str, list[Picture]], image_key: str, rois: list[Any]
) -> None:
    """Add one image with the lesions of all its rows, or put it into the quarantine.

    An unusable row excludes its image: the lesion of the row would pass for normal tissue. A row
    that stands twice counts once.
    """
    for roi in rois:
        if roi.repeats:
            reason = f"the row repeats row {roi.repeats}, and counts once"
            reading.add_roi(Code.DESCRIPTION_REPEATED, reason, roi, effect="kept, corrected")
    rois = [roi for roi in rois if not roi.repeats]
    unusable = [roi for roi in rois if roi.problem]
    for roi in unusable:
        reading.add_roi(Code.DESCRIPTION_UNUSABLE, roi.problem, roi, effect="image left out")
    if unusable:
        return
    file = _image_file(reading, files, image_key, rois)
    if file is None:
        return
    _quarantine_corrections(reading, rois)
    reading.images.append(
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
    _add_lesions(reading, files, image_key, rois, file)


def _image_file(
    reading: _Reading, files: dict[str, list[Picture]], image_key: str, rois: list[Any]
) -> Picture | None:
    """The file of the mammogram; None, with a row in the quarantine, if none can be used."""
    present = [
        file
        for uid in dict.fromkeys(roi.image_series for roi in rois)
        for file in files.get(uid, [])
    ]
    if not present:
        for csv in dict.fromkeys(roi.csv for roi in rois):
            reading.add_absent(csv, "images", image_key)
        return None
    good = [file for file in present if not file.problem and 1 <= file.bits <= 16]
    if not good:
        reason = present[0].problem or f"{present[0].bits} bits a pixel, expected 1 to 16"
        reading.quarantine.add(
            Code.IMAGE_UNUSABLE,
            reason,
            effect="image left out",
            file=present[0].path,
            image_id=image_key,
        )
        return None
    if len(present) > 1:
        reading.images_of_several_files.append(image_key)
    first = [file for file in good if file in files.get(rois[0].image_series, [])]
    return max(first or good, key=lambda file: file.rows * file.cols)


def _quarantine_corrections(reading: _Reading, rois: list[Any]) -> None:
    """List what is contradictory or unknown in the rows of one image, and its interpretation."""
    effect = "kept, corrected"
    for roi in rois:
        if roi.unknown_values:
            reason = f"{roi.unknown_values}: taken as unknown"
            reading.add_roi(Code.VALUE_UNKNOWN, reason, roi, effect=effect)
        if roi.split != rois[0].split:
            reason = "a CSV of the test set shows the image too: this lesion is a test one"
            reading.add_roi(Code.IMAGE_IN_TEST_SET, reason, roi, effect=effect)
    densities = dict.fromkeys(roi.density for roi in rois if roi.density in DENSITIES)
    if len(densities) > 1:
        reason = f"rows of one image give the densities {', '.join(densities)}; the first is taken"
        reading.add_roi(Code.DESCRIPTIONS_DIFFER, reason, rois[0], effect=effect)


def _add_lesions(
    reading: _Reading,
    files: dict[str, list[Picture]],
    image_key: str,
    rois: list[Any],
    image: Picture,
) -> None:
    """Add the lesions of one image, each with the file that is its mask."""
    uses: Counter[str] = Counter()
    for roi in rois:
        lesion_id = f"{image_key}_{roi.kind}_{roi.abnormality_id}"
        uses[lesion_id] += 1
        if uses[lesion_id] > 1:
            lesion_id = f"{lesion_id}_{uses[lesion_id]}"
            reading.add_roi(
                Code.ID_REPEATED,
                f"the abnormality_id repeats that of another row; the lesion is called {lesion_id}",
                roi,
                effect="kept, corrected",
                lesion_id=lesion_id,
            )
        reading.lesions.append(
            {
                "lesion_id": lesion_id,
                "image_id": image_key,
                "kind": roi.kind,
                "pathology": roi.pathology,
                "assessment": roi.assessment,
                "subtlety": roi.subtlety,
                "mask_path": _mask_path(reading, files, roi, lesion_id, image),
            }
        )


def _mask_path(
    reading: _Reading,
    files: dict[str, list[Picture]],
    roi: Any,  # noqa: ANN401
    lesion_id: str,
    image: Picture,
) -> str:
    """The mask file of one ROI; "", with a row in the quarantine, if none can be trusted."""
    series = dict.fromkeys([roi.crop_series, roi.mask_series])
    candidates = [file for uid in series for file in files.get(uid, [])]
    if not candidates:
        reading.add_absent(roi.csv, "masks", lesion_id)
        return ""
    choice = choose_mask(candidates, image)
    if choice.code:
        reading.add_roi(choice.code, choice.reason, roi, effect=choice.effect, lesion_id=lesion_id)
    return str(choice.mask.path) if choice.mask else ""


def _quarantine_absent(reading: _Reading) -> None:
    """One row for each CSV and kind of missing file, and one for images with several files."""
    several = reading.images_of_several_files
    if several:
        reading.quarantine.add(
            Code.FILE_REPEATED,
            f"{len(several)} images have several files, usually one for their masses and one for "
            f"their calcifications; one of them is used, with the lesions of all: {_few(several)}",
            effect="kept, corrected",
            file="",
        )
    consequences = {
        "images": (Code.IMAGE_MISSING, "image left out"),
        "masks": (Code.MASK_MISSING, "location unknown"),
    }
    for (csv, kind), names in reading.absent.items():
        code, effect = consequences[kind]
        reading.quarantine.add(
            code,
            f"the series of {len(names)} {kind} are not among the files: {_few(names)}",
            effect=effect,
            file=reading.csvs[csv],
        )


def _quarantine_undescribed(
    quarantine: Quarantine,
    root: Path,
    index: pd.DataFrame,
    descriptions: pd.DataFrame,
) -> None:
    """One row for all DICOM files that no row of the CSVs names."""
    named = set(descriptions[["image_series", "crop_series", "mask_series"]].to_numpy().ravel())
    undescribed = index[(index["series_uid"] != "") & ~index["series_uid"].isin(named)]
    if len(undescribed):
        quarantine.add(
            Code.FILE_UNDESCRIBED,
            f"{len(undescribed)} files have no row in the CSVs: {_few(undescribed['path'])}",
            effect="image left out",
            file=root,
        )


def _few(names: Iterable[str]) -> str:
    return first_few(names, 5)

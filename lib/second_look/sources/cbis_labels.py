"""Lesions that CBIS-DDSM describes and a table of its images leaves out.

CBIS-DDSM lists masses and calcifications apart, but 71 mammograms hold both. Judged by their masses
alone, 14 malignant ones pass for benign, and their calcifications pass for normal tissue.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from second_look.catalogue import LESIONS, Catalogue, table, worst
from second_look.errors import DataError, MissingDataError
from second_look.quarantine import Code, Quarantine
from second_look.sources.cbis_ddsm import add_missing_csvs, find_csvs
from second_look.sources.cbis_descriptions import SIDES, read_descriptions

_SIDE_OF = {laterality: side for side, laterality in SIDES.items()}


def add_described_lesions(catalogue: Catalogue, root: Path, *, strict: bool) -> Catalogue:
    """Complete the lesions and labels of images of CBIS-DDSM by all of its case descriptions.

    An image is known by patient, side and view. A described lesion that the catalogue has no match
    for (same kind and pathology) is added without a location, so its image gives no normal windows.
    Splits stay as they are.

    Args:
        catalogue: Images of CBIS-DDSM, patients called P_00001.
        root: Folder with the CSVs somewhere below it. Those that are missing are named in the
            quarantine.
        strict: Raise at the first problem that would go to the quarantine.

    Raises:
        DataError: The CSVs are broken, or describe none of the images.
    """
    dataset = str(catalogue.images["dataset"].iloc[0])
    quarantine = Quarantine(dataset, strict=strict)
    try:
        csvs = find_csvs(root) if root.is_dir() else {}
    except MissingDataError:
        csvs = {}
    add_missing_csvs(quarantine, root, csvs)
    if not csvs:
        return catalogue.with_quarantine(quarantine.rows)
    descriptions = read_descriptions(list(csvs.values()))
    described = {key: list(rois.itertuples()) for key, rois in descriptions.groupby("image_key")}
    keys = _image_keys(catalogue.images)
    _check_described(quarantine, keys, described, root)
    added: list[dict[str, Any]] = []
    lesions_of = dict(tuple(catalogue.lesions.groupby("image_id")))
    for image_id, key in keys.items():
        lesions = lesions_of.get(image_id, catalogue.lesions.iloc[:0])
        for roi in _missing(described.get(key, []), lesions):
            added.append(_lesion(image_id, roi))
            quarantine.add(
                Code.LOCATION_NOT_GIVEN,
                f"{roi.csv} lists a {roi.kind} ({roi.pathology}) that the table does not have",
                effect="location unknown",
                file=csvs[roi.csv],
                row=f"row {roi.row}",
                image_id=image_id,
                lesion_id=added[-1]["lesion_id"],
            )
    return _with_lesions(catalogue, added).with_quarantine(quarantine.rows)


def _image_keys(images: pd.DataFrame) -> dict[str, str]:
    """image_id -> patient_side_view, as the CSVs call the image."""
    sides = images["laterality"].map(_SIDE_OF).fillna("")
    keys = images["patient_id"] + "_" + sides + "_" + images["view"]
    return dict(zip(images["image_id"], keys, strict=True))


def _check_described(
    quarantine: Quarantine, keys: dict[str, str], described: dict[str, list[Any]], root: Path
) -> None:
    """The images must be those of the CSVs; a few that are not are listed."""
    unknown = [image_id for image_id, key in keys.items() if key not in described]
    if len(unknown) == len(keys):
        raise DataError(
            f"the CSVs describe none of the {len(keys)} images, such as {keys[unknown[0]]}.",
            root,
            "Patient, side and view of the table must be those of CBIS-DDSM (P_00001, LEFT, CC).",
        )
    for image_id in unknown:
        quarantine.add(
            Code.DESCRIPTIONS_MISSING,
            f"no CSV describes {keys[image_id]}: its label is that of the table",
            effect="kept, label uncertain",
            file=root,
            image_id=image_id,
        )


def _missing(rois: list[Any], lesions: pd.DataFrame) -> Iterator[Any]:
    """The described lesions without a match among the lesions of their image."""
    unmatched = Counter(zip(lesions["kind"], lesions["pathology"], strict=True))
    for roi in rois:
        if not roi.pathology or roi.repeats:
            continue
        if unmatched[roi.kind, roi.pathology]:
            unmatched[roi.kind, roi.pathology] -= 1
        else:
            yield roi


def _lesion(image_id: str, roi: Any) -> dict[str, Any]:  # noqa: ANN401
    return {
        "lesion_id": f"{image_id}_{roi.kind}_{roi.abnormality_id}_row{roi.row}",
        "image_id": image_id,
        "kind": roi.kind,
        "pathology": roi.pathology,
        "assessment": roi.assessment,
        "subtlety": roi.subtlety,
    }


def _with_lesions(catalogue: Catalogue, added: list[dict[str, Any]]) -> Catalogue:
    """The catalogue with more lesions; an image has the label of its worst one."""
    if not added:
        return catalogue
    lesions = pd.concat([catalogue.lesions, table(LESIONS, added)], ignore_index=True)
    labels = lesions.groupby("image_id")["pathology"].agg(worst)
    label = catalogue.images["image_id"].map(labels).fillna(catalogue.images["label"])
    images = catalogue.images.assign(label=label)
    return replace(catalogue, images=images, lesions=lesions).checked()

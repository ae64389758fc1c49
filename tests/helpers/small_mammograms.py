"""Small data sets: settings of small phantoms, and mammograms with squares as their lesions."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from second_look.catalogue import Catalogue
from second_look.preparing.dataset import LAB_SETTINGS, Dataset
from second_look.preparing.reading import DataSettings
from second_look.preparing.store import Prepared, path_of, save_array

ROWS, COLS = 96, 64
LABELS = ("malignant", "benign", "benign_without_callback")
SPLITS = ("train", "train", "val", "test")


def small_settings(**changes: object) -> DataSettings:
    """Settings of a data set of 64 small phantoms of 16 patients, or what differs from them."""
    small = {"patients": 16, "image_rows": 256, "image_cols": 208, "seed": 2}
    small |= {"lesion_contrast": 1.0, "test_share": 0.2}
    return replace(LAB_SETTINGS, **small | changes)


def small_mammograms(
    folder: Path, count: int = 16, *, rows: int = ROWS, cols: int = COLS, unlocated: tuple = ()
) -> Dataset:
    """Images 0, 2, 4 … have a bright square, the others are normal; every third is flipped.

    Patients have two images each; of four patients two train, one validates, one tests. In the
    original an image lies at (5, 7), twice as large. Images in `unlocated` hide their lesion.
    """
    images, lesions, prepared, codes = [], [], [], []
    for number in range(count):
        name, rng = f"i{number:02d}", np.random.default_rng(number)
        label = LABELS[number // 2 % 3] if number % 2 == 0 else "normal"
        patient = number // 2
        pixels = rng.integers(8000, 16000, (rows, cols), dtype=np.uint16)
        regions = np.ones((rows, cols), dtype=np.uint8)
        if label != "normal":
            top, left = int(rng.integers(8, rows - 30)), int(rng.integers(8, cols - 30))
            if number not in unlocated:
                pixels[top : top + 18, left : left + 14] = 50000
                regions[top : top + 18, left : left + 14] = 2
            lesions.append({"lesion_id": f"{name}-1", "image_id": name, "kind": "mass",
                            "pathology": label})  # fmt: skip
            codes.append({"lesion_id": f"{name}-1", "image_id": name,
                          "code": 0 if number in unlocated else 2})  # fmt: skip
        save_array(path_of(folder / "prepared", name, "pixels.npy"), pixels)
        save_array(path_of(folder / "prepared", name, "regions.npy"), regions)
        images.append({"image_id": name, "dataset": "squares", "patient_id": f"p{patient}",
                       "laterality": "L", "view": "CC", "rows": 2 * rows + 30, "bits": 16,
                       "cols": 2 * cols + 30, "pixel_spacing_mm": 0.5, "density": str(patient % 4),
                       "label": label, "split": SPLITS[patient % 4], "path": name})  # fmt: skip
        prepared.append({"image_id": name, "rows": rows, "cols": cols, "bits": 16, "row_offset": 5,
                         "col_offset": 7, "crop_rows": 2 * rows, "crop_cols": 2 * cols,
                         "original_rows": 2 * rows + 30, "original_cols": 2 * cols + 30,
                         "breast_px": 4 * rows * cols, "flipped": number % 3 == 0, "scale": 0.5,
                         "pixel_spacing_mm": 1.0, "content_hash": name})  # fmt: skip
    catalogue = Catalogue.from_rows(images, lesions)
    store = Prepared(
        folder / "prepared",
        pd.DataFrame(prepared),
        pd.DataFrame(codes).assign(area_px=1.0),
        catalogue.quarantine,
        np.zeros((count, 128, 128), dtype=np.uint8),
    )
    return Dataset(folder, catalogue, store, pd.DataFrame(), True)

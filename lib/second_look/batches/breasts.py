"""What two-view classifiers learn from: the CC and the MLO view of a breast, varied apart."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from torch import Tensor

from second_look.batches.affine import Augmentation, Variations
from second_look.batches.images import MAMMOGRAMS, vary
from second_look.batches.pictures import Pictures
from second_look.batches.sharing import PictureBatches, digest, part_of
from second_look.catalogue import LABELS
from second_look.errors import DataError

VIEWS = ("CC", "MLO")
BOTH = "both"
_BREAST = ["dataset", "patient_id", "laterality"]


def pair_views(images: pd.DataFrame) -> pd.DataFrame:
    """One row a breast, with the image of each view.

    Args:
        images: Of the catalogue: dataset, image_id, patient_id, laterality, view, split, label.

    Returns:
        dataset, patient_id, laterality, split, label (the worst of its images), first and second
        (image ids; the same twice where a breast has one view only), views ("both", or the one
        that there is), images (of that breast; where a view is doubled, the first one is used).

    Raises:
        DataError: There is no view of CC or MLO.
    """
    usable = images[images["view"].isin(VIEWS)]
    if usable.empty:
        raise DataError(
            f"no image is a view of {' or '.join(VIEWS)}.",
            "table images",
            "Set two_view_epochs to 0: two views of a breast are needed.",
        )
    ranked = usable.assign(rank=usable["label"].map(LABELS.index))
    rows = []
    for key, breast in ranked.groupby(_BREAST, sort=False):
        of_view = {view: breast.loc[breast["view"] == view, "image_id"] for view in VIEWS}
        names = [ids.iloc[0] for ids in of_view.values() if len(ids)]
        present = [view for view, ids in of_view.items() if len(ids)]
        rows.append(
            {
                **dict(zip(_BREAST, key, strict=True)),
                "split": breast["split"].iloc[0],
                "label": LABELS[int(breast["rank"].max())],
                "first": names[0],
                "second": names[-1],
                "views": BOTH if len(present) == len(VIEWS) else present[0],
                "images": len(breast),
            }
        )
    return pd.DataFrame(rows)


class BreastBatches(PictureBatches):
    """Both views of breasts, augmented (see `training.classify.BatchSource`).

    Pictures come as (n, 2, rows, cols).

    Args:
        pictures: All of one size.
        breasts: Those to learn from, of `pair_views`.
        batch_size: Breasts a batch, over all processes.
        seed: Of the draws.
        augmentation: How far each view is varied.
    """

    def __init__(
        self,
        pictures: Pictures,
        breasts: pd.DataFrame,
        *,
        batch_size: int,
        seed: int,
        augmentation: Augmentation = MAMMOGRAMS,
    ) -> None:
        if breasts.empty:
            raise DataError("there are no breasts to learn from.", "table images")
        self._pictures, self._breasts = pictures, breasts.reset_index(drop=True)
        self._places = view_places(pictures, breasts)
        self._labels = self._breasts["label"].map(LABELS.index).to_numpy(np.int64)
        self._augmentation = augmentation
        self.batch_size, self.seed = batch_size, seed

    def identity(self) -> Mapping[str, Any]:
        """Pictures, pairs, augmentation and draws."""
        return {
            "picture_size": list(self._pictures.size),
            "batch_size": self.batch_size,
            "data_seed": self.seed,
            "augmentation": asdict(self._augmentation),
            "pictures": self._pictures.digest,
            "breasts": digest(self._breasts[["first", "second", "label"]]),
        }

    def make(self, step: int, rank: int, world: int) -> tuple[Tensor, Tensor]:
        """That part, made now."""
        rng = np.random.default_rng([self.seed, step])
        rows = rng.integers(self._labels.size, size=self.batch_size)
        variations = Variations.draw(rng, 2 * self.batch_size, self._augmentation)
        first, last = part_of(self.batch_size, rank, world)
        chosen = rows[first:last]
        pixels = self._pictures.levels(self._places[chosen].ravel(), self._device)
        varied = vary(pixels, variations[2 * first : 2 * last])  # (2 n, 1, rows, cols)
        labels = torch.from_numpy(self._labels[chosen]).to(self._device)
        return varied.view(-1, 2, *self._pictures.size), labels


def view_places(pictures: Pictures, breasts: pd.DataFrame) -> npt.NDArray[np.int64]:
    """Where both views of each breast stand among pictures, int64 (n, 2)."""
    return np.stack([pictures.places(breasts[name]) for name in ("first", "second")], axis=1)

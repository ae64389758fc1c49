"""The trivial baseline of whole mammograms: a linear model of frozen features, with no training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from second_look.batches.pictures import make_pictures
from second_look.evaluation.predictions import from_classes
from second_look.inference.frozen_features import fit_linear, image_features, probabilities
from second_look.models.classifier import RANDOM, build_classifier, load_start
from second_look.preparing.dataset import Dataset
from second_look.studies.transfer.starts import PATCHES, PHANTOM, start_name
from second_look.studies.transfer.whole_image import UNITS


def starts_to_probe(
    starts: Sequence[str], patch_weights: Mapping[int, Path]
) -> dict[str, dict[int, str]]:
    """The first start with weights from elsewhere, and the patch model, where there are such.

    Args:
        starts: Of the run's models, as its parameters name them.
        patch_weights: Seed → weights of the best patch model.

    Returns:
        Name in tables → seed → "imagenet" or a file, as `load_start` takes it. Weights from
        elsewhere have one seed, since nothing about them is random.
    """
    of_run = (RANDOM, PHANTOM, PATCHES)
    elsewhere = [start for start in starts if start not in of_run][:1]
    probed = {start_name(start): {0: start} for start in elsewhere}
    of_patches = {seed: str(path) for seed, path in patch_weights.items()}
    return probed | ({PATCHES: of_patches} if of_patches else {})


def linear_probe(
    data: Dataset,
    *,
    architecture: str,
    starts: Mapping[str, Mapping[int, str]],
    size: tuple[int, int],
    folder: Path,
    weights: Sequence[Path],
) -> pd.DataFrame:
    """Logistic regression on the features of networks that never saw a whole mammogram.

    It is also what the training of whole images begins with; see `frozen_features.fit_linear`.

    Args:
        data: With its splits.
        architecture: Of the network.
        starts: Of `starts_to_probe`.
        size: Rows and columns of the images, px.
        folder: Of the run.
        weights: Folders to search for ImageNet weights.

    Returns:
        Predictions of the validation and test images (`predictions.SCHEMA`); empty without starts.
    """
    tables = [
        _probe(data, architecture, (name, start), seed, size, folder, weights)
        for name, of_seed in starts.items()
        for seed, start in of_seed.items()
    ]
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=_COLUMNS)


_COLUMNS = [*UNITS, "model"]


def _probe(
    data: Dataset,
    architecture: str,
    start: tuple[str, str],
    seed: int,
    size: tuple[int, int],
    folder: Path,
    weights: Sequence[Path],
) -> pd.DataFrame:
    network = build_classifier(architecture, seed=0, maxima=True)
    load_start(network, start[1], weights)
    pictures = make_pictures(data.prepared, size, folder / "dataset" / "pictures")
    images = data.catalogue.images.reset_index(drop=True)
    features = image_features(network.eval(), pictures, list(images["image_id"]))
    model = fit_linear(features, images)
    held_out = (images["split"] != "train").to_numpy()
    rows, cols = pictures.size
    facts = {"architecture": architecture, "start": start[0], "rows": rows, "cols": cols}
    return from_classes(
        images.loc[held_out, UNITS],
        probabilities(model, features[held_out]),
        unit="image",
        model=f"linear model of frozen features, {rows}×{cols}, start {start[0]}",
        seed=seed,
        averaged=False,
        **facts,
    )

"""Classifiers trained on GAN samples, original patches, or both: trainings of notebook 04."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from second_look.batches.gan_mixtures import GeneratedPool, MixedBatches, Pool, RealPool
from second_look.batches.gan_patches import ANY_CLASS
from second_look.batches.sharing import digest
from second_look.catalogue import LABELS
from second_look.errors import DataError
from second_look.inference.validation import WindowValidation, accuracy
from second_look.models.classifier import Classifier
from second_look.models.generator import PatchGenerator, Scaling
from second_look.preparing.dataset import Dataset
from second_look.preparing.store import Prepared
from second_look.studies.windows import (
    WINDOW,
    NamedNetwork,
    predict_windows,
)
from second_look.training.classify import (
    ClassifierSettings,
    InitialNetwork,
    Validation,
    fit_classifier,
)
from second_look.training.loop import LoopSettings, Trained

GENERATED = "samples only"
REAL = "real only"


@dataclass(frozen=True)
class Plan:
    """Training settings of every classifier of the comparison: all get the same number of updates.

    Attributes:
        architecture: Of models.classifier.Classifier.
        size: Of the network's input patches, px.
        patches: In a training set of one kind.
        batch_size: Patches per batch.
        epochs: Passes over `patches` patches.
        learning_rate: Highest learning rate.
    """

    architecture: str
    size: int
    patches: int
    batch_size: int
    epochs: int
    learning_rate: float

    @property
    def steps(self) -> int:
        """Updates in all."""
        return self.epochs * self.steps_an_epoch

    @property
    def steps_an_epoch(self) -> int:
        """Updates that see `patches` patches."""
        return max(1, self.patches // self.batch_size)


@dataclass(frozen=True)
class TrainedClassifier:
    """A classifier of the comparison.

    Attributes:
        name: Of its training set.
        network: In evaluation mode.
        real, generated: Number of patches in its training set.
        seed: Of weights and batches.
        record: Of its training.
    """

    name: str
    network: Classifier
    real: int
    generated: int
    seed: int
    record: Trained


def training_sets(patches: int, added_shares: Sequence[float]) -> dict[str, tuple[int, int]]:
    """Name -> real and generated patches of each training set.

    Args:
        patches: Number of patches of one kind.
        added_shares: Numbers of samples to add to the original patches, as shares of `patches`; a
            share of 0 is the set of original patches alone, which is always there.
    """
    sets = {GENERATED: (0, patches), REAL: (patches, 0)}
    for share in sorted(share for share in added_shares if share > 0):
        sets[f"real + {share:.0%} samples"] = (patches, round(share * patches))
    return sets


def set_table(
    sets: Mapping[str, tuple[int, int]], windows: pd.DataFrame, labels: Sequence[str]
) -> pd.DataFrame:
    """One row per training set: name, real, windows (of the original patches), generated."""
    windows_used = int(windows["label"].isin(labels).sum())
    rows = [
        {"name": name, "real": real, "windows": windows_used if real else 0, "generated": generated}
        for name, (real, generated) in sets.items()
    ]
    return pd.DataFrame(rows)


def check_labels(generators: Mapping[str, object]) -> list[str]:
    """The classes that the generators generate, in the order of LABELS.

    Raises:
        DataError: A generator is for all classes together, or there are fewer than two classes.
    """
    if ANY_CLASS in generators or len(generators) < 2:
        raise DataError(
            "to train a classifier, there must be a generator for each of at least two classes. "
            f"Got {', '.join(generators)}.",
            "table of generators",
            "Name the classes in `classes` of notebook 03.",
        )
    return [label for label in LABELS if label in generators]


def train_all(
    dataset: Dataset,
    windows: pd.DataFrame,
    generators: Mapping[str, tuple[PatchGenerator, Scaling]],
    plan: Plan,
    sets: Mapping[str, tuple[int, int]],
    validation: pd.DataFrame,
    *,
    seeds: Sequence[int],
    folder: Path,
) -> list[TrainedClassifier]:
    """Train a classifier for every training set and seed; finished trainings are only loaded.

    Args:
        dataset: Of the windows.
        windows: Of the training patients.
        generators: Label -> generator and scaling.
        plan: Training settings.
        sets: Of `training_sets`.
        validation: Real windows to validate on after each epoch.
        seeds: Of weights and batches.
        folder: Of the run's checkpoints.
    """
    labels = check_labels(generators)
    chosen = {label: generators[label] for label in labels}
    trained = []
    for name, (real, generated) in sets.items():
        for seed in seeds:
            pools: list[Pool] = []
            if real:
                pools.append(
                    RealPool(
                        dataset.prepared, windows, labels, count=real, size=plan.size, seed=seed
                    )
                )
            if generated:
                pools.append(GeneratedPool(chosen, count=generated, size=plan.size, seed=seed))
            network, record = _train(pools, plan, dataset.prepared, validation, seed, folder)
            trained.append(TrainedClassifier(name, network, real, generated, seed, record))
    return trained


def _train(
    pools: Sequence[Pool],
    plan: Plan,
    prepared: Prepared,
    validation: pd.DataFrame,
    seed: int,
    folder: Path,
) -> tuple[Classifier, Trained]:
    return fit_classifier(
        "gan-check",
        InitialNetwork(plan.architecture, channels=1),
        MixedBatches(pools, batch_size=plan.batch_size, seed=seed),
        ClassifierSettings(learning_rate=plan.learning_rate),
        LoopSettings(steps=plan.steps, validate_every=plan.steps_an_epoch, seed=seed),
        folder,
        Validation(
            WindowValidation(prepared, validation, plan.size, accuracy),
            digest(validation[WINDOW]),
        ),
    )


def by_epoch(trained: Sequence[TrainedClassifier], plan: Plan) -> pd.DataFrame:
    """Validation during training, means over the seeds: name, epoch, accuracy, low, high."""
    columns = {"real_accuracy": "accuracy", "real_low": "low", "real_high": "high"}
    parts = []
    for classifier in trained:
        history = classifier.record.history
        rows = history[history["name"].isin(columns)]
        wide = rows.pivot_table(index="step", columns="name", values="value").rename(
            columns=columns
        )
        epochs = wide.index.to_numpy() / plan.steps_an_epoch
        parts.append(wide.assign(name=classifier.name, epoch=epochs))
    means = pd.concat(parts).groupby(["name", "epoch"], sort=False)[list(columns.values())].mean()
    return means.reset_index()


def predict(
    trained: Sequence[TrainedClassifier], dataset: Dataset, windows: pd.DataFrame, *, size: int
) -> pd.DataFrame:
    """Predictions of all classifiers for the same real windows (see predictions.SCHEMA).

    Returns:
        Also columns row, col and size (px) of the window, and real and generated (patches of the
        training set).
    """
    networks = [
        NamedNetwork(
            classifier.name,
            classifier.network,
            classifier.seed,
            {"real": classifier.real, "generated": classifier.generated},
        )
        for classifier in trained
    ]
    return predict_windows(networks, dataset, windows, size=size)

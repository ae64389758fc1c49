"""Do samples teach a classifier what real patches look like? Notebook 04."""

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
    JudgedNetwork,
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
    """How every classifier of the comparison learns: all have as many updates.

    Attributes:
        architecture: Of models.classifier.ARCHITECTURES.
        size: Of a patch as it gets it, px.
        patches: That a training set of one kind has.
        batch_size: Patches a batch.
        epochs: Passes over as many patches.
        learning_rate: Highest learning rate.
    """

    architecture: str
    size: int
    patches: int
    batch_size: int
    epochs: int
    learning_rate: float = 1e-3

    @property
    def steps(self) -> int:
        """Updates in all."""
        return self.epochs * self.steps_an_epoch

    @property
    def steps_an_epoch(self) -> int:
        """Updates that see as many patches as a training set has."""
        return max(1, self.patches // self.batch_size)


@dataclass(frozen=True)
class Learnt:
    """A classifier of the comparison.

    Attributes:
        name: What it learnt from.
        network: In evaluation mode.
        real, generated: Patches of its training set.
        seed: Of weights and batches.
        record: Of its training.
    """

    name: str
    network: Classifier
    real: int
    generated: int
    seed: int
    record: Trained


def mixtures(patches: int, added: Sequence[float]) -> dict[str, tuple[int, int]]:
    """Name -> real and generated patches of each training set.

    Args:
        patches: Of one kind.
        added: Samples that join the real patches, as shares of their number; 0 is among them.
    """
    sets = {GENERATED: (0, patches), REAL: (patches, 0)}
    for share in sorted(share for share in added if share > 0):
        sets[f"real + {share:.0%} samples"] = (patches, round(share * patches))
    return sets


def set_table(
    sets: Mapping[str, tuple[int, int]], windows: pd.DataFrame, labels: Sequence[str]
) -> pd.DataFrame:
    """One row a training set: name, real and generated patches, windows behind the real ones."""
    there = int(windows["label"].isin(labels).sum())
    rows = [
        {"name": name, "real": real, "windows": there if real else 0, "generated": generated}
        for name, (real, generated) in sets.items()
    ]
    return pd.DataFrame(rows)


def check_labels(generators: Mapping[str, object]) -> list[str]:
    """The classes that generators make, in the order of LABELS.

    Raises:
        DataError: They make patches without a class, or of a single one.
    """
    if ANY_CLASS in generators or len(generators) < 2:
        raise DataError(
            "patches to learn classes from need a generator for each of two classes at least. "
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
) -> list[Learnt]:
    """A classifier for every training set and seed; what is trained already is only loaded.

    Args:
        dataset: Of the windows.
        windows: Of the training patients.
        generators: Label -> generator and scaling.
        plan: How they learn.
        sets: Of `mixtures`.
        validation: Real windows that they are validated on after each epoch.
        seeds: Of weights and batches.
        folder: Of the run's checkpoints.
    """
    labels = check_labels(generators)
    chosen = {label: generators[label] for label in labels}
    found = []
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
            found.append(Learnt(name, network, real, generated, seed, record))
    return found


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


def by_epoch(learnt: Sequence[Learnt], plan: Plan) -> pd.DataFrame:
    """Validation while they learn, means over the seeds: name, epoch, accuracy, low, high."""
    columns = {"real_accuracy": "accuracy", "real_low": "low", "real_high": "high"}
    parts = []
    for one in learnt:
        own = one.record.history[one.record.history["name"].isin(columns)]
        wide = own.pivot_table(index="step", columns="name", values="value").rename(columns=columns)
        epochs = wide.index.to_numpy() / plan.steps_an_epoch
        parts.append(wide.assign(name=one.name, epoch=epochs))
    means = pd.concat(parts).groupby(["name", "epoch"], sort=False)[list(columns.values())].mean()
    return means.reset_index()


def predict(
    learnt: Sequence[Learnt], dataset: Dataset, windows: pd.DataFrame, *, size: int
) -> pd.DataFrame:
    """Predictions of all classifiers for the same real windows (see predictions.SCHEMA).

    Returns:
        Columns row, col and size (px) of the window, real and generated (patches of the training
        set) besides.
    """
    judged = [
        JudgedNetwork(
            one.name, one.network, one.seed, {"real": one.real, "generated": one.generated}
        )
        for one in learnt
    ]
    return predict_windows(judged, dataset, windows, size=size)

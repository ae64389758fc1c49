"""The paper's GAN and a stronger one, trained on patches of each class: notebook 03."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch

from second_look import paper
from second_look.batches.gan_patches import PatchSet, choose_windows, measure_scaling
from second_look.batches.sampler import cut
from second_look.catalogue import patient_keys
from second_look.claims import SAMPLE_EPOCHS, claim
from second_look.errors import DataError
from second_look.models import dcgan, progressive
from second_look.models.generator import Scaling
from second_look.models.layer_table import layer_table, parameters
from second_look.preparing.dataset import Dataset
from second_look.preparing.patches import labelled
from second_look.training.gan import (
    GanTraining,
    TrainedGan,
    train_gan,
)
from second_look.training.loop import LoopSettings

FLOATS = npt.NDArray[np.float32]
DCGAN, PROGRESSIVE = "dcgan", "progressive"


def printed_layers() -> pd.DataFrame:
    """The layers of the paper's two networks as built here, beside figures 1a and 1b.

    Returns:
        figure; layer, type, output_shape and parameters as built; the same as printed in the paper
        (printed_layer, …); agrees (whether all four cells are equal).
    """
    settings, numbers = dcgan.PAPER, Counter[str]()
    networks = (
        ("1a", dcgan.Generator(settings), torch.zeros(1, settings.latent_size), paper.FIG_1A),
        ("1b", dcgan.Discriminator(settings), torch.zeros(1, 1, 256, 256), paper.FIG_1B),
    )
    parts = []
    for figure, network, example, rows in networks:
        built = layer_table(network, example, numbers)
        printed = pd.DataFrame(
            [(row.name, row.kind, row.printed_shape, row.parameters) for row in rows],
            columns=[f"printed_{name}" for name in built.columns],
        )
        table = built.join(printed, how="outer")
        agrees = (table[built.columns].to_numpy() == table[printed.columns].to_numpy()).all(axis=1)
        table.insert(0, "figure", figure)
        parts.append(table.assign(agrees=agrees))
    return pd.concat(parts, ignore_index=True)


def progressive_layers(settings: progressive.ProgressiveSettings) -> pd.DataFrame:
    """The layers of both progressive networks at full size.

    Returns:
        network, layer, type, output_shape, parameters. The last row of each network sums up the
        layers that only smaller resolutions use.
    """
    numbers = Counter[str]()
    networks = (
        ("generator", progressive.Generator(settings), torch.zeros(1, settings.latent_size)),
        ("critic", progressive.Critic(settings), torch.zeros(1, 1, settings.size, settings.size)),
    )
    parts = []
    for name, network, example in networks:
        table = layer_table(network, example, numbers)
        remaining = parameters(network) - int(table["parameters"].sum())
        summary = pd.DataFrame(
            [("of the smaller resolutions", "Conv2D 1×1", "", remaining)],
            columns=list(table.columns),
        )
        table = pd.concat([table, summary], ignore_index=True)
        table.insert(0, "network", name)
        parts.append(table)
    return pd.concat(parts, ignore_index=True)


@dataclass(frozen=True)
class PatchSets:
    """Training patches of the GANs.

    Attributes:
        windows: Label -> the fixed set of windows of that class.
        scaling: Of grey levels, the same for all classes.
        available: Label -> number of windows to choose from.
    """

    windows: Mapping[str, pd.DataFrame]
    scaling: Scaling
    available: Mapping[str, int]

    def table(self) -> pd.DataFrame:
        """One row per class: label, windows (available), patches (chosen), images, patients."""
        rows = [
            {
                "label": label,
                "windows": self.available[label],
                "patches": len(chosen),
                "images": chosen["image_id"].nunique(),
                "patients": patient_keys(chosen).nunique(),
            }
            for label, chosen in self.windows.items()
        ]
        return pd.DataFrame(rows)


def patches_verdict(table: pd.DataFrame) -> str | None:
    """Verdict on the number of patches; None, for the usual comparison, if it is the paper's.

    Args:
        table: Of `PatchSets.table`.
    """
    paper_count = claim("gan-patches").value
    max_patches = int(table["patches"].max())
    if max_patches == paper_count:
        return None
    return f"differs: {max_patches:,} were chosen for this run"


def choose_patch_sets(
    dataset: Dataset,
    windows: pd.DataFrame,
    labels: Sequence[str],
    *,
    count: int,
    size: int,
    seed: int,
) -> PatchSets:
    """A fixed set of patches for each class, and one scaling for all.

    Args:
        dataset: Of the windows.
        windows: Of studies.windows.training_windows.
        labels: Of catalogue.LABELS, or "all" for patches of any class.
        count: Patches per class; all of them if a class has fewer.
        size: Of a window, px.
        seed: Of the draw.

    Raises:
        DataError: A class has no patches.
    """
    used = labelled(windows)
    chosen = {label: choose_windows(windows, label, count=count, seed=seed) for label in labels}
    everything = pd.concat(chosen.values(), ignore_index=True)
    scaling = measure_scaling(dataset.prepared, everything, size=size, seed=seed)
    counts = used["label"].value_counts()
    available = {label: int(counts.get(label, len(used))) for label in labels}
    return PatchSets(chosen, scaling, available)


@dataclass(frozen=True)
class Schedule:
    """How long a GAN trains.

    Attributes:
        epochs: In all; figure 2b shows samples after the last one.
        early_epochs: Figure 2a shows samples after so many; samples are saved at this interval.
        batch_size: Patches per batch.
    """

    epochs: int
    early_epochs: int
    batch_size: int


def train_gans(
    dataset: Dataset,
    sets: PatchSets,
    recipe: GanTraining,
    schedule: Schedule,
    folder: Path,
    *,
    seed: int,
) -> dict[str, TrainedGan]:
    """Train a generator for each class; trainings that are finished are only loaded.

    Args:
        dataset: Of the patches.
        sets: Training patches.
        recipe: Networks and optimizer settings.
        schedule: How long to train.
        folder: Of the run's checkpoints.
        seed: Of everything random.

    Returns:
        Label -> the trained generator.
    """
    trained = {}
    for label, windows in sets.windows.items():
        patches = PatchSet(
            dataset.prepared,
            windows,
            size=recipe.network.size,
            batch_size=schedule.batch_size,
            seed=seed,
            scaling=sets.scaling,
        )
        settings = LoopSettings(
            steps=schedule.epochs * patches.steps_an_epoch,
            validate_every=schedule.early_epochs * patches.steps_an_epoch,
            seed=seed,
        )
        trained[label] = train_gan(label, recipe, patches, settings, folder)
    return trained


def strip_table(*trainings: Mapping[str, Mapping[str, TrainedGan]]) -> pd.DataFrame:
    """The samples saved during training: architecture, label, seed, step, epoch, path.

    Args:
        trainings: Each architecture -> label -> generator, of a seed.
    """
    rows = [
        {
            "architecture": architecture,
            "label": label,
            "seed": gan.patches.seed,
            "step": step,
            "epoch": step / gan.patches.steps_an_epoch,
            "path": path,
        }
        for gans in trainings
        for architecture, gans_by_label in gans.items()
        for label, gan in gans_by_label.items()
        for step, path in gan.strips.items()
    ]
    return pd.DataFrame(rows)


def samples_at(strips: pd.DataFrame, architecture: str, label: str, epoch: float) -> FLOATS:
    """The saved samples nearest to an epoch, grey levels 0 to 1, (n, size, size)."""
    rows = strips[(strips["architecture"] == architecture) & (strips["label"] == label)]
    nearest = rows.loc[(rows["epoch"] - epoch).abs().idxmin(), "path"]
    samples: FLOATS = np.load(nearest).astype(np.float32)
    return samples


def real_examples(
    dataset: Dataset, sets: PatchSets, *, size: int, count: int = 16
) -> dict[str, FLOATS]:
    """Label -> some of the original patches, (count, size, size)."""
    return {
        label: cut(dataset.prepared, windows.head(count), size=size)
        for label, windows in sets.windows.items()
    }


_FIGURES = ("figure 2a: DCGAN", "figure 2b: DCGAN")


def printed_samples(early_epochs: int, epochs: int) -> dict[str, str]:
    """What the paper shows beside these rows of `samples_of_figures`, in words.

    Args:
        early_epochs: Of figure 2a, here.
        epochs: Of figure 2b, here.
    """
    words = (
        "{}: samples after {}, by eye insufficient for diagnosis. It prints pictures, which cannot "
        "be redrawn from numbers."
    )
    return {
        f"{name}, {_epochs(trained)}": words.format(name.split(":")[0], _epochs(printed))
        for name, trained, printed in zip(
            _FIGURES, (early_epochs, epochs), SAMPLE_EPOCHS, strict=True
        )
    }


def samples_of_figures(
    strips: pd.DataFrame,
    real: Mapping[str, FLOATS],
    *,
    early_epochs: int,
    epochs: int,
    progressive_epochs: int,
) -> dict[str, Mapping[str, FLOATS]]:
    """Original patches and the samples of figures 2a and 2b and of the progressive generator.

    Args:
        strips: Of `strip_table`.
        real: Label -> original patches.
        early_epochs: Of figure 2a.
        epochs: Of figure 2b.
        progressive_epochs: Of the progressive generator.

    Returns:
        Title of the row -> label -> pictures (n, size, size).
    """
    figures = (
        (DCGAN, early_epochs, _FIGURES[0]),
        (DCGAN, epochs, _FIGURES[1]),
        (PROGRESSIVE, progressive_epochs, "progressive growing"),
    )
    rows = {"original patches": real}
    for architecture, epoch, name in figures:
        architecture_strips = strips[strips["architecture"] == architecture]
        if not architecture_strips.empty:
            rows[f"{name}, {_epochs(epoch)}"] = {
                label: samples_at(architecture_strips, architecture, label, epoch) for label in real
            }
    return rows


def sample_history(
    strips: pd.DataFrame, *, max_samples: int = 6
) -> dict[str, list[tuple[str, FLOATS]]]:
    """The same sample (fixed noise) at up to `max_samples` times: name -> (epoch, picture)."""
    history = {}
    for (architecture, label), rows in strips.groupby(["architecture", "label"], sort=False):
        indices = np.unique(np.linspace(0, len(rows) - 1, max_samples).round().astype(int))
        history[generator_name(architecture, label)] = [
            (_epochs(row.epoch), np.load(row.path)[0].astype(np.float32))
            for row in rows.iloc[indices].itertuples()
        ]
    return history


def generator_name(architecture: str, label: str) -> str:
    """A generator as people read of it: its kind and its class."""
    return f"{paper.GENERATOR_NAMES[architecture]}, {label.replace('_', ' ')}"


def _epochs(count: float) -> str:
    return f"{count:,.0f} epoch{'' if round(count) == 1 else 's'}"


def loss_table(gans: Mapping[str, Mapping[str, TrainedGan]]) -> pd.DataFrame:
    """The losses: architecture, label, step, epoch, name, value, seconds (of the training)."""
    parts = []
    for architecture, gans_by_label in gans.items():
        for label, gan in gans_by_label.items():
            history = gan.record.history
            epoch = history["step"] / gan.patches.steps_an_epoch
            parts.append(
                history.assign(
                    architecture=architecture,
                    label=label,
                    epoch=epoch,
                    seconds=gan.record.seconds,
                )
            )
    return pd.concat(parts, ignore_index=True)


def select_recipes(names: Sequence[str], **available: GanTraining) -> dict[str, GanTraining]:
    """The training settings of the named generators.

    Args:
        names: Of DCGAN and PROGRESSIVE.
        available: Training settings by name.

    Raises:
        DataError: There is no such generator.
    """
    unknown = [name for name in names if name not in available]
    if unknown or not names:
        raise DataError(
            f"expected generators among {tuple(available)}. Got {list(names)}.", "parameters"
        )
    return {name: available[name] for name in names}

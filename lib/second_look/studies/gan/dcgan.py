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
    """The layers of the paper's two networks as they are built here, beside figures 1a and 1b.

    Returns:
        figure, layer, type, output_shape, parameters, then the same as printed, and `same`.
    """
    settings, numbers = dcgan.DcganSettings(), Counter[str]()
    networks = (
        ("1a", dcgan.Generator(settings), torch.zeros(1, settings.latent), paper.FIG_1A),
        ("1b", dcgan.Discriminator(settings), torch.zeros(1, 1, 256, 256), paper.FIG_1B),
    )
    parts = []
    for figure, network, example, rows in networks:
        ours = layer_table(network, example, numbers)
        theirs = pd.DataFrame(
            [(row.name, row.kind, row.printed_shape, row.parameters) for row in rows],
            columns=[f"printed_{name}" for name in ours.columns],
        )
        both = ours.join(theirs, how="outer")
        same = (both[ours.columns].to_numpy() == both[theirs.columns].to_numpy()).all(axis=1)
        both.insert(0, "figure", figure)
        parts.append(both.assign(same=same))
    return pd.concat(parts, ignore_index=True)


def progressive_layers(settings: progressive.ProgressiveSettings) -> pd.DataFrame:
    """The layers of both growing networks at their full size.

    Returns:
        network, layer, type, output_shape, parameters. Layers that only smaller resolutions use
        stand at the end, summed up.
    """
    numbers = Counter[str]()
    networks = (
        ("generator", progressive.Generator(settings), torch.zeros(1, settings.latent)),
        ("critic", progressive.Critic(settings), torch.zeros(1, 1, settings.size, settings.size)),
    )
    parts = []
    for name, network, example in networks:
        table = layer_table(network, example, numbers)
        rest = parameters(network) - int(table["parameters"].sum())
        last = pd.DataFrame(
            [("of the smaller resolutions", "Conv2D 1×1", "", rest)], columns=list(table.columns)
        )
        table = pd.concat([table, last], ignore_index=True)
        table.insert(0, "network", name)
        parts.append(table)
    return pd.concat(parts, ignore_index=True)


@dataclass(frozen=True)
class PatchSets:
    """What the GANs learn from.

    Attributes:
        windows: Label -> the fixed set of windows of that class.
        scaling: Of all of them.
        there: Label -> windows that there were to choose from.
    """

    windows: Mapping[str, pd.DataFrame]
    scaling: Scaling
    there: Mapping[str, int]

    def table(self) -> pd.DataFrame:
        """One row a class: label, windows (there are), patches (chosen), images, patients."""
        rows = [
            {
                "label": label,
                "windows": self.there[label],
                "patches": len(chosen),
                "images": chosen["image_id"].nunique(),
                "patients": patient_keys(chosen).nunique(),
            }
            for label, chosen in self.windows.items()
        ]
        return pd.DataFrame(rows)


def patches_verdict(table: pd.DataFrame) -> str | None:
    """Verdict on the number of patches, a parameter: judged where it is the paper's.

    Args:
        table: Of `PatchSets.table`.
    """
    stated = paper.claim("gan-patches").value
    most = int(table["patches"].max())
    return None if most == stated else f"differs: {most:,} were chosen for this run"


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
        windows: Of patch_windows.training_windows.
        labels: Of catalogue.LABELS, or "all" for patches of any class.
        count: Patches a class; a class that has fewer gives all it has.
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
    there = {label: int(counts.get(label, len(used))) for label in labels}
    return PatchSets(chosen, scaling, there)


@dataclass(frozen=True)
class Schedule:
    """How long a GAN learns.

    Attributes:
        epochs: In all, for figure 2b.
        early: After which figure 2a is drawn, and samples are kept every so often.
        batch_size: Patches a batch.
    """

    epochs: int
    early: int
    batch_size: int


def train_gans(
    dataset: Dataset,
    sets: PatchSets,
    how: GanTraining,
    schedule: Schedule,
    folder: Path,
    *,
    seed: int,
) -> dict[str, TrainedGan]:
    """A generator for each class; what is trained already is only loaded.

    Args:
        dataset: Of the patches.
        sets: What they learn from.
        how: Which networks, and how they learn.
        schedule: For how long.
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
            size=how.network.size,
            batch_size=schedule.batch_size,
            seed=seed,
            scaling=sets.scaling,
        )
        settings = LoopSettings(
            steps=schedule.epochs * patches.steps_an_epoch,
            validate_every=schedule.early * patches.steps_an_epoch,
            seed=seed,
        )
        trained[label] = train_gan(label, how, patches, settings, folder)
    return trained


def strip_table(gans: Mapping[str, Mapping[str, TrainedGan]]) -> pd.DataFrame:
    """The samples that were kept on the way: architecture, label, step, epoch, path."""
    rows = [
        {
            "architecture": architecture,
            "label": label,
            "step": step,
            "epoch": step / gan.patches.steps_an_epoch,
            "path": path,
        }
        for architecture, own in gans.items()
        for label, gan in own.items()
        for step, path in gan.strips.items()
    ]
    return pd.DataFrame(rows)


def samples_at(strips: pd.DataFrame, architecture: str, label: str, epoch: float) -> FLOATS:
    """The kept samples of the epoch nearest to one, grey levels 0 to 1, (n, size, size)."""
    own = strips[(strips["architecture"] == architecture) & (strips["label"] == label)]
    nearest = own.loc[(own["epoch"] - epoch).abs().idxmin(), "path"]
    samples: FLOATS = np.load(nearest).astype(np.float32)
    return samples


def real_examples(
    dataset: Dataset, sets: PatchSets, *, size: int, count: int = 16
) -> dict[str, FLOATS]:
    """Label -> some of the real patches, (count, size, size)."""
    return {
        label: cut(dataset.prepared, windows.head(count), size=size)
        for label, windows in sets.windows.items()
    }


def samples_of_figures(
    strips: pd.DataFrame, real: Mapping[str, FLOATS], *, early: int, late: int, growing: int
) -> dict[str, Mapping[str, FLOATS]]:
    """Real patches and the samples of figures 2a and 2b and of the growing generator.

    Args:
        strips: Of `strip_table`.
        real: Label -> real patches.
        early: Epochs of figure 2a.
        late: Epochs of figure 2b.
        growing: Epochs of the growing generator.

    Returns:
        What they are -> label -> pictures (n, size, size).
    """
    wanted = (
        (DCGAN, early, "figure 2a: DCGAN"),
        (DCGAN, late, "figure 2b: DCGAN"),
        (PROGRESSIVE, growing, "progressive growing"),
    )
    found = {"real patches": real}
    for architecture, epoch, name in wanted:
        own = strips[strips["architecture"] == architecture]
        if not own.empty:
            found[f"{name}, {_epochs(epoch)}"] = {
                label: samples_at(own, architecture, label, epoch) for label in real
            }
    return found


def film(strips: pd.DataFrame, *, most: int = 6) -> dict[str, list[tuple[str, FLOATS]]]:
    """The first sample of fixed noise at up to `most` times: name -> (time, picture)."""
    found = {}
    for (architecture, label), own in strips.groupby(["architecture", "label"], sort=False):
        places = np.unique(np.linspace(0, len(own) - 1, most).round().astype(int))
        found[f"{architecture}, {label}"] = [
            (_epochs(row.epoch), np.load(row.path)[0].astype(np.float32))
            for row in own.iloc[places].itertuples()
        ]
    return found


def _epochs(count: float) -> str:
    return f"{count:,.0f} epoch{'' if round(count) == 1 else 's'}"


def loss_table(gans: Mapping[str, Mapping[str, TrainedGan]]) -> pd.DataFrame:
    """The losses: architecture, label, step, epoch, name, value, seconds (of the training)."""
    parts = []
    for architecture, own in gans.items():
        for label, gan in own.items():
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


def recipes(names: Sequence[str], **given: GanTraining) -> dict[str, GanTraining]:
    """How each of the wanted generators learns.

    Args:
        names: Of DCGAN and PROGRESSIVE.
        given: How each could learn, by name.

    Raises:
        DataError: There is no such generator.
    """
    unknown = [name for name in names if name not in given]
    if unknown or not names:
        raise DataError(
            f"expected generators among {tuple(given)}. Got {list(names)}.", "parameters"
        )
    return {name: given[name] for name in names}

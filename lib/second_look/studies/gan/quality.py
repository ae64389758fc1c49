"""How good the samples of notebook 03 are: each measure with its floor, of original patches."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from second_look.batches.sampler import cut
from second_look.catalogue import patient_keys
from second_look.errors import DataError
from second_look.evaluation import generative
from second_look.evaluation.seeds import OverTrainings, of_trainings
from second_look.models.generator import stream_samples
from second_look.paper import GENERATOR_NAMES
from second_look.preparing.dataset import Dataset
from second_look.studies.gan.dcgan import generator_name
from second_look.studies.gan.features import Features
from second_look.training.gan import TrainedGan

FLOATS = npt.NDArray[np.float32]
# Measure -> what it means.
MEASURES: Mapping[str, str] = {
    "frechet": "Fréchet distance of features (0: identical)",
    "kernel": "kernel distance of features (0: identical)",
    "swd": "sliced Wasserstein distance of texture, ×1000 (0: identical)",
    "slope": "slope β of the power spectrum",
    "missing": "share of fine detail missing (above 0.25 cycles per px)",
    "similarity": "MS-SSIM of pairs (1: all identical)",
    "nearest": "distance to the nearest original patch of another patient, median",
    "copies": "share less than half as far from one original patch as from those of other patients",
}
_PAIRS = 200
# Patches cut at once.
_PART = 256
# A patch counts as a copy if its distance to the nearest original patch is less than this share of
# its distance to the nearest original patch of any other patient.
_COPY = 0.5


@dataclass(frozen=True)
class Halves:
    """Original patches of one class from two groups of patients.

    Attributes:
        first, second: Grey levels 0 to 1, (n, size, size) each.
        patients: Of the second group, (n,).
    """

    first: FLOATS
    second: FLOATS
    patients: npt.NDArray[np.str_]


def real_halves(
    dataset: Dataset, windows: pd.DataFrame, *, size: int, count: int, seed: int
) -> Halves:
    """Patches from two groups of patients, the same number from each.

    Args:
        dataset: Of the windows.
        windows: Training windows of a GAN.
        size: Of a patch, px.
        count: Most patches of a half.
        seed: Of the draw.

    Raises:
        DataError: All patches are from one patient.
    """
    patient_of_window = patient_keys(windows)
    patients = np.array(sorted(patient_of_window.unique()))
    if patients.size < 2:
        raise DataError(
            "samples are compared with two groups of patients, but there is one patient only.",
            "table of windows",
            "Use more images or a smaller stride.",
        )
    order = np.random.default_rng(seed).permutation(patients)
    sides = [windows[patient_of_window.isin(group)] for group in np.array_split(order, 2)]
    half_size = min(count, *(len(side) for side in sides))
    chosen = [side.sample(n=half_size, random_state=seed) for side in sides]
    first, second = (cut(dataset.prepared, side, size=size) for side in chosen)
    return Halves(first, second, patient_keys(chosen[1]).to_numpy(dtype=str))


@dataclass(frozen=True)
class TrainingPatches:
    """All training patches of a GAN, to look for copies of them.

    Attributes:
        pictures: Reduced by generative.reduced, (n, rows, cols).
        patients: Of each patch, (n,).
    """

    pictures: npt.NDArray[np.float64]
    patients: npt.NDArray[np.str_]


def training_patches(dataset: Dataset, windows: pd.DataFrame, *, size: int) -> TrainingPatches:
    """The training patches of a GAN, cut in parts so that memory holds reduced patches only.

    Args:
        dataset: Of the windows.
        windows: Training windows of the GAN.
        size: Of its samples, px.
    """
    parts = [
        generative.reduced(cut(dataset.prepared, windows.iloc[first : first + _PART], size=size))
        for first in range(0, len(windows), _PART)
    ]
    return TrainingPatches(np.concatenate(parts), patient_keys(windows).to_numpy(dtype=str))


def sample_array(gan: TrainedGan, *, count: int, seed: int) -> FLOATS:
    """Samples of a generator, grey levels 0 to 1, (count, size, size)."""
    stream = stream_samples(gan.generator, gan.patches.scaling, count, seed=seed)
    samples: FLOATS = np.concatenate([part[:, 0].cpu().numpy() for part in stream])
    return samples


def measure(
    real: Halves, training: TrainingPatches, samples: FLOATS, features: Features, *, seed: int
) -> pd.DataFrame:
    """Every measure of samples, and of the second half of the original patches in their place.

    Args:
        real: Patches of the class; both are compared with the first half.
        training: All training patches of the generator, to look for copies of them.
        samples: As many as the original patches of a half, (n, size, size).
        features: Of pictures (n, size, size): (n, d).
        seed: Of everything random.

    Returns:
        measure, samples, real (the floor).
    """
    sides = {"samples": samples, "real": real.second}
    spectrum = generative.radial_spectrum(real.first)
    reference = features(real.first)
    columns: dict[str, dict[str, float]] = {}
    for name, pictures in sides.items():
        picture_features = features(pictures)
        picture_spectrum = generative.radial_spectrum(pictures)
        excluded_patients = real.patients if name == "real" else None
        nearest = generative.nearest_real(
            pictures, training.pictures, training.patients, generated_groups=excluded_patients
        )
        textures = generative.sliced_wasserstein(real.first, pictures, seed=seed)
        pairs = generative.diversity(pictures, pairs=_PAIRS, seed=seed)
        columns[name] = {
            "frechet": generative.frechet_distance(reference, picture_features),
            "kernel": generative.kernel_distance(reference, picture_features, seed=seed)[0],
            "swd": float(np.mean(list(textures.values()))),
            "slope": generative.spectral_slope(picture_spectrum),
            "missing": generative.missing_detail(spectrum, picture_spectrum),
            "similarity": float(pairs.mean()),
            "nearest": float(nearest["distance"].median()),
            "copies": float((nearest["ratio"] < _COPY).mean()),
        }
    return pd.DataFrame(columns).rename_axis("measure").reset_index()


def measure_all(
    dataset: Dataset,
    gans: Mapping[str, Mapping[str, TrainedGan]],
    windows: Mapping[str, pd.DataFrame],
    features: Features,
    *,
    count: int,
    seed: int,
) -> pd.DataFrame:
    """Every measure of every generator.

    Args:
        dataset: Of the original patches.
        gans: Architecture -> label -> generator.
        windows: Label -> training windows of its generators.
        features: Of pictures (n, size, size): (n, d).
        count: Most patches, and most samples, to measure.
        seed: Of everything random.

    Returns:
        architecture, label, n, measure, meaning, samples, real.
    """
    parts = []
    for architecture, gans_by_label in gans.items():
        for label, gan in gans_by_label.items():
            size = gan.generator.size
            real = real_halves(dataset, windows[label], size=size, count=count, seed=seed)
            training = training_patches(dataset, windows[label], size=size)
            samples = sample_array(gan, count=len(real.first), seed=seed)
            table = measure(real, training, samples, features, seed=seed)
            table.insert(0, "architecture", architecture)
            table.insert(1, "label", label)
            table.insert(2, "n", len(samples))
            table.insert(4, "meaning", table["measure"].map(MEASURES))
            parts.append(table)
    return pd.concat(parts, ignore_index=True)


def progress(
    dataset: Dataset, strips: pd.DataFrame, windows: Mapping[str, pd.DataFrame], *, seed: int
) -> pd.DataFrame:
    """Sliced Wasserstein distance of the samples that were saved during training.

    Args:
        dataset: Of the original patches.
        strips: Of studies.gan.dcgan.strip_table.
        windows: Label -> training windows of its generators.
        seed: Of the halves and of the distance's random projections.

    Returns:
        architecture, label, seed (of the training), epoch, samples, swd, floor (of the other half
        of the original patches), control (the same for two halves drawn anew: original patches in
        the place of samples), noise (the same for noise with the grey levels of the other half).
    """
    rows = []
    names = ["architecture", "label", "seed"]
    for (architecture, label, training), label_strips in strips.groupby(names, sort=False):
        samples_by_epoch = {
            row.epoch: np.load(row.path).astype(np.float32) for row in label_strips.itertuples()
        }
        count, size = next(iter(samples_by_epoch.values())).shape[:2]
        real = real_halves(dataset, windows[label], size=size, count=count, seed=seed)
        floor = _texture(real.first, real.second, seed)
        again = real_halves(dataset, windows[label], size=size, count=count, seed=seed + 1)
        control = _texture(again.first, again.second, seed)
        noise = _texture(real.first, _noise_like(real.second, seed), seed)
        for epoch, samples in samples_by_epoch.items():
            distances = (_texture(real.first, samples, seed), floor, control, noise)
            rows.append((architecture, label, training, epoch, len(samples), *distances))
    columns = [*names, "epoch", "samples", "swd", "floor", "control", "noise"]
    return pd.DataFrame(rows, columns=columns)


def nearest_epochs(progress: pd.DataFrame, architecture: str, epoch: float) -> pd.DataFrame:
    """The row of each class and training whose samples are nearest to an epoch.

    Args:
        progress: Of `progress`.
        architecture: Of the generators.
        epoch: Of the samples; infinite: the last ones.
    """
    rows = progress[progress["architecture"] == architecture]
    last = float(rows["epoch"].max()) if len(rows) else 0.0
    distance = (rows["epoch"] - min(epoch, last)).abs()
    return rows.loc[distance.groupby([rows["label"], rows["seed"]]).idxmin()]


def texture(rows: pd.DataFrame) -> OverTrainings:
    """Distance of texture divided by its floor: geometric mean over classes, then over trainings.

    Args:
        rows: Of `nearest_epochs`; each seed is a training.
    """
    ratios = np.log(rows["swd"] / rows["floor"])
    by_training = np.exp(ratios.groupby(rows["seed"]).mean())
    return of_trainings(by_training, n=int(rows["samples"].sum()))


def _noise_like(pictures: FLOATS, seed: int) -> FLOATS:
    """The pixels of each picture in random order: its grey levels without any texture."""
    flat = pictures.reshape(len(pictures), -1)
    mixed: FLOATS = np.random.default_rng(seed).permuted(flat, axis=1).reshape(pictures.shape)
    return mixed


def spectra(
    dataset: Dataset,
    gans: Mapping[str, Mapping[str, TrainedGan]],
    windows: Mapping[str, pd.DataFrame],
    *,
    count: int,
    seed: int,
) -> pd.DataFrame:
    """Power spectra: architecture ("real" for patches), label, size, frequency, power."""
    parts = []
    for architecture, gans_by_label in gans.items():
        for label, gan in gans_by_label.items():
            size = gan.generator.size
            real = real_halves(dataset, windows[label], size=size, count=count, seed=seed)
            samples = sample_array(gan, count=len(real.first), seed=seed)
            for name, pictures in (("real", real.first), (architecture, samples)):
                table = generative.radial_spectrum(pictures)
                parts.append(table.assign(architecture=name, label=label, size=size))
    return pd.concat(parts, ignore_index=True).drop_duplicates(
        ["architecture", "label", "size", "frequency"], ignore_index=True
    )


def nearest_pairs(
    dataset: Dataset,
    gans: Mapping[str, Mapping[str, TrainedGan]],
    windows: Mapping[str, pd.DataFrame],
    *,
    count: int,
    seed: int,
) -> dict[str, tuple[FLOATS, FLOATS]]:
    """Some samples of every generator and the original patch nearest to each, (count, size, size).

    Returns:
        Architecture and label -> samples, nearest original patches.
    """
    pairs = {}
    for architecture, gans_by_label in gans.items():
        for label, gan in gans_by_label.items():
            size = gan.generator.size
            training = training_patches(dataset, windows[label], size=size)
            samples = sample_array(gan, count=count, seed=seed)
            distances = generative.nearest_real(samples, training.pictures, training.patients)
            nearest_windows = windows[label].iloc[distances["nearest"]]
            nearest = cut(dataset.prepared, nearest_windows, size=size)
            pairs[generator_name(architecture, label)] = (samples, nearest)
    return pairs


def findings(
    quality: pd.DataFrame, progress: pd.DataFrame, losses: pd.DataFrame, *, synthetic: bool
) -> str:
    """The findings of notebook 03 as Markdown, with the numbers of this run.

    Args:
        quality: Of `measure_all`.
        progress: Of `progress`.
        losses: Of studies.gan.dcgan.loss_table.
        synthetic: Whether the patches are phantoms'.
    """
    lines = []
    for architecture, table in quality.groupby("architecture", sort=False):
        means = table.groupby("measure")[["samples", "real"]].mean()
        seconds = losses[losses["architecture"] == architecture].groupby("label")["seconds"].max()
        times = texture(nearest_epochs(progress, str(architecture), np.inf)).estimate.value
        lines.append(
            f"- **{GENERATOR_NAMES[str(architecture)]}** (trained for "
            f"{seconds.sum() / 60:,.1f} minutes over {len(seconds)} classes): the texture of its "
            f"samples is {times:.3g} times as far from original patches as those of different "
            "patients are apart; the Fréchet distance of "
            f"features is {means.loc['frechet', 'samples']:.3g}, against "
            f"{means.loc['frechet', 'real']:.3g} for original patches."
        )
        missing = table[table["measure"] == "missing"]
        detail = "fine detail is missing (below 0: grain): " + ", ".join(
            f"{row.label} {row.samples:.0%} (original {row.real:.0%})"
            for row in missing.itertuples()
        )
        similarity, real_similarity = means.loc["similarity", ["samples", "real"]]
        copies, real_copies = means.loc["copies", ["samples", "real"]]
        verdict = "some are copies" if copies > real_copies + 0.05 else "no sign of copies"
        lines.append(
            f"  The power spectrum falls with β = {means.loc['slope', 'samples']:.2f} (original "
            f"{means.loc['slope', 'real']:.2f}), and {detail}. Pairs of samples are "
            f"{_likeness(similarity, real_similarity)} (MS-SSIM {similarity:.2f} against "
            f"{real_similarity:.2f}). {copies:.0%} of the samples are less than half as far from "
            "one original patch as from those of other patients "
            f"({real_copies:.0%} of original patches are): {verdict}."
        )
    if synthetic:
        lines.append("- **These images are phantoms:** the numbers check the code, not the paper.")
    return "\n".join(lines)


def _likeness(similarity: float, real_similarity: float) -> str:
    if similarity > real_similarity + 0.1:
        return "more alike than real ones, as when a generator collapses"
    less_alike = similarity < real_similarity - 0.1
    return "less alike than real ones" if less_alike else "about as alike as real ones"


def _texture(real: FLOATS, samples: FLOATS, seed: int) -> float:
    return float(np.mean(list(generative.sliced_wasserstein(real, samples, seed=seed).values())))

"""How good the samples of notebook 03 are: every measure beside its floor."""

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
from second_look.models.generator import stream_samples
from second_look.outputs import Run
from second_look.paper import SUFFICIENT
from second_look.preparing.dataset import Dataset
from second_look.studies.gan.features import Features
from second_look.training.gan import TrainedGan

FLOATS = npt.NDArray[np.float32]
# Measure -> what it says.
MEASURES: Mapping[str, str] = {
    "frechet": "Fréchet distance of features (0: alike)",
    "kernel": "kernel distance of features (0: alike)",
    "swd": "sliced Wasserstein distance of texture, ×1000 (0: alike)",
    "slope": "slope β of the power spectrum",
    "missing": "share of fine detail missing (above 0.25 cycles a px)",
    "similarity": "MS-SSIM of pairs (1: all the same)",
    "nearest": "distance to the nearest real patch of another woman, median",
    "copies": "share less than half as far from one real patch as from those of other women",
}
_PAIRS = 200
# Patches cut at once.
_PART = 256
# A patch is taken for a copy where its nearest one is so much nearer than any other woman's.
_COPY = 0.5


@dataclass(frozen=True)
class Halves:
    """Real patches of one class, of two groups of patients.

    Attributes:
        first, second: Grey levels 0 to 1, (n, size, size) each.
        patients: Of the second, (n,).
    """

    first: FLOATS
    second: FLOATS
    patients: npt.NDArray[np.str_]


def real_halves(
    dataset: Dataset, windows: pd.DataFrame, *, size: int, count: int, seed: int
) -> Halves:
    """Patches of two groups of patients, equally many of each.

    Args:
        dataset: Of the windows.
        windows: What a GAN learnt from.
        size: Of a patch, px.
        count: Patches of a half, at most.
        seed: Of the draw.

    Raises:
        DataError: All patches are of one patient.
    """
    whose = patient_keys(windows)
    patients = np.array(sorted(whose.unique()))
    if patients.size < 2:
        raise DataError(
            "samples are measured against two groups of patients; there is one patient only.",
            "table of windows",
            "Use more images or a smaller stride.",
        )
    order = np.random.default_rng(seed).permutation(patients)
    sides = [windows[whose.isin(group)] for group in np.array_split(order, 2)]
    each = min(count, *(len(side) for side in sides))
    chosen = [side.sample(n=each, random_state=seed) for side in sides]
    first, second = (cut(dataset.prepared, side, size=size) for side in chosen)
    return Halves(first, second, patient_keys(chosen[1]).to_numpy(dtype=str))


@dataclass(frozen=True)
class LearntFrom:
    """All real patches that a GAN has seen, to look for copies among them.

    Attributes:
        pictures: As generative.reduced has them, (n, rows, cols).
        patients: Of each, (n,).
    """

    pictures: npt.NDArray[np.float64]
    patients: npt.NDArray[np.str_]


def learnt_from(dataset: Dataset, windows: pd.DataFrame, *, size: int) -> LearntFrom:
    """What a GAN learnt from; cut a part at a time, so that memory holds reduced patches only.

    Args:
        dataset: Of the windows.
        windows: What the GAN learnt from.
        size: Of its samples, px.
    """
    parts = [
        generative.reduced(cut(dataset.prepared, windows.iloc[first : first + _PART], size=size))
        for first in range(0, len(windows), _PART)
    ]
    return LearntFrom(np.concatenate(parts), patient_keys(windows).to_numpy(dtype=str))


def sample_array(gan: TrainedGan, *, count: int, seed: int) -> FLOATS:
    """Samples of a generator, grey levels 0 to 1, (count, size, size)."""
    stream = stream_samples(gan.generator, gan.patches.scaling, count, seed=seed)
    samples: FLOATS = np.concatenate([part[:, 0].cpu().numpy() for part in stream])
    return samples


def measure(
    real: Halves, seen: LearntFrom, made: FLOATS, features: Features, *, seed: int
) -> pd.DataFrame:
    """Every measure of samples, and of the second half of the real patches in their place.

    Args:
        real: Patches of the class; the first half is what both are compared with.
        seen: All patches that the generator learnt from, where copies are looked for.
        made: Samples, as many.
        features: Of pictures (n, size, size): (n, d).
        seed: Of everything random.

    Returns:
        measure, samples, real (the floor).
    """
    sides = {"samples": made, "real": real.second}
    spectrum = generative.radial_spectrum(real.first)
    reference = features(real.first)
    columns: dict[str, dict[str, float]] = {}
    for name, pictures in sides.items():
        own, own_spectrum = features(pictures), generative.radial_spectrum(pictures)
        whose = real.patients if name == "real" else None
        near = generative.nearest_real(
            pictures, seen.pictures, seen.patients, generated_groups=whose
        )
        textures = generative.sliced_wasserstein(real.first, pictures, seed=seed)
        pairs = generative.diversity(pictures, pairs=_PAIRS, seed=seed)
        columns[name] = {
            "frechet": generative.frechet_distance(reference, own),
            "kernel": generative.kernel_distance(reference, own, seed=seed)[0],
            "swd": float(np.mean(list(textures.values()))),
            "slope": generative.spectral_slope(own_spectrum),
            "missing": generative.missing_detail(spectrum, own_spectrum),
            "similarity": float(pairs.mean()),
            "nearest": float(near["distance"].median()),
            "copies": float((near["ratio"] < _COPY).mean()),
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
        dataset: Of the real patches.
        gans: Architecture -> label -> generator.
        windows: Label -> what its generators learnt from.
        features: Of pictures (n, size, size): (n, d).
        count: Patches and samples to measure, at most.
        seed: Of everything random.

    Returns:
        architecture, label, n, measure, meaning, samples, real.
    """
    parts = []
    for architecture, own in gans.items():
        for label, gan in own.items():
            size = gan.generator.size
            real = real_halves(dataset, windows[label], size=size, count=count, seed=seed)
            seen = learnt_from(dataset, windows[label], size=size)
            made = sample_array(gan, count=len(real.first), seed=seed)
            table = measure(real, seen, made, features, seed=seed)
            table.insert(0, "architecture", architecture)
            table.insert(1, "label", label)
            table.insert(2, "n", len(made))
            table.insert(4, "meaning", table["measure"].map(MEASURES))
            parts.append(table)
    return pd.concat(parts, ignore_index=True)


def progress(
    dataset: Dataset, strips: pd.DataFrame, windows: Mapping[str, pd.DataFrame], *, seed: int
) -> pd.DataFrame:
    """Sliced Wasserstein distance of the samples kept on the way.

    Args:
        dataset: Of the real patches.
        strips: From studies.dcgan.strip_table.
        windows: Label -> what its generators learnt from.
        seed: Of halves and squares.

    Returns:
        architecture, label, epoch, swd, floor (of the other half of the real patches).
    """
    rows = []
    for (architecture, label), own in strips.groupby(["architecture", "label"], sort=False):
        kept = {row.epoch: np.load(row.path).astype(np.float32) for row in own.itertuples()}
        count, size = next(iter(kept.values())).shape[:2]
        real = real_halves(dataset, windows[label], size=size, count=count, seed=seed)
        floor = _texture(real.first, real.second, seed)
        for epoch, samples in kept.items():
            row = {"architecture": architecture, "label": label, "epoch": epoch}
            swd = _texture(real.first, samples, seed)
            rows.append({**row, "swd": swd, "floor": floor})
    return pd.DataFrame(rows)


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
    for architecture, own in gans.items():
        for label, gan in own.items():
            size = gan.generator.size
            real = real_halves(dataset, windows[label], size=size, count=count, seed=seed)
            made = sample_array(gan, count=len(real.first), seed=seed)
            for name, pictures in (("real", real.first), (architecture, made)):
                table = generative.radial_spectrum(pictures)
                parts.append(table.assign(architecture=name, label=label, size=size))
    return pd.concat(parts, ignore_index=True).drop_duplicates(
        ["architecture", "label", "size", "frequency"], ignore_index=True
    )


def nearest_of_all(
    dataset: Dataset,
    gans: Mapping[str, Mapping[str, TrainedGan]],
    windows: Mapping[str, pd.DataFrame],
    *,
    count: int,
    seed: int,
) -> dict[str, tuple[FLOATS, FLOATS]]:
    """Some samples of every generator and the real patch nearest to each, (count, size, size)."""
    pairs = {}
    for architecture, own in gans.items():
        for label, gan in own.items():
            size = gan.generator.size
            seen = learnt_from(dataset, windows[label], size=size)
            made = sample_array(gan, count=count, seed=seed)
            places = generative.nearest_real(made, seen.pictures, seen.patients)["nearest"]
            nearest = cut(dataset.prepared, windows[label].iloc[places], size=size)
            pairs[f"{architecture} {label}"] = (made, nearest)
    return pairs


@dataclass(frozen=True)
class Judged:
    """What is said of figure 2a or 2b.

    Attributes:
        value: Distance of texture over its floor, mean over the classes.
        n: Classes.
        how: How it was measured.
        verdict: In words.
    """

    value: float
    n: int
    how: str
    verdict: str


def judge_figures(progress_table: pd.DataFrame, *, epochs: tuple[int, int]) -> dict[str, Judged]:
    """Figures 2a and 2b in a number each; none where no DCGAN was trained.

    Args:
        progress_table: Of `progress`.
        epochs: Of figures 2a and 2b.

    Returns:
        Claim -> what is said.
    """
    own = progress_table[progress_table["architecture"] == "dcgan"]
    found = {}
    for claim, epoch in zip(("fig-2a", "fig-2b"), epochs, strict=True):
        values = []
        for _, part in own.groupby("label"):
            nearest = part.loc[(part["epoch"] - epoch).abs().idxmin()]
            values.append(nearest["swd"] / nearest["floor"])
        if values:
            value = float(np.mean(values))
            how = f"texture after {epoch:,} epochs: distance from real patches over its floor"
            words = f"texture {value:.1f} times as far as real patches are"
            if value > SUFFICIENT:
                words = f"as the paper: insufficient, {words}"
            else:  # near real texture is not yet what a diagnosis needs
                words = f"undecided: {words}, which says nothing of diagnosis"
            found[claim] = Judged(value, len(values), how, words)
    return found


def record_figures(run: Run, judged: Mapping[str, Judged], *, synthetic: bool) -> None:
    """Put what is said of figures 2a and 2b into the results."""
    for claim, said in judged.items():
        run.result(
            claim,
            said.value,
            n=said.n,
            how=said.how,
            figure="progress",
            verdict=said.verdict,
            synthetic=synthetic,
        )


def findings(quality: pd.DataFrame, losses: pd.DataFrame, *, synthetic: bool) -> str:
    """What notebook 03 found, as Markdown sentences made from its own numbers."""
    lines = []
    for architecture, own in quality.groupby("architecture", sort=False):
        means = own.groupby("measure")[["samples", "real"]].mean()
        seconds = losses[losses["architecture"] == architecture].groupby("label")["seconds"].max()
        times = ratio(own, "swd")
        lines.append(
            f"- **{architecture}** (trained for {seconds.sum() / 60:,.1f} minutes over "
            f"{len(seconds)} sets): texture lies {times:.1f} times as far from real patches as "
            "real patches of other women do; the features' Fréchet distance "
            f"{means.loc['frechet', 'samples']:.3g} against {means.loc['frechet', 'real']:.3g}."
        )
        missing = means.loc["missing", "samples"]
        detail = f"{missing:.0%} of the fine detail is missing"
        if missing < 0:
            detail = f"there is {1 - missing:,.1f} times the fine detail of real patches: grain"
        same, real = means.loc["similarity", ["samples", "real"]]
        copies, natural = means.loc["copies", ["samples", "real"]]
        verdict = "some are copies" if copies > natural + 0.05 else "no sign of copies"
        lines.append(
            f"  The spectrum falls with β = {means.loc['slope', 'samples']:.2f} (real "
            f"{means.loc['slope', 'real']:.2f}), and {detail}. Pairs of samples are "
            f"{_likeness(same, real)} (MS-SSIM {same:.2f} against {real:.2f}). {copies:.0%} of the "
            "samples lie less than half as far from one real patch as from those of other women "
            f"({natural:.0%} of real ones do): {verdict}."
        )
    if synthetic:
        lines.append("- **These images are phantoms:** the numbers check the code, not the paper.")
    return "\n".join(lines)


def ratio(quality: pd.DataFrame, name: str) -> float:
    """Mean of a measure over its floor, over the sets of a table."""
    own = quality[quality["measure"] == name]
    return float((own["samples"] / own["real"]).mean())


def _likeness(same: float, real: float) -> str:
    if same > real + 0.1:
        return "more alike than real ones, as where a generator collapses"
    return "less alike than real ones" if same < real - 0.1 else "about as alike as real ones"


def _texture(real: FLOATS, made: FLOATS, seed: int) -> float:
    return float(np.mean(list(generative.sliced_wasserstein(real, made, seed=seed).values())))

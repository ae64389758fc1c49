"""How hard the phantom's lesions are: a small CNN beside rules on brightness.

At the default contrast a network must be able to learn lesions, and no brightness threshold may
find them. Each lesion's patch meets control patches from breasts without a lesion at the same
place, in the breast's own coordinates, so that neither position nor thickness gives it away.

    python benchmarks/phantom_difficulty.py        writes results/phantom_difficulty.csv
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from scipy.stats import rankdata
from second_look.files import write_csv
from second_look.geometry import Box
from second_look.phantoms.phantom import (
    PhantomImage,
    PhantomSettings,
    PlannedBreast,
    draw_image,
    plan_patient,
)
from torch import Tensor, nn
from tqdm.auto import tqdm

RESULTS = Path(__file__).parent / "results" / "phantom_difficulty.csv"
VIEWS = ("CC", "MLO")
ROWS, COLS = 1024, 832
FloatArray = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Trial:
    """One measurement.

    Attributes:
        phantom: The patients that are drawn.
        window: Side of a patch in the image, px.
        shrink: Pixels averaged along a side before the network sees the patch.
        epochs: Passes over the training patches.
        test_share: Share of the patients that are only tested on.
        jitter: Largest shift of a lesion from the middle of its patch, share of the window.
        seed: Of the cut, the split and the network.
        draws: Bootstrap samples of an interval.
    """

    phantom: PhantomSettings
    window: int = 256
    shrink: int = 2
    epochs: int = 25
    test_share: float = 0.4
    jitter: float = 0.12
    seed: int = 0
    draws: int = 1000


@dataclass(frozen=True)
class Patches:
    """Patches of (n, side, side) grey levels 0 to 1, with what is known of each (n,)."""

    pixels: FloatArray
    lesion: npt.NDArray[np.bool_]
    patient: npt.NDArray[np.int64]
    group: npt.NDArray[np.str_]  # "pathology kind" of a lesion; of a control, its lesion's

    def __getitem__(self, chosen: npt.NDArray[np.bool_]) -> Patches:
        return Patches(
            self.pixels[chosen], self.lesion[chosen], self.patient[chosen], self.group[chosen]
        )


def cut_patches(trial: Trial) -> Patches:
    """Lesion-centred patches, each with one control from the other breast, at the same place."""
    rng = np.random.default_rng([trial.seed, 1])
    cuts = [
        cut
        for patient in tqdm(range(trial.phantom.patients), desc="drawing", unit="patient")
        for cut in _cuts_of_patient(trial, patient, rng)
    ]
    pixels, lesion, patients, groups = zip(*cuts, strict=True)
    return Patches(np.stack(pixels), np.array(lesion), np.array(patients), np.array(groups))


def _cuts_of_patient(
    trial: Trial, patient: int, rng: np.random.Generator
) -> Iterator[tuple[FloatArray, bool, int, str]]:
    breasts = plan_patient(trial.phantom, patient)
    affected = next((breast for breast in breasts if breast.lesions), None)
    if affected is None:
        return
    healthy = next(breast for breast in breasts if not breast.lesions)
    for view in VIEWS:
        with_lesion, without = (
            _facing_right(trial, breast, view) for breast in (affected, healthy)
        )
        for lesion in with_lesion.lesions:
            box = Box.of_mask(lesion.mask)
            if box is None:
                raise ValueError(f"patient {patient} {view}: a lesion lies outside the breast")
            shift = rng.uniform(-trial.jitter, trial.jitter, size=2) * trial.window
            row, col = box.centre[0] + shift[0], box.centre[1] + shift[1]
            group = f"{lesion.plan.pathology} {lesion.plan.kind}"
            yield _cut(trial, with_lesion.pixels, row, col), True, patient, group
            row, col = same_place(with_lesion.breast, without.breast, row, col)
            yield _cut(trial, without.pixels, row, col), False, patient, group


def _facing_right(trial: Trial, breast: PlannedBreast, view: str) -> PhantomImage:
    """An image with the chest wall at the left, so that the side tells nothing."""
    image = draw_image(trial.phantom, breast, view)
    if breast.laterality == "L":
        return image
    lesions = tuple(replace(lesion, mask=lesion.mask[:, ::-1]) for lesion in image.lesions)
    return PhantomImage(image.pixels[:, ::-1], image.breast[:, ::-1], lesions)


def same_place(
    source: npt.NDArray[np.bool_], target: npt.NDArray[np.bool_], row: float, col: float
) -> tuple[float, float]:
    """A place in one breast -> the same shares of height and of reach in another breast.

    Both masks (rows, cols) have the chest wall at the left.
    """
    spans = [np.flatnonzero(mask.any(axis=1))[[0, -1]] for mask in (source, target)]
    (top, bottom), (target_top, target_bottom) = spans
    share = (np.clip(row, top, bottom) - top) / (bottom - top)
    target_row = target_top + share * (target_bottom - target_top)
    extent, target_extent = (
        source[int(np.clip(row, top, bottom))].sum(),
        target[int(target_row)].sum(),
    )
    return float(target_row), float(col * target_extent / extent)


def _cut(
    trial: Trial, pixels: npt.NDArray[np.unsignedinteger], row: float, col: float
) -> FloatArray:
    """A window around a place, moved inside the image; (side, side), grey levels 0 to 1."""
    side = trial.window // trial.shrink
    starts = [
        int(np.clip(round(middle - trial.window / 2), 0, length - trial.window))
        for middle, length in zip((row, col), pixels.shape, strict=True)
    ]
    window = pixels[
        starts[0] : starts[0] + side * trial.shrink, starts[1] : starts[1] + side * trial.shrink
    ]
    means = window.reshape(side, trial.shrink, side, trial.shrink).mean(axis=(1, 3))
    return (means / (2**trial.phantom.bits - 1)).astype(np.float32)


def centre_minus_surround(pixels: FloatArray) -> FloatArray:
    """Mean of the middle disc less the mean of the ring around it, (n, side, side) -> (n,)."""
    side = pixels.shape[1]
    offset = np.arange(side) - (side - 1) / 2
    distance = np.hypot(offset[:, None], offset[None, :]) / side
    inner, ring = distance < 0.2, (distance >= 0.28) & (distance < 0.45)
    return pixels[:, inner].mean(axis=1) - pixels[:, ring].mean(axis=1)


# Each gives one score a patch; a lesion is expected to be brighter.
RULES: Mapping[str, Callable[[FloatArray], FloatArray]] = {
    "maximum": lambda pixels: pixels.max(axis=(1, 2)),
    "mean": lambda pixels: pixels.mean(axis=(1, 2)),
    "99th percentile": lambda pixels: np.quantile(pixels, 0.99, axis=(1, 2)),
    "standard deviation": lambda pixels: pixels.std(axis=(1, 2)),
    "centre minus surround": centre_minus_surround,
}


class SmallNet(nn.Module):
    """Four convolutions, then the mean and the maximum over the patch; about 46,000 weights."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = [1, width, 2 * width, 3 * width, 4 * width]
        for channels_in, channels_out in pairwise(channels):
            layers += [
                nn.Conv2d(channels_in, channels_out, 3, padding=1, bias=False),
                nn.BatchNorm2d(channels_out),
                nn.ReLU(),
                nn.MaxPool2d(2),
            ]
        self.features = nn.Sequential(*layers)
        self.last = nn.Linear(2 * channels[-1], 1)

    def forward(self, pixels: Tensor) -> Tensor:
        """(batch, 1, side, side) -> logits (batch,)."""
        maps = self.features(pixels)  # (batch, channels, side / 16, side / 16)
        pooled = torch.cat([maps.mean(dim=(2, 3)), maps.amax(dim=(2, 3))], dim=1)
        logits: Tensor = self.last(pooled).squeeze(1)
        return logits


def train_and_score(trial: Trial, train: Patches, test: Patches) -> FloatArray:
    """Train a SmallNet from nothing and give the logits of the test patches, (n,)."""
    generator = torch.Generator().manual_seed(trial.seed)
    with torch.random.fork_rng():
        torch.manual_seed(trial.seed)
        net = SmallNet()
    steps_an_epoch = -(-len(train.lesion) // 32)
    optimiser = torch.optim.AdamW(net.parameters(), lr=2e-3, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, 4e-3, total_steps=trial.epochs * steps_an_epoch
    )
    inputs, targets = _inputs(train), torch.from_numpy(train.lesion.astype(np.float32))
    for _ in tqdm(range(trial.epochs), desc="training", unit="epoch"):
        order = torch.randperm(len(targets), generator=generator)
        for batch in order.split(32):
            loss = nn.functional.binary_cross_entropy_with_logits(
                net(_turned(inputs[batch], generator)), targets[batch]
            )
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
    net.eval()
    with torch.no_grad():
        return np.concatenate([net(part).numpy() for part in _inputs(test).split(64)])


def _inputs(patches: Patches) -> Tensor:
    """(n, 1, side, side), each patch with mean 0 and deviation 1: its brightness is taken away."""
    pixels = torch.from_numpy(patches.pixels)[:, None]
    return (pixels - pixels.mean(dim=(2, 3), keepdim=True)) / pixels.std(dim=(2, 3), keepdim=True)


def _turned(batch: Tensor, generator: torch.Generator) -> Tensor:
    """One of the eight turns and reflections for the whole batch."""
    turns, mirrored = (
        torch.randint(4, (1,), generator=generator),
        torch.rand(1, generator=generator),
    )
    batch = torch.rot90(batch, int(turns), dims=(2, 3))
    return batch.flip(3) if float(mirrored) < 0.5 else batch


def split_by_patient(patches: Patches, trial: Trial) -> npt.NDArray[np.bool_]:
    """Which patches are tested on, (n,): no patient on both sides."""
    patients = np.unique(patches.patient)
    drawn = np.random.default_rng([trial.seed, 2]).permutation(patients)
    return np.isin(patches.patient, drawn[: round(trial.test_share * patients.size)])


def roc_auc(lesion: npt.NDArray[np.bool_], score: FloatArray) -> float:
    """Share of the pairs of lesion and control that the score puts in order; ties count half."""
    count = int(lesion.sum())
    pairs_in_order = float(rankdata(score)[lesion].sum()) - count * (count + 1) / 2
    return pairs_in_order / (count * (lesion.size - count))


def auc_with_interval(
    lesion: npt.NDArray[np.bool_],
    score: FloatArray,
    patient: npt.NDArray[np.int64],
    draws: int,
) -> tuple[float, float, float]:
    """Area under the ROC curve and the ends of its 95 % interval, by bootstrap over patients."""
    rng = np.random.default_rng(0)
    members = [np.flatnonzero(patient == member) for member in np.unique(patient)]
    areas = []
    for _ in range(draws):
        rows = np.concatenate([members[k] for k in rng.integers(len(members), size=len(members))])
        areas.append(roc_auc(lesion[rows], score[rows]))
    low, high = np.quantile(areas, [0.025, 0.975])
    return roc_auc(lesion, score), float(low), float(high)


def rule_aucs(patches: Patches, group: str, draws: int) -> list[dict[str, object]]:
    """One row per rule, with the columns of `measure`, over all of the patches."""
    return [_row(name, group, patches, rule(patches.pixels), draws) for name, rule in RULES.items()]


def measure(trial: Trial) -> pd.DataFrame:
    """AUC of the network and of every rule.

    Returns:
        One row per method and group: method, group, auc, low, high, patches, patients, contrast,
        seed. The group is "all" (every patch of the test patients), one pathology and kind of
        them, or, for the rules, which need no training, "all, training patients too".
    """
    patches = cut_patches(trial)
    tested = split_by_patient(patches, trial)
    train, test = patches[~tested], patches[tested]
    logits = train_and_score(trial, train, test)
    rows = rule_aucs(patches, "all, training patients too", trial.draws)
    for group in ("all", *np.unique(test.group)):
        chosen = np.ones_like(test.lesion) if group == "all" else test.group == group
        rows.append(_row("small CNN", str(group), test[chosen], logits[chosen], trial.draws))
        rows += rule_aucs(test[chosen], str(group), trial.draws)
    return pd.DataFrame(rows).assign(
        contrast=trial.phantom.lesion_contrast, seed=trial.phantom.seed
    )


def _row(
    method: str, group: str, patches: Patches, score: FloatArray, draws: int
) -> dict[str, object]:
    auc, low, high = auc_with_interval(patches.lesion, score, patches.patient, draws)
    return {
        "method": method,
        "group": group,
        "auc": auc,
        "low": low,
        "high": high,
        "patches": len(patches.lesion),
        "patients": np.unique(patches.patient).size,
    }


def main() -> None:
    """Measure at several contrasts and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--patients", type=int, default=120)
    parser.add_argument("--contrasts", type=float, nargs="+", default=[0.0, 0.65, 1.0, 1.35])
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    parts = []
    for contrast in arguments.contrasts:
        for seed in arguments.seeds:
            phantom = PhantomSettings(
                patients=arguments.patients,
                rows=ROWS,
                cols=COLS,
                lesion_contrast=contrast,
                seed=seed,
            )
            start = time.perf_counter()
            parts.append(measure(Trial(phantom, seed=seed)))
            all_patches = parts[-1][parts[-1]["group"].str.startswith("all")]
            print(f"\ncontrast {contrast:g}, seed {seed} ({time.perf_counter() - start:.0f} s)")
            print(all_patches.to_string(index=False, float_format="{:.3f}".format))
    write_csv(arguments.out, pd.concat(parts, ignore_index=True).round(4))
    print(f"\nwritten: {arguments.out}")


if __name__ == "__main__":
    main()

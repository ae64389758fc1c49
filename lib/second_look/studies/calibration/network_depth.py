"""Are deeper networks worse calibrated? ECE of ResNets by depth, for notebook 07."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import pandas as pd

from second_look.evaluation import calibration as cal
from second_look.evaluation.groups import KEYS, Group
from second_look.evaluation.intervals import Floats, Patients, Statistic, bootstrap, difference
from second_look.studies.calibration.measures import AS_IT_IS, TEMPERATURE, Calibrated

_DEPTH = re.compile(r"resnet(\d+)", re.IGNORECASE)


def depths(calibrated: Sequence[Calibrated], measured: pd.DataFrame) -> pd.DataFrame:
    """ECE of ResNets by depth (Guo et al. 2017: deeper networks are worse calibrated).

    Returns:
        KEYS, family (the model's name without its depth), depth, temperature, and ECE with its
        interval before (ece, low, high) and after temperature (ece_recalibrated).
    """
    ece = measured[measured["measure"] == "ece"].set_index([*KEYS, "method"])
    rows = []
    for model in calibrated:
        match = _DEPTH.search(model.group.architecture)
        if match is None:
            continue
        key = tuple(model.group.key.values())
        raw = ece.loc[(*key, AS_IT_IS)]
        recalibrated = ece["value"].get((*key, TEMPERATURE), float("nan"))
        rows.append(
            {
                **model.group.key,
                "family": family(model.group),
                "depth": int(match[1]),
                "temperature": model.temperature,
                "ece": raw["value"],
                "low": raw["low"],
                "high": raw["high"],
                "ece_recalibrated": recalibrated,
            }
        )
    columns = [*KEYS, "family", "depth", "temperature", "ece", "low", "high", "ece_recalibrated"]
    order = ["family", "unit", "target", "depth", "seed"]
    return pd.DataFrame(rows, columns=columns).sort_values(order, ignore_index=True)


def family(group: Group) -> str:
    """The model's name without its architecture: what networks of several depths share."""
    return " ".join(group.model.replace(group.architecture, " ").split()) or "–"


def depth_effect(
    calibrated: Sequence[Calibrated], *, bins: int, seed: int, draws: int
) -> pd.DataFrame:
    """ECE of the deepest ResNet less that of the shallowest, paired over patients.

    Of several seeds, the mean ECE is taken in every draw.

    Returns:
        file, family, unit, target, shallow, deep (depths), difference, low, high, seeds; one row
        for every family with two depths.
    """
    families: dict[tuple[str, str, str, str], dict[int, list[Calibrated]]] = {}
    for model in calibrated:
        match = _DEPTH.search(model.group.architecture)
        if match is not None:
            key = (model.group.file, family(model.group), model.group.unit, model.group.target)
            families.setdefault(key, {}).setdefault(int(match[1]), []).append(model)
    rows = []
    for key, by_depth in sorted(families.items()):
        if len(by_depth) < 2:
            continue
        shallow, deep = min(by_depth), max(by_depth)
        models = [*by_depth[shallow], *by_depth[deep]]
        names = np.unique(np.concatenate([model.test.ids for model in models]))
        sides = [_mean_ece(by_depth[depth], names, bins) for depth in (deep, shallow)]
        patients = Patients.from_ids(names)
        gap = bootstrap(
            {"gap": difference(*sides)}, patients, seed=seed, draws=draws, recentred=True
        )["gap"]
        seeds = min(len(by_depth[shallow]), len(by_depth[deep]))
        rows.append((*key, shallow, deep, gap.value, gap.low, gap.high, seeds))
    columns = ["file", "family", "unit", "target", "shallow", "deep"]
    return pd.DataFrame(rows, columns=[*columns, "difference", "low", "high", "seeds"])


def _mean_ece(calibrated: Sequence[Calibrated], names: np.ndarray, bins: int) -> Statistic:
    """Mean ECE of several groups in draws of all the patients that are named."""
    binned = []
    for model in calibrated:
        part = model.test
        stated_probabilities, correct = cal.stated_outcomes(part.probabilities, part.classes)
        patients = Patients(np.searchsorted(names, part.ids), len(names))
        binned.append(
            cal.Binned.from_predictions(
                stated_probabilities,
                correct,
                patients,
                cal.bin_edges(stated_probabilities, "width", bins),
            )
        )

    def statistic(counts: Floats) -> Floats:
        total: Floats = sum((model.ece(counts) for model in binned), np.zeros(len(counts)))
        return total / len(binned)

    return statistic

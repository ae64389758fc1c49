"""Predictions of models whose faults are known: too sure by a known temperature.

A unit's true probabilities follow from its log odds; its label is drawn from them. The model says
the same log odds times `temperature`: dividing them by it again is the cure.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.special import expit, softmax
from second_look.catalogue import LABELS, SPLITS
from second_look.evaluation.predictions import CLASS_SCORES, checked

SHARES = {"train": 0.4, "val": 0.3, "test": 0.3}


def _skeleton(
    rng: np.random.Generator, patients: int, units_per_patient: int, unit: str
) -> pd.DataFrame:
    names = np.array([f"p{number:04d}" for number in range(patients)])
    splits = rng.choice(SPLITS, size=patients, p=list(SHARES.values()))
    patient = np.repeat(np.arange(patients), units_per_patient)
    unit_index = np.tile(np.arange(units_per_patient), patients)
    return pd.DataFrame(
        {
            "dataset": "made",
            "image_id": [f"{names[w]}_{k}" for w, k in zip(patient, unit_index, strict=True)],
            "patient_id": names[patient],
            "split": splits[patient],
            "unit": unit,
        }
    )


def class_predictions(
    *,
    patients: int = 200,
    units_per_patient: int = 20,
    temperature: float = 2.5,
    shared: float = 0.0,
    seed: int = 0,
    model: str = "resnet18 imagenet",
    model_seed: int = 0,
    noise: float = 0.0,
) -> pd.DataFrame:
    """Patches with probabilities of the four classes.

    Args:
        patients: In all splits.
        units_per_patient: Patches of one patient.
        temperature: By which the model's logits are too large.
        shared: Spread of what the logits of one patient have in common.
        seed: Of the data; the model's seed is `model_seed`.
        model: Name; its first word is the architecture, its second the start.
        model_seed: Of the noise.
        noise: Spread of what the model adds to the true logits.
    """
    rng = np.random.default_rng(seed)
    table = _skeleton(rng, patients, units_per_patient, "patch")
    bias = np.array([1.5, -0.5, 0.0, 0.0])
    logits = rng.normal(scale=1.5, size=(len(table), len(LABELS))) + bias
    logits += np.repeat(
        rng.normal(scale=shared, size=(patients, len(LABELS))), units_per_patient, axis=0
    )
    truth = _drawn(rng, softmax(logits, axis=1))
    model_logits = logits + np.random.default_rng(model_seed + 1).normal(
        scale=noise, size=logits.shape
    )
    table = table.assign(
        target="label", model=model, seed=model_seed, label=np.array(LABELS)[truth], score=np.nan
    )
    table[list(CLASS_SCORES)] = softmax(model_logits * temperature, axis=1)
    return checked(_with_extras(table))


def binary_predictions(
    *,
    patients: int = 400,
    units_per_patient: int = 2,
    temperature: float = 2.0,
    seed: int = 0,
    unit: str = "image",
    target: str = "malignant",
    model: str = "resnet18 scheme-b",
    model_seed: int = 0,
) -> pd.DataFrame:
    """Images, breasts or patients with one score; arguments as of `class_predictions`."""
    rng = np.random.default_rng(seed)
    table = _skeleton(rng, patients, units_per_patient, unit)
    odds = rng.normal(scale=1.5, size=len(table)) - 0.5
    positives = rng.random(len(table)) < expit(odds)
    labels = np.where(positives, "malignant", "normal" if target == "lesion" else "benign")
    scores = dict.fromkeys(CLASS_SCORES, np.nan) | {"score": expit(odds * temperature)}
    table = table.assign(target=target, model=model, seed=model_seed, label=labels, **scores)
    return checked(_with_extras(table))


def _with_extras(table: pd.DataFrame) -> pd.DataFrame:
    words = table["model"].str.split(" ")
    return table.assign(architecture=words.str[0], start=words.str[1])


def _drawn(rng: np.random.Generator, probabilities: np.ndarray) -> np.ndarray:
    """One class a row, by its probabilities."""
    steps = probabilities.cumsum(axis=1)
    return np.minimum((rng.random(len(steps))[:, None] > steps).sum(axis=1), steps.shape[1] - 1)


def several_depths(
    temperatures: dict[str, float], seeds: Sequence[int] = (0, 1), **settings: float
) -> pd.DataFrame:
    """Patch predictions of several networks, architecture -> how much too sure it is."""
    tables = [
        class_predictions(
            temperature=temperature,
            model=f"{name} imagenet",
            model_seed=seed,
            noise=0.2,
            **settings,
        )
        for name, temperature in temperatures.items()
        for seed in seeds
    ]
    return pd.concat(tables, ignore_index=True)

"""Worked example of notebook 07: from a model's probabilities to its calibration error."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

from second_look.evaluation import calibration as cal
from second_look.evaluation.recalibration import logarithms
from second_look.studies.calibration.measures import TEMPERATURE, Calibrated


def answer_to_error(calibrated: Sequence[Calibrated], *, bins: int) -> pd.DataFrame:
    """The first test unit of the first model that has a temperature, through every step.

    Args:
        calibrated: Of measures.calibrate.
        bins: Of the calibration error, of equal width.

    Returns:
        step, values; no rows where no temperature could be fitted.
    """
    model = next((part for part in calibrated if TEMPERATURE in part.fitted), None)
    if model is None:
        return pd.DataFrame(columns=["step", "values"])
    test, shares = model.test, model.probabilities(TEMPERATURE)
    first = test.probabilities[0]
    probability, true = cal.stated_outcomes(shares, test.classes)
    edges = cal.bin_edges(probability, "width", bins)
    places = np.clip(np.searchsorted(edges, probability, side="left") - 1, 0, bins - 1)
    members = places == places[0]
    gap = abs(probability[members].mean() - true[members].mean())
    names = ", ".join(name.replace("_", " ") for name in model.group.names)
    rows = {
        "model and question": model.group.title,
        f"probabilities of {names}": _listed(first),
        "their logarithms, which stand for logits": _listed(logarithms(first)),
        "temperature, fitted to validation units": f"{model.temperature:.3g}",
        "logarithms divided by it": _listed(logarithms(first) / model.temperature),
        "probabilities again: softmax": _listed(shares[0]),
        "stated: the probability that is judged": f"{probability[0]:.3f}",
        "did it come true?": "yes" if true[0] else "no",
        "its bin": f"{edges[places[0]]:.3f} to {edges[places[0] + 1]:.3f}",
        "in this bin: units, mean stated, share that came true": f"{members.sum()}, "
        f"{probability[members].mean():.3f}, {true[members].mean():.3f}",
        "gap of the bin, and what it adds to ECE: gap × share of units": f"{gap:.3f}, "
        f"{gap * members.mean():.4f}",
        "ECE: the sum over all bins": f"{cal.ece(shares, test.classes, bins=bins):.4f}",
    }
    return pd.DataFrame({"step": list(rows), "values": list(rows.values())})


def _listed(values: Iterable[float]) -> str:
    return ", ".join(f"{value:.3f}" for value in values)

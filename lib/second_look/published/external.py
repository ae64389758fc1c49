"""A published model on a data set that it never saw, without touching it.

Calibration and thresholds are those of the card: fitted on validation patients of its own data
set. What they are worth elsewhere is what is measured.
"""

from __future__ import annotations

import pandas as pd

from second_look.evaluation.intervals import DRAWS
from second_look.evaluation.predictions import binary_scores, combine
from second_look.published.card import Result
from second_look.published.measured import unit_results
from second_look.published.weights import Published


def external_results(
    model: Published, predictions: pd.DataFrame, *, seed: int, draws: int = DRAWS
) -> list[Result]:
    """AUC, ECE as it is and calibrated, sensitivity and specificity at the card's thresholds.

    By image, by breast where all sides are known, and the AUC by patient.

    Args:
        model: Of kind image.
        predictions: Of `scores.predict_dataset`: all rows count, whatever their split.
        seed: Of the intervals.
        draws: Bootstrap samples.
    """
    tables = {
        "image": predictions.assign(score=binary_scores(predictions, "malignant")),
    }
    if (predictions["laterality"] != "").all():
        tables |= {unit: combine(predictions, unit) for unit in ("breast", "patient")}
    results = []
    for unit, table in tables.items():
        fitted = model.card.calibrations.get(unit)
        results += unit_results(
            table, fitted, unit=unit, source=predictions["dataset"].iloc[0], seed=seed, draws=draws
        )
    return results


def fall(results: list[Result], card_results: tuple[Result, ...]) -> pd.DataFrame:
    """Measures here beside those on the test patients of the model's own data set.

    Returns:
        measure, unit, value, low, high, n, patients; value_at_home, low_at_home, high_at_home (None
        where the card does not have it).
    """
    home = {(part.measure, part.unit): part for part in card_results}
    rows = []
    for part in results:
        same_measure = home.get((part.measure, part.unit))
        ends = {
            f"{name}_at_home": getattr(same_measure, name, None)
            for name in ("value", "low", "high")
        }
        rows.append(
            {
                "measure": part.measure,
                "unit": part.unit,
                "value": part.value,
                "low": part.low,
                "high": part.high,
                "n": part.n,
                "patients": part.patients,
                **ends,
            }
        )
    return pd.DataFrame(rows)

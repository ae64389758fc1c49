"""A published model on a data set that it never saw, without touching it.

Calibration and thresholds are those of the card: fitted on validation patients of its own data
set. What they are worth elsewhere is what is measured.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from second_look.catalogue import SPLITS
from second_look.errors import DataError, NotApplicableError
from second_look.evaluation.predictions import binary_scores, combine
from second_look.outputs import Run
from second_look.preparing.dataset import Dataset
from second_look.published.card import IMAGE, Result, TrainingData
from second_look.published.measured import training_data, unit_results
from second_look.published.scores import predict_dataset
from second_look.published.weights import Published, load_models


def open_published(run: Run, data: Dataset, model: str) -> Published:
    """The image model of a published set, to be tested on another data set.

    Args:
        run: Of the notebook.
        data: The data set that it is tested on.
        model: Folder of the published set; "" for none.

    Raises:
        NotApplicableError: No model is named.
        DataError: The set has no model of whole images, or it learned from this very data set.
        MissingDataError: The folder holds no published set.
    """
    if not model:
        raise NotApplicableError(
            "no published model is named: give the folder of a set such as "
            "outputs/reference/cbis_mass as the parameter model.",
            data.name,
        )
    folder = Path(model).expanduser()
    models = load_models(folder)
    if IMAGE not in models:
        raise DataError(
            f"it has no model of whole images, only {', '.join(models)}.",
            folder,
            "Name another published set.",
        )
    published = models[IMAGE]
    run.uses(*sorted(path for path in folder.rglob("*") if path.is_file()))
    if published.card.data.name == data.name:
        raise DataError(
            f"the model learned from {data.name}, the data set of this run: that is no external "
            "test.",
            folder,
            "Use the params file of another data set.",
        )
    return published


def both_sets(published: Published, data: Dataset) -> pd.DataFrame:
    """The data set that the model learned from beside the one that it is tested on.

    Returns:
        quantity, home (the model's), here.
    """
    home, tested = published.card.data, training_data(data)
    rows = [
        ("data set", home.name, tested.name),
        ("acquisition", home.acquisition, tested.acquisition),
        ("images", *(sum(part.images.values()) for part in (home, tested))),
        ("patients", *(sum(part.patients.values()) for part in (home, tested))),
        ("malignant images", *(_malignant(part) for part in (home, tested))),
        ("source", home.source, tested.source),
    ]
    return pd.DataFrame(rows, columns=["quantity", "home", "here"])


def _malignant(facts: TrainingData) -> str:
    count = sum(facts.images[split] * facts.malignant[split] for split in facts.images)
    return f"{count / sum(facts.images.values()):.0%}"


def predict(published: Published, data: Dataset) -> pd.DataFrame:
    """What the model says of all images, whatever their split: it learned from none of them."""
    return predict_dataset(published, data, splits=SPLITS)


def findings(falls: pd.DataFrame, published: Published, data: Dataset) -> str:
    """What is left of the model, as sentences with the run's numbers."""
    return "\n".join(f"- {_sentence(row, published, data)}" for row in falls.to_dict("records"))


def _sentence(row: dict[str, Any], published: Published, data: Dataset) -> str:
    value, home = (_in_words(row, ending) for ending in ("", "_at_home"))
    text = f"{row['measure']}, by {row['unit']}: {value} on {data.name} (n = {row['n']:,})"
    if row["value_at_home"] is None:
        return f"{text}."
    text += f", {home} on the test patients of {published.card.data.name}"
    ends = [row[name] for name in ("low", "high", "low_at_home", "high_at_home")]
    if any(pd.isna(end) for end in ends):
        return f"{text}; too few patients to compare."
    low, high, low_at_home, high_at_home = ends
    apart = high < low_at_home or high_at_home < low
    return f"{text}; the intervals {'are apart' if apart else 'overlap: no fall is shown'}."


def _in_words(row: dict[str, Any], ending: str) -> str:
    value, low, high = (row[f"{name}{ending}"] for name in ("value", "low", "high"))
    if pd.isna(value):
        return "undefined"
    return f"{value:.2f}" + ("" if pd.isna(low) else f" [{low:.2f}, {high:.2f}]")


def external_results(
    model: Published, predictions: pd.DataFrame, *, seed: int, draws: int
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

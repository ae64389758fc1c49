"""Trained generators: notebook 03 stores them, later notebooks load them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd

from second_look.errors import DataError
from second_look.models import dcgan, progressive
from second_look.models.generator import PatchGenerator, Scaling
from second_look.models.weights import load_weights
from second_look.outputs import Run
from second_look.studies.gan.dcgan import DCGAN
from second_look.training.gan import TrainedGan

# Notebook 03 stores the table of its generators here.
GENERATORS = "predictions/generators.parquet"


def weight_files(*trainings: Mapping[str, Mapping[str, TrainedGan]]) -> list[Path]:
    """The files of weights of all generators.

    Args:
        trainings: Each architecture -> label -> generator, of a seed.
    """
    return [
        gan.record.weights
        for gans in trainings
        for gans_by_label in gans.values()
        for gan in gans_by_label.values()
    ]


def generator_table(gans: Mapping[str, Mapping[str, TrainedGan]], outputs: Path) -> pd.DataFrame:
    """Where the generators are stored, and the settings needed to build them.

    Args:
        gans: Architecture -> label -> generator.
        outputs: Folder of the run; paths are relative to it.

    Returns:
        architecture, label, weights, network (its settings as JSON), low, high (of the scaling),
        patches, steps, epochs.
    """
    outputs = outputs.resolve()
    rows = [
        {
            "architecture": architecture,
            "label": label,
            "weights": gan.record.weights.resolve().relative_to(outputs).as_posix(),
            "network": json.dumps(asdict(gan.generator.settings)),  # type: ignore[call-overload]
            "low": gan.patches.scaling.low,
            "high": gan.patches.scaling.high,
            "patches": len(gan.patches),
            "steps": gan.record.steps,
            "epochs": gan.record.steps / gan.patches.steps_an_epoch,
        }
        for architecture, gans_by_label in gans.items()
        for label, gan in gans_by_label.items()
    ]
    return pd.DataFrame(rows)


def load_generators(
    table: pd.DataFrame, outputs: Path, architecture: str
) -> dict[str, tuple[PatchGenerator, Scaling]]:
    """The generators of one architecture that notebook 03 trained.

    Args:
        table: Of `generator_table`.
        outputs: Folder of the run.
        architecture: One of its architectures.

    Returns:
        Label -> generator in evaluation mode, and its scaling.

    Raises:
        DataError: Notebook 03 did not train it.
        CheckpointError: Its weights are gone or of another architecture.
    """
    rows = table[table["architecture"] == architecture]
    if rows.empty:
        available = ", ".join(table["architecture"].unique())
        raise DataError(
            f"there is no generator {architecture!r}; available: {available}.",
            "table of generators",
            "Choose one of these, or add it to `generators` of notebook 03.",
        )
    generators = {}
    for row in rows.itertuples():
        generator, name = _built(architecture, json.loads(row.network))
        load_weights(generator, outputs / row.weights, name)
        generators[row.label] = (generator.eval(), Scaling(row.low, row.high))
    return generators


def _built(architecture: str, settings: Mapping[str, Any]) -> tuple[PatchGenerator, str]:
    """A generator, and its name in the file of weights."""
    if architecture == DCGAN:
        return dcgan.Generator(dcgan.DcganSettings(**settings)), "generator"
    growing = progressive.Generator(progressive.ProgressiveSettings(**settings))
    return growing, "average"


def generator_epochs(run: Run, architecture: str) -> float:
    """Epochs that the generators of an architecture were trained for, the fewest of all classes."""
    table = run.read_parquet(GENERATORS)
    return float(table.loc[table["architecture"] == architecture, "epochs"].min())


def open_generators(run: Run, architecture: str) -> dict[str, tuple[PatchGenerator, Scaling]]:
    """The generators that notebook 03 trained for this run, recorded as inputs of the notebook.

    Raises:
        OutputError: Notebook 03 has not run for this set.
        DataError: It did not train this architecture.
    """
    table = run.read_parquet(GENERATORS)
    rows = table[table["architecture"] == architecture]
    run.uses(*(run.folder / path for path in rows["weights"]))
    return load_generators(table, run.folder, architecture)

"""What notebook 07 records beside the paper's statements on calibration."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from second_look.claims import CONFIDENT, claim
from second_look.outputs import Run
from second_look.studies.calibration.findings import cell
from second_look.studies.calibration.measures import AS_IT_IS, TEMPERATURE, Calibrated
from second_look.verdicts import Conditions

# The paper's example: how sure a model is, 0 to 1, and how often it is then wrong, %.
PAPERS_EXAMPLE = (CONFIDENT, claim("confidence-80").value)


def report(
    run: Run,
    chosen: Sequence[Calibrated],
    measured: pd.DataFrame,
    bands: pd.DataFrame,
    depth: pd.DataFrame,
    *,
    synthetic: bool,
) -> None:
    """Record what depth, one temperature and a confidence of 80 % mean, where they were measured.

    Each model is one training; only the comparison by depth has several seeds.

    Args:
        run: Of the notebook.
        chosen: The models of the figures; the first one is recorded.
        measured: Of measures.measure.
        bands: Of decisions.bands.
        depth: Of network_depth.depth_effect.
        synthetic: Whether predictions of phantoms are among them.
    """
    model = chosen[0].group
    change = cell(measured, model, TEMPERATURE, "ece_change")
    if change is not None:
        run.result(
            "temperature", 100 * change["value"], low=100 * change["low"],
            high=100 * change["high"], n=int(change["n"]), how=f"{model.title}, points of ECE",
            conditions=Conditions(1), figure="reliability_width", synthetic=synthetic,
        )  # fmt: skip
    in_band = bands[np.isclose(bands["from"], CONFIDENT) & (bands["title"] == model.title)]
    for row in in_band[in_band["method"] == AS_IT_IS].itertuples():
        run.result(
            "confidence-80", 100 * row.observed, low=100 * row.low, high=100 * row.high,
            n=int(row.units), how=f"{model.title}, as it is; {100 * row.promised:.0f} % promised",
            conditions=Conditions(1), figure="confidence_bands", synthetic=synthetic,
        )  # fmt: skip
    for row in depth.head(1).itertuples():
        run.result(
            "depth-calibration", 100 * row.difference, low=100 * row.low, high=100 * row.high,
            how=f"ECE of ResNet-{row.deep} less ResNet-{row.shallow}, {row.family}, {row.unit}",
            conditions=Conditions(int(row.seeds)), figure="ece_by_depth", synthetic=synthetic,
        )  # fmt: skip

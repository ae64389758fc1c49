"""What notebook 03 records beside the paper's claims: figures 2a and 2b as numbers, newer GANs."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from second_look.claims import claim
from second_look.evaluation.seeds import of_trainings
from second_look.outputs import Run
from second_look.paper import SUFFICIENT
from second_look.studies.gan.dcgan import DCGAN, PROGRESSIVE
from second_look.studies.gan.quality import nearest_epochs, texture
from second_look.verdicts import Budget, Conditions, Control

FIGURES = ("fig-2a", "fig-2b")


def control(rows: pd.DataFrame) -> Control:
    """Whether the measure calls original patches of other patients sufficient, and mere noise not.

    With few patients the floor is high, and noise of the right grey levels can come below it.

    Args:
        rows: Of `nearest_epochs`.
    """
    farthest = float((rows["control"] / rows["floor"]).max())
    nearest = float((rows["noise"] / rows["floor"]).min())
    text = (
        f"original patches of other patients lie up to {farthest:.2f} times the floor away, noise "
        f"of their grey levels at least {nearest:.2f} times; at most {SUFFICIENT:g} are sufficient"
    )
    return Control(farthest <= SUFFICIENT < nearest, text)


def report_figures(
    run: Run, progress: pd.DataFrame, *, epochs: tuple[int, int], budget: Budget, synthetic: bool
) -> list[str]:
    """Record figures 2a and 2b as numbers; nothing if no DCGAN was trained.

    The number is `quality.texture`. A training is one seed, which trains a generator a class:
    classes differ by what they show, and say nothing of the luck of a training.

    Args:
        run: Of the notebook.
        progress: Of studies.gan.quality.progress.
        epochs: Of figures 2a and 2b in this run.
        budget: What the generators were given besides: patches, size in px.
        synthetic: Whether the patches are phantoms'.

    Returns:
        The numbers as Markdown lines.
    """
    lines = []
    for claim_id, epoch in zip(FIGURES, epochs, strict=True):
        rows = nearest_epochs(progress, DCGAN, epoch)
        if rows.empty:
            continue
        over = texture(rows)
        reached = float(rows["epoch"].min())
        how = (
            f"texture after {reached:,.0f} epochs: distance from original patches divided by its "
            "floor, mean over the classes"
        )
        lines.append(f"- {claim(claim_id).section}: {over.estimate}, {how}.")
        run.result(
            claim_id, over.estimate, how=how, figure="progress", synthetic=synthetic,
            conditions=Conditions(over.trainings, {**budget, "epochs": reached}, control(rows)),
        )  # fmt: skip
    return lines


def report_newer(run: Run, progress: pd.DataFrame, *, synthetic: bool) -> None:
    """Record how far a newer GAN's samples are from original patches, as a share of the DCGAN's.

    Each is divided by its own floor, since their sizes may differ.

    Args:
        run: Of the notebook.
        progress: Of studies.gan.quality.progress.
        synthetic: Whether the patches are phantoms'.
    """
    last: Mapping[str, pd.DataFrame] = {
        name: nearest_epochs(progress, name, np.inf).set_index(["seed", "label"])
        for name in (DCGAN, PROGRESSIVE)
    }
    if any(rows.empty for rows in last.values()):
        return
    ratios = {name: rows["swd"] / rows["floor"] for name, rows in last.items()}
    shares = np.log(ratios[PROGRESSIVE] / ratios[DCGAN]).dropna()
    over = of_trainings(np.exp(shares.groupby("seed").mean()), n=len(shares))
    run.result(
        "newer-gans", over.estimate, figure="progress", synthetic=synthetic,
        how="progressive growing, mean over the classes, each by its own floor",
        conditions=Conditions(over.trainings),
    )  # fmt: skip

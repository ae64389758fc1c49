"""What notebook 06 records beside the paper's claims on patches, transfer and whole images."""

from __future__ import annotations

import numpy as np
import pandas as pd

from second_look.claims import claim
from second_look.evaluation.seeds import OverTrainings, estimate_of
from second_look.models.classifier import IMAGENET, RANDOM
from second_look.outputs import Run
from second_look.preparing.dataset import Dataset
from second_look.studies.transfer.patch_models import PatchModel
from second_look.studies.transfer.patch_transfer import at_chance
from second_look.verdicts import UNDECIDED, Conditions, Control, limits

# Verdict on a gain over a random start that has learned nothing yet: it shows that few patches are
# enough from the other start, not what that start adds where there are many.
AT_CHANCE = f"{UNDECIDED}: the random start is still at chance"
# Numbers of patches that count as about the paper's, as shares of these.
ABOUT = (0.75, 1.5)


def report_accuracy(run: Run, curve: pd.DataFrame, data: Dataset, start: str) -> None:
    """Record the accuracies at about the paper's numbers of patches.

    Args:
        run: Of the notebook.
        curve: Of patch_transfer.learning_curve.
        data: The data set.
        start: Whose accuracies are compared with the paper's.
    """
    accuracies = curve[(curve["start"] == start) & (curve["measure"] == "accuracy")]
    for claim_id, patches in (("patch-accuracy-200k", 2e5), ("patch-accuracy-400k", 4e5)):
        comparable = accuracies[_about(accuracies["patches"], patches)]
        for _, row in comparable.head(1).iterrows():
            run.result(
                claim_id, estimate_of(row).mapped(_percent), figure="learning_curve",
                how=f"{row['patches']:,} patches, start {start}, natural class frequencies, "
                f"{data.name}",
                conditions=Conditions(int(row["trainings"])), synthetic=data.synthetic,
            )  # fmt: skip


def report_growth(run: Run, growth: pd.DataFrame, data: Dataset, start: str) -> None:
    """Record what twice the patches add to accuracy, where the run has the paper's numbers.

    Args:
        run: Of the notebook.
        growth: Of patch_transfer.growth.
        data: The data set.
        start: Whose accuracies are compared with the paper's.
    """
    gains = growth[(growth["start"] == start) & (growth["measure"] == "accuracy")]
    comparable = gains[_about(gains["fewer"], 2e5) & _about(gains["patches"], 4e5)]
    for _, row in comparable.head(1).iterrows():
        run.result(
            "patch-accuracy-gain", estimate_of(row).mapped(_percent), figure="growth",
            how=f"{row['patches']:,} patches less {row['fewer']:,}, start {start}, {data.name}, "
            "paired over patients",
            conditions=Conditions(int(row["trainings"])), synthetic=data.synthetic,
        )  # fmt: skip


def report_transfer(
    run: Run, curve: pd.DataFrame, effect: pd.DataFrame, baseline: pd.DataFrame, data: Dataset
) -> None:
    """Record the gain of a start from ImageNet, with the most patches.

    Positive control: both starts must be above chance there. Nothing is recorded without ImageNet:
    what another start gains is no measurement of the claim.

    Args:
        run: Of the notebook.
        curve: Of patch_transfer.learning_curve.
        effect: Of patch_transfer.transfer_effect.
        baseline: Of patch_transfer.baselines.
        data: The data set.
    """
    gains = effect[(effect["measure"] == "balanced_accuracy") & (effect["start"] == IMAGENET)]
    if gains.empty:
        return
    row = gains.loc[gains["patches"].idxmax()]
    patches, gain = int(row["patches"]), estimate_of(row).mapped(_percent)
    untaught = [name for name in (RANDOM, IMAGENET) if at_chance(curve, baseline, patches, name)]
    text = f"start {' and '.join(untaught)} at chance" if untaught else "both starts above chance"
    hasty = RANDOM in untaught and gain.low > limits(claim("transfer"))[1]
    run.result(
        "transfer", gain, figure="transfer", synthetic=data.synthetic,
        verdict=AT_CHANCE if hasty else None,
        how="gain in balanced accuracy of a start from ImageNet over a random one, in percentage "
        f"points, {patches:,} patches, {data.name}",
        conditions=Conditions(
            int(row["trainings"]), {"patches": patches}, Control(not untaught, text)
        ),
    )  # fmt: skip


def report_scheme_a(
    run: Run, area: OverTrainings, curve: pd.DataFrame, best: PatchModel, data: Dataset
) -> None:
    """Record the AUC of "any window" by image; nothing if it is undefined.

    Positive control: the patch model itself must be above chance on the same patients.

    Args:
        run: Of the notebook.
        area: AUC of the rule on test images, over the trainings of the patch model.
        curve: Of patch_transfer.learning_curve.
        best: The patch model.
        data: The data set.
    """
    if not np.isfinite(area.estimate.value):
        return
    rows = curve[(curve["start"] == best.start) & (curve["patches"] == best.patches)]
    patch = estimate_of(rows[rows["measure"] == "macro_auc"].iloc[0])
    control = Control(bool(patch.low > 0.5), f"macro AUC of the patch model {patch}")
    run.result(
        "scheme-a", area.estimate, figure="whole_image_auc", synthetic=data.synthetic,
        how=f"AUC, malignant or not, scheme A, any window, {data.name}, test patients",
        conditions=Conditions(area.trainings, {"patches": best.patches}, control),
    )  # fmt: skip


def report_scheme_b(
    run: Run, aucs: pd.DataFrame, model: str, best: PatchModel, data: Dataset
) -> None:
    """Record the AUC by image of a model of whole images; nothing if it is undefined.

    Positive control: it must be above chance, or the code may as well have learned nothing.

    Args:
        run: Of the notebook.
        aucs: Of whole_image.auc_table.
        model: Its name there.
        best: The patch model whose weights it starts from.
        data: The data set.
    """
    row = aucs[(aucs["model"] == model) & (aucs["unit"] == "image")].iloc[0]
    area = estimate_of(row)
    if not np.isfinite(area.value):
        return
    control = Control(bool(area.low > 0.5), f"AUC by image {area}, chance 0.5")
    run.result(
        "scheme-b", area, figure="whole_image_auc", synthetic=data.synthetic,
        how=f"AUC, malignant or not, {model}, {data.name}, test patients",
        conditions=Conditions(int(row["trainings"]), {"patches": best.patches}, control),
    )  # fmt: skip


def report_resizing(run: Run, gains: pd.DataFrame, data: Dataset) -> None:
    """Record what larger whole images gain over the smallest; nothing with one size.

    Args:
        run: Of the notebook.
        gains: Of whole_image.size_gains.
        data: The data set.
    """
    defined = gains.dropna(subset=["value"])
    if defined.empty:
        return
    row = defined.iloc[0]
    run.result(
        "resizing", estimate_of(row), figure="whole_image_sizes", synthetic=data.synthetic,
        how=f"AUC by image, {row['model']} less {row['reference']}, {data.name}, paired over "
        "patients",
        conditions=Conditions(int(row["trainings"])),
    )  # fmt: skip


def _about(numbers: pd.Series, patches: float) -> pd.Series:
    low, high = ABOUT
    return numbers.between(low * patches, high * patches)


def _percent(share: float) -> float:
    return 100 * share

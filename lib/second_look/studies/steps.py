"""Worked examples: what becomes of a batch on its way, step by step, with shapes and values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from torch import Tensor

from second_look.catalogue import LABELS
from second_look.headings import heading
from second_look.models.classifier import Classifier

# A batch that can be looked at.
BATCH = 4


def steps(parts: Mapping[str, npt.ArrayLike | Tensor]) -> pd.DataFrame:
    """A row a step.

    Args:
        parts: What it is -> its values, on the CPU.

    Returns:
        step, shape, lowest, mean, highest.
    """
    rows = []
    for name, part in parts.items():
        values = np.asarray(part, dtype=np.float64)
        shape = " × ".join(map(str, values.shape)) or "one number"
        ends = (values.min(), values.mean(), values.max()) if values.size else (np.nan,) * 3
        rows.append((name, shape, *ends))
    return pd.DataFrame(rows, columns=["step", "shape", "lowest", "mean", "highest"])


def upright(table: pd.DataFrame, index: int = 0) -> pd.DataFrame:
    """One row of a table as column, value: it can be read without scrolling."""
    row = table.iloc[index]
    names = [heading(name) for name in row.index]
    return pd.DataFrame({"column": names, "value": row.to_numpy(dtype=object)})


def through_classifier(
    network: Classifier, pixels: Tensor, labels: Sequence[str], names: Sequence[str] = LABELS
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """A batch of patches on its way through a classifier to its loss.

    Args:
        network: In evaluation mode afterwards.
        pixels: Grey levels 0 to 1, float32 (n, 1, rows, cols).
        labels: The true one of each, among `names`.
        names: Of the classes, in the order of the logits.

    Returns:
        The steps, and a row a patch: label, probability of each class, answer, loss.
    """
    truth = torch.tensor([list(names).index(label) for label in labels])
    network.eval()
    with torch.inference_mode():
        maps = network.maps(pixels)
        pooled = network.pooled(maps)
        logits = network.head(pooled)
        probabilities = logits.softmax(1)
        losses = torch.nn.functional.cross_entropy(logits, truth, reduction="none")
    answers = [names[code] for code in probabilities.argmax(1).tolist()]
    batch = pd.DataFrame({"patch": range(len(labels)), "label": list(labels)})
    for name, column in zip(names, probabilities.T.numpy(), strict=True):
        batch[f"p({name.replace('_', ' ')})"] = column
    way = {
        "batch: patches, one channel, rows, cols": pixels,
        "feature maps": maps,
        "their means: one number a feature": pooled,
        "logits: one number a class": logits,
        "probabilities: softmax, sum 1": probabilities,
        "loss: −ln of the true class's probability": losses,
    }
    return steps(way), batch.assign(answer=answers, loss=losses.numpy())

"""What detectors found, in pictures and sentences: the last pages of notebook 05."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from second_look.evaluation.detection_tables import boxes
from second_look.evaluation.froc import pairs
from second_look.inference.blobs import NAME as BLOBS
from second_look.paper import cited
from second_look.preparing.dataset import Dataset
from second_look.preparing.views import Example, original_view
from second_look.studies.detection.results import Found, auc_in_words, row
from second_look.studies.detection.training import Model

# Dice of Dhungel et al. 2014, ref. 11 of the paper.
DHUNGEL_DICE = cited(11)


def examples(
    dataset: Dataset, found: Found, model: str, *, each: int, height: int, most: int = 3
) -> list[Example]:
    """Hits, misses and false alarms of a model, on the films as they were scanned.

    Hits and false alarms are those with the highest scores, misses lesions whose image has none.
    On an image with a lesion of unknown place nothing can be called a false alarm: it is not shown.

    Args:
        dataset: Prepared mammograms.
        found: Of one split.
        model: Whose detections.
        each: Pictures a kind.
        height: Rows of a picture.
        most: Detections drawn on a picture, best first.
    """
    used = set(found.images.loc[found.images["unlocated"] == 0, "image_id"])
    every = found.detections[model]
    own = every[every["image_id"].isin(used)].reset_index(drop=True)
    truths = found.truths[found.truths["image_id"].isin(used)].reset_index(drop=True)
    ids, scores = own["image_id"].to_numpy(), (1 - own["score_normal"]).to_numpy()
    hit = np.isin(np.arange(len(own)), pairs(own, truths, "centre")["detection"])
    order = np.argsort(-scores, kind="stable")
    # Image -> its best detection of a kind, best image first.
    shown: dict[str, dict[str, int]] = {"hit": {}, "false alarm": {}}
    for place in order:
        shown["hit" if hit[place] else "false alarm"].setdefault(ids[place], int(place))
    missed = sorted(set(truths["image_id"]) - set(ids[hit]))
    top = pd.Series(scores).groupby(ids).max()
    chosen = {
        "hit": list(shown["hit"])[:each],
        "miss": sorted(missed, key=lambda name: -float(top.get(name, 0)))[:each],
        "false alarm": list(shown["false alarm"])[:each],
    }
    return [
        _example(dataset, found, own, kind, name, shown.get(kind, {}).get(name), height, most)
        for kind, names in chosen.items()
        for name in names
    ]


def _example(
    dataset: Dataset,
    found: Found,
    own: pd.DataFrame,
    kind: str,
    image_id: str,
    shown: int | None,
    height: int,
    most: int,
) -> Example:
    view = original_view(dataset, image_id, height)
    rows = dataset.catalogue.images.set_index("image_id").at[image_id, "rows"]
    factor = height / int(rows)
    here = own[own["image_id"] == image_id].sort_values("score_normal")
    if shown is not None:  # the detection that the picture is about is among those drawn
        here = pd.concat([own.loc[[shown]], here.drop(index=shown)])
    here = here.head(most)
    there = found.truths[found.truths["image_id"] == image_id]
    return Example(
        f"{kind}: {image_id}",
        view,
        boxes(there) * factor,
        boxes(here) * factor,
        (1 - here["score_normal"]).to_numpy(),
    )


def findings(
    tables: Mapping[str, pd.DataFrame], model: str, *, paper: Mapping[str, float], synthetic: bool
) -> str:
    """What notebook 05 found, as Markdown sentences made from its own numbers.

    Args:
        tables: "image", "patch" (auc_table), "froc", "precision", "dice".
        model: Whose numbers.
        paper: Claim -> the paper's AUC, of fig-3a and fig-3b.
        synthetic: Whether the images are phantoms.
    """
    lines = [
        _auc_line(tables["image"], model, "malignant", "image", paper["fig-3a"]),
        _auc_line(tables["patch"], model, "a given type", "patch", paper["fig-3b"]),
    ]
    for name in (model, BLOBS):
        one = row(tables["froc"], model=name, target="lesion", rule="centre", by="lesion",
                  false_positives="1")  # fmt: skip
        lines.append(
            f"- {name}: **{one['sensitivity']:.0%}** [{one['low']:.0%}, {one['high']:.0%}] of "
            f"{one['n']} lesions at one false positive an image ({one['description']})."
        )
    for name in (model, BLOBS):
        one = row(tables["precision"], model=name, of="any lesion")
        lines.append(f"- {name}: mAP50 {one['mAP50']:.3f}, mAP50–95 {one['mAP50-95']:.3f}.")
    dice = row(tables["dice"], model=model, measure="dice")
    if np.isfinite(dice["value"]):
        lines.append(
            f"- Masks of {dice['n']} hit lesions: Dice {dice['value']:.2f} [{dice['low']:.2f}, "
            f"{dice['high']:.2f}]; Dhungel et al. {DHUNGEL_DICE:.2f}."
        )
    else:
        lines.append(f"- No Dice of masks: {dice['reason']}.")
    if synthetic:
        lines.append("- **These images are phantoms:** the numbers check the code, not the paper.")
    return "\n".join(lines)


def _auc_line(table: pd.DataFrame, model: str, target: str, unit: str, paper: float) -> str:
    ours, blob = row(table, model=model, target=target), row(table, model=BLOBS, target=target)
    if not np.isfinite(ours["auc"]):
        return f"- AUC per {unit} ({target}): none, because there is {ours['reason']}."
    asked = f"{ours['n']:,} {unit}s" if target != "a given type" else f"{ours['n']:,} questions"
    return (
        f"- AUC per {unit} ({target}): **{auc_in_words(ours, 3)}**, {asked}, {ours['patients']} "
        f"patients; baseline {auc_in_words(blob, 3)}; paper {paper:g}; chance 0.5."
    )


def normals_sentence(
    found: Found, froc: pd.DataFrame, per_image: pd.DataFrame, models: Sequence[Model]
) -> str:
    """What normal images among the lessons did, or why that was not asked; Markdown."""
    if len(models) < 2:
        return "- Effect of normal images: not measured in this run (`compare_normals`)."
    normal = set(found.images.loc[found.images["label"] == "normal", "image_id"])
    parts = []
    for model in models:
        own = found.detections[model.name]
        here = own[own["image_id"].isin(normal)]
        top = (1 - here["score_normal"]).groupby(here["image_id"]).max()
        auc = row(per_image, model=model.name, target="lesion")
        one = row(froc, model=model.name, target="lesion", rule="centre", by="lesion",
                  false_positives="1")  # fmt: skip
        parts.append(
            f"{model.name}: median highest score of {len(normal)} normal images "
            f"{top.reindex(sorted(normal)).fillna(0).median():.2f}, AUC (any lesion, per image) "
            f"{auc_in_words(auc, 2)}, sensitivity at one false positive an image "
            f"{one['sensitivity']:.0%}"
        )
    return f"- Effect of normal images among the lessons. {'; '.join(parts)}."

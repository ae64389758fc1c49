"""Examples and findings of the detectors, as pictures and sentences for notebook 05."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from second_look.evaluation.detection_tables import boxes
from second_look.evaluation.froc import pairs
from second_look.evaluation.intervals import in_words
from second_look.evaluation.lesion_types import BLIND, GIVEN, POOLED
from second_look.inference.blobs import NAME as BLOBS
from second_look.paper import cited
from second_look.preparing.dataset import Dataset
from second_look.preparing.views import Example, original_view
from second_look.studies.detection.results import DetectionResults, auc_in_words, row
from second_look.studies.detection.training import Model

PLURALS = {"image": "images", "patch": "patches"}
# Dice of Dhungel et al. 2014, ref. 11 of the paper.
DHUNGEL_DICE = cited(11)


def examples(
    dataset: Dataset,
    results: DetectionResults,
    model: str,
    *,
    per_kind: int,
    height: int,
    max_boxes: int = 3,
) -> list[Example]:
    """Hits, misses and false alarms of a model, on the original images.

    Hits and false alarms are those with the highest scores; misses are lesions of images without
    any hit. Images that have a lesion of unknown location are not shown, since no detection in them
    can be called a false alarm.

    Args:
        dataset: Prepared mammograms.
        results: Of one split.
        model: Its name.
        per_kind: Pictures per kind.
        height: Rows of a picture.
        max_boxes: Most detections drawn on a picture, best first.
    """
    used = set(results.images.loc[results.images["unlocated"] == 0, "image_id"])
    detections = results.detections[model]
    detections_used = detections[detections["image_id"].isin(used)].reset_index(drop=True)
    truths = results.truths[results.truths["image_id"].isin(used)].reset_index(drop=True)
    ids, scores = (
        detections_used["image_id"].to_numpy(),
        (1 - detections_used["score_normal"]).to_numpy(),
    )
    hit = np.isin(
        np.arange(len(detections_used)), pairs(detections_used, truths, "centre")["detection"]
    )
    order = np.argsort(-scores, kind="stable")
    # Image -> its best detection of a kind, best image first.
    best: dict[str, dict[str, int]] = {"hit": {}, "false alarm": {}}
    for index in order:
        best["hit" if hit[index] else "false alarm"].setdefault(ids[index], int(index))
    missed = sorted(set(truths["image_id"]) - set(ids[hit]))
    top = pd.Series(scores).groupby(ids).max()
    chosen = {
        "hit": list(best["hit"])[:per_kind],
        "miss": sorted(missed, key=lambda name: -float(top.get(name, 0)))[:per_kind],
        "false alarm": list(best["false alarm"])[:per_kind],
    }
    return [
        _example(
            dataset,
            results,
            detections_used,
            kind,
            name,
            best.get(kind, {}).get(name),
            height,
            max_boxes,
        )
        for kind, names in chosen.items()
        for name in names
    ]


def _example(
    dataset: Dataset,
    results: DetectionResults,
    detections: pd.DataFrame,
    kind: str,
    image_id: str,
    best: int | None,
    height: int,
    max_boxes: int,
) -> Example:
    view = original_view(dataset, image_id, height)
    rows = dataset.catalogue.images.set_index("image_id").at[image_id, "rows"]
    factor = height / int(rows)
    image_detections = detections[detections["image_id"] == image_id].sort_values("score_normal")
    if best is not None:  # always draw the detection that the picture is shown for
        image_detections = pd.concat([detections.loc[[best]], image_detections.drop(index=best)])
    image_detections = image_detections.head(max_boxes)
    image_truths = results.truths[results.truths["image_id"] == image_id]
    return Example(
        f"{kind}: {image_id}",
        view,
        boxes(image_truths) * factor,
        boxes(image_detections) * factor,
        (1 - image_detections["score_normal"]).to_numpy(),
    )


def findings(
    tables: Mapping[str, pd.DataFrame], model: str, *, paper: Mapping[str, float], synthetic: bool
) -> str:
    """The findings of notebook 05 as Markdown, with the numbers of this run.

    Args:
        tables: "image", "patch" (auc_table), "froc", "precision", "dice".
        model: Name of the model.
        paper: Claim -> the paper's AUC, of fig-3a and fig-3b.
        synthetic: Whether the images are phantoms.
    """
    lines = [
        _auc_line(tables["image"], model, "malignant", "image", paper["fig-3a"]),
        _auc_line(tables["image"], model, GIVEN, "image", paper["fig-3a"]),
        _auc_line(tables["patch"], model, GIVEN, "patch", paper["fig-3b"]),
        _pooled_line(tables["patch"], model, "patch", paper["fig-3b"], synthetic=synthetic),
    ]
    for name in (model, BLOBS):
        numbers = row(tables["froc"], model=name, target="lesion", rule="centre", by="lesion",
                  false_positives="1")  # fmt: skip
        lines.append(
            f"- {name}: {_interval(numbers, 'sensitivity', '.0%')} of {numbers['n']} lesions at "
            f"one false positive per image ({numbers['description']})."
        )
    for name in (model, BLOBS):
        numbers = row(tables["precision"], model=name, of="any lesion")
        lines.append(
            f"- {name}: mAP50 {_interval(numbers, 'mAP50', '.3f')}, mAP50–95 "
            f"{numbers['mAP50-95']:.3f}."
        )
    dice = row(tables["dice"], model=model, measure="dice")
    if np.isfinite(dice["value"]):
        lines.append(
            f"- Masks of {dice['n']} hit lesions: Dice {_interval(dice, 'value', '.2f')}; "
            f"Dhungel et al. {DHUNGEL_DICE:.2f}."
        )
    else:
        lines.append(f"- No Dice of masks: {dice['reason']}.")
    if synthetic:
        lines.append("- **These images are phantoms:** the numbers check the code, not the paper.")
    return "\n".join(lines)


def _interval(numbers: pd.Series, value: str, form: str) -> str:
    return in_words(numbers[value], numbers["low"], numbers["high"], form)


def _auc_line(table: pd.DataFrame, model: str, target: str, unit: str, paper: float) -> str:
    auc, blob = row(table, model=model, target=target), row(table, model=BLOBS, target=target)
    if not np.isfinite(auc["auc"]):
        return f"- AUC per {unit} ({target}): none, because there is {auc['reason']}."
    return (
        f"- AUC per {unit} ({target}): **{auc_in_words(auc, 3)}**, {auc['n']:,} {PLURALS[unit]}, "
        f"{auc['patients']} patients; baseline {auc_in_words(blob, 3)}; paper {paper:g}; "
        "chance 0.5."
    )


def _pooled_line(
    table: pd.DataFrame, model: str, unit: str, paper: float, *, synthetic: bool
) -> str:
    """What pooling the questions of all types makes of the AUC, and of chance."""
    auc, blind = row(table, model=model, target=POOLED), row(table, model=BLIND, target=POOLED)
    if not np.isfinite(auc["auc"]):
        return f"- Pooled over types, per {unit}: none, because there is {auc['reason']}."
    gain = in_words(auc["gain"], auc["gain_low"], auc["gain_high"], "+.3f")
    text = (
        f"- Pooled over types, per {unit}: {auc_in_words(auc, 3)}, but a rule that sees no picture "
        f"and answers with the frequency of each type in training reaches "
        f"{auc_in_words(blind, 3)}; above it: {gain}"
    )
    if np.isnan(blind["low"]):
        return f"{text}."
    if synthetic:
        return f"{text}. On real images such a rule reaches another AUC, to hold {paper:g} against."
    if paper <= blind["high"]:
        return f"{text}. The paper's {paper:g} is no evidence of sight if it was pooled like this."
    return f"{text}. The paper's {paper:g} exceeds that, even if it was pooled like this."


def normals_sentence(
    results: DetectionResults, froc: pd.DataFrame, per_image: pd.DataFrame, models: Sequence[Model]
) -> str:
    """The effect of training on normal images, or that it was not measured, as Markdown."""
    if len(models) < 2:
        return (
            "- Effect of training on normal images: not measured in this run (`compare_normals`)."
        )
    normal = set(results.images.loc[results.images["label"] == "normal", "image_id"])
    parts = []
    for model in models:
        detections = results.detections[model.name]
        normal_detections = detections[detections["image_id"].isin(normal)]
        top = (1 - normal_detections["score_normal"]).groupby(normal_detections["image_id"]).max()
        auc = row(per_image, model=model.name, target="lesion")
        sensitivity = row(froc, model=model.name, target="lesion", rule="centre", by="lesion",
                  false_positives="1")  # fmt: skip
        parts.append(
            f"{model.name}: median highest score of {len(normal)} normal images "
            f"{top.reindex(sorted(normal)).fillna(0).median():.2f}, AUC (any lesion, per image) "
            f"{auc_in_words(auc, 2)}, sensitivity at one false positive per image "
            f"{sensitivity['sensitivity']:.0%}"
        )
    return f"- Effect of training on normal images. {'; '.join(parts)}."

"""An answer on disk: JSON, two tables, and a picture of each mammogram with overlays."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from second_look.evaluation.detection_tables import BOX
from second_look.figures.one_mammogram import overlay
from second_look.files import write_bytes, write_csv, write_json
from second_look.preparing.store import path_of
from second_look.published.answers import Answer, Chance, ImageAnswer, mask_in_file
from second_look.published.card import DISCLAIMER
from second_look.published.weights import Published

JSON, IMAGES, LESIONS = "answer.json", "images.csv", "lesions.csv"
_DPI = 150


def write_answer(folder: Path, answer: Answer, models: Mapping[str, Published]) -> list[Path]:
    """Write answer.json, images.csv, lesions.csv and <image>.png for each image.

    Args:
        folder: Where to.
        answer: Of `answers.answer`.
        models: That were asked.

    Returns:
        The files.
    """
    import matplotlib.pyplot as plt

    write_json(folder / JSON, as_json(answer, models))
    write_csv(folder / IMAGES, image_table(answer))
    write_csv(folder / LESIONS, lesion_table(answer))
    pictures = []
    for image in answer.images:
        with plt.rc_context({"text.parse_math": False}):  # ids may hold dollars
            figure = figure_of(image, answer)
        path = path_of(folder, image.image_id, "png")
        write_bytes(path, _png(figure))
        plt.close(figure)
        pictures.append(path)
    return [folder / JSON, folder / IMAGES, folder / LESIONS, *pictures]


def as_json(answer: Answer, models: Mapping[str, Published]) -> dict[str, Any]:
    """The answer as plain values; boxes are in px of the file."""
    lesions = lesion_table(answer)
    return {
        "disclaimer": DISCLAIMER,
        "models": {
            kind: {"model": model.card.model, "data": model.card.data.name,
                   "commit": model.card.commit, "sha256": model.card.sha256}
            for kind, model in models.items()
        },
        "breasts": {side: _chance(chance) for side, chance in answer.breasts.items()},
        "images": [
            {
                "image": image.image_id,
                "file": str(image.file),
                "side": image.laterality,
                "view": image.view,
                **_chance(image.chance),
                "lesions": lesions[lesions["image"] == image.image_id]
                .drop(columns=["image", "note"])
                .to_dict("records"),
                "warnings": list(image.warnings),
            }
            for image in answer.images
        ],
        "refused": [
            {"file": str(part.file), "reason": part.reason} for part in answer.mammograms.refused
        ],
    }  # fmt: skip


def _chance(chance: Chance | None) -> dict[str, Any]:
    if chance is None:
        return {"score": None, "probability": None, "prevalence": None, "reached": {}}
    return {
        "score": chance.score,
        "probability": chance.probability,
        "prevalence": chance.prevalence,
        "reached": dict(chance.reached),
    }


def image_table(answer: Answer) -> pd.DataFrame:
    """One row an image: score, probability and what it holds for, thresholds, warnings."""
    rows = []
    for image in answer.images:
        chance = _chance(image.chance)
        reached = {f"reaches {name}": value for name, value in chance.pop("reached").items()}
        marked = int(image.lesions["shown"].sum()) if len(image.lesions) else 0
        rows.append(
            {"image": image.image_id, "file": str(image.file), "side": image.laterality,
             "view": image.view, **chance, **reached, "lesions": marked,
             "warnings": "; ".join(image.warnings), "note": DISCLAIMER}
        )  # fmt: skip
    for part in answer.mammograms.refused:
        rows.append({"image": part.file.stem, "file": str(part.file),
                     "warnings": f"refused: {part.reason}", "note": DISCLAIMER})  # fmt: skip
    return pd.DataFrame(rows)


def lesion_table(answer: Answer) -> pd.DataFrame:
    """One row a detection, boxes in px of the file."""
    columns = ["image", "label", "score", "malignant", "shown", *BOX, "note"]
    parts = [
        image.lesions.drop(columns="mask").assign(image=image.image_id, note=DISCLAIMER)[columns]
        for image in answer.images
        if len(image.lesions)
    ]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns)


def in_words(answer: Answer) -> list[str]:
    """The answer for a terminal, a line each."""
    lines = [DISCLAIMER]
    for image in answer.images:
        chance = _chance_in_words(image.chance)
        lines.append(f"{image.image_id}: {chance}{_lesions_in_words(image)}")
        lines += [f"    {text}" for text in image.warnings]
    lines += [
        f"breast {side}: {_chance_in_words(chance)}" for side, chance in answer.breasts.items()
    ]
    lines += [f"{part.file}: refused: {part.reason}" for part in answer.mammograms.refused]
    return lines


def _chance_in_words(chance: Chance | None) -> str:
    if chance is None:
        return "no chance stated"
    return (
        f"chance of malignancy {chance.probability:.1%} where {chance.prevalence:.1%} are malignant"
        f" (score {chance.score:.3f})"
    )


def _lesions_in_words(image: ImageAnswer) -> str:
    if not len(image.lesions):
        return ""
    count = int(image.lesions["shown"].sum())
    return f"; {count} lesion{'s' * (count != 1)} marked"


def figure_of(image: ImageAnswer, answer: Answer) -> Figure:
    """The mammogram with its overlays."""
    header = answer.mammograms.headers[image.image_id]
    shape = image.picture.picture.shape
    factors = (shape[0] / header.rows, shape[1] / header.cols)
    marked = image.lesions[image.lesions["shown"].astype(bool)] if len(image.lesions) else (
        image.lesions
    )  # fmt: skip
    boxes = marked[list(BOX)].to_numpy(dtype=np.float64) * np.array([*factors, *factors])
    drawn = marked.assign(**{name: boxes[:, index] for index, name in enumerate(BOX)})
    return overlay(
        image.picture,
        title=f"{image.image_id}: {_chance_in_words(image.chance)}",
        remark=DISCLAIMER,
        heat=None if image.heat is None else image.heat.scores,
        boxes=boxes,
        masks=[mask_in_file(row, shape) for row in drawn.to_dict("records")],
        labels=list(marked["label"]),
        scores=[float(score) for score in marked["score"]],
    )


def _png(figure: Figure) -> bytes:
    stream = io.BytesIO()
    # No date in it: the same answer gives the same file.
    figure.savefig(stream, format="png", dpi=_DPI, metadata={"Software": None})
    return stream.getvalue()

"""Notebook 09: one patient's mammograms through the models, with every value on the way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from second_look.errors import NotApplicableError, OutputError
from second_look.evaluation.recalibration import PriorShift
from second_look.outputs import Run
from second_look.preparing.dataset import Dataset, check_can_predict
from second_look.published.answers import Answer, ImageAnswer
from second_look.published.card import IMAGE
from second_look.published.mammograms import Acquisition, Mammograms
from second_look.published.of_run import (
    DETECTION_TABLE,
    IMAGE_TABLE,
    PATCH_TABLE,
    TRUTH_TABLE,
    models_of_run,
)
from second_look.published.scores import picture_of
from second_look.published.weights import Published, load_models
from second_look.studies.steps import steps as table_of

# Folder of the prepared images in a run's outputs.
PREPARED = "one_mammogram"


@dataclass(frozen=True)
class Example:
    """The files that the notebook looks at.

    Attributes:
        files: Of one patient.
        acquisition: What the files do not say.
        origin: Where they come from, in words.
    """

    files: list[Path]
    acquisition: Acquisition
    origin: str


def open_models(
    run: Run, data: Dataset, model: str, *, seed: int, draws: int
) -> dict[str, Published]:
    """The models of a published set, or those of this run.

    Args:
        run: Of the notebook.
        data: Of the run.
        model: Folder of a published set; "" for the models of this run.
        seed: Of the intervals on the cards.
        draws: Bootstrap samples.

    Raises:
        NotApplicableError: No model can be trained on the data set.
        OutputError: No notebook of this run has trained one.
    """
    if model:
        folder = Path(model).expanduser()
        run.uses(folder)
        return load_models(folder)
    tables = [
        run.folder / name
        for name in (IMAGE_TABLE, PATCH_TABLE, DETECTION_TABLE, TRUTH_TABLE)
        if (run.folder / name).is_file()
    ]
    if run.folder / IMAGE_TABLE not in tables:
        check_can_predict(run.folder)
        raise OutputError(
            f"{run.folder} holds no predictions of whole images: run notebook "
            "06_patch_transfer_learning first, or name the folder of a published set (model)."
        )
    run.uses(*tables)
    return models_of_run(run.folder, data, seed=seed, draws=draws)


def example_of(data: Dataset, images: Sequence[str], acquisition: Acquisition) -> Example:
    """The files that are asked about: the user's, or those of a test patient of the data set.

    The patient is the first one with a malignant image in the order of the catalogue.

    Raises:
        NotApplicableError: There are no files, and the data set has no test image.
    """
    if images:
        return Example(
            [Path(name).expanduser() for name in images], acquisition, "files of the user"
        )
    test = data.catalogue.images[data.catalogue.images["split"] == "test"]
    if test.empty:
        raise NotApplicableError("there is no test image to look at.", data.name)
    malignant = test[test["label"] == "malignant"]
    patient = (malignant if len(malignant) else test)["patient_id"].iloc[0]
    rows = test[test["patient_id"] == patient]
    spacing = float(rows["pixel_spacing_mm"].iloc[0])
    recorded = Acquisition(
        sides=tuple(rows["laterality"]),
        views=tuple(name if name in ("CC", "MLO", "ML", "LM") else "" for name in rows["view"]),
        pixel_size_mm=spacing if np.isfinite(spacing) else 0.0,
        bits=int(data.prepared.images.set_index("image_id").loc[rows["image_id"].iloc[0], "bits"]),
    )
    origin = f"patient {patient} of {data.name}, a test patient: {', '.join(rows['label'])}"
    return Example([Path(path) for path in rows["path"]], recorded, origin)


def file_table(mammograms: Mammograms) -> pd.DataFrame:
    """What the files say: one row an image."""
    rows = []
    for name in mammograms.image_ids:
        header, device = mammograms.headers[name], mammograms.devices[name]
        row = mammograms.row(name)
        rows.append(
            {
                "image": name,
                "rows × cols, px": f"{header.rows} × {header.cols}",
                "bits": int(
                    mammograms.data.prepared.images.set_index("image_id").loc[name, "bits"]
                ),
                "pixel, mm": float(row["pixel_spacing_mm"]),
                "side": row["laterality"],
                "view": row["view"],
                "acquired": device.kind or "not said",
                "by": device.manufacturer,
                "warnings": "; ".join(mammograms.warnings.get(name, ())),
            }
        )
    return pd.DataFrame(rows)


def crop_table(mammograms: Mammograms) -> pd.DataFrame:
    """Where the breast was found, and how the way back to the file begins: one row an image."""
    images = mammograms.data.prepared.images
    size = images["original_rows"] * images["original_cols"]
    corner = [
        f"{row}, {col}" for row, col in zip(images["row_offset"], images["col_offset"], strict=True)
    ]
    crop = [
        f"{rows} × {cols}"
        for rows, cols in zip(images["crop_rows"], images["crop_cols"], strict=True)
    ]
    return pd.DataFrame(
        {
            "image": images["image_id"],
            "first row, col of the crop": corner,
            "crop, px": crop,
            "mirrored": images["flipped"].astype(bool),
            "breast, share of the image": images["breast_px"] / size,
        }
    )


def steps(model: Published, mammograms: Mammograms, image_id: str) -> pd.DataFrame:
    """What becomes of an image on its way through the whole-image model.

    Returns:
        step, shape, lowest, mean, highest: one row a step.
    """
    prepared = mammograms.data.prepared
    network = model.classifier
    pixels = np.asarray(prepared.pixels(image_id))
    with torch.inference_mode():
        picture = picture_of(model, prepared, image_id).levels([0])
        maps = network.maps(picture)
        features = network.pooled(maps)
        logits = network.head(features)
    parts = {
        "prepared image, grey levels": pixels,
        "picture for the network, 0 to 1": picture,
        "feature maps": maps,
        f"features: means{' and maxima' * network.maxima} over the maps": features,
        f"logits of {', '.join(model.card.classes)}": logits,
        "probabilities": logits.softmax(1),
    }
    return table_of(parts)


def calibration_steps(
    answer: Answer, models: Mapping[str, Published], prevalences: Sequence[float]
) -> pd.DataFrame:
    """Score → probability in validation → probability at other prevalences: one row an image."""
    fitted = models[IMAGE].card.calibrations.get("image")
    rows = []
    for image in answer.images:
        if image.chance is None or fitted is None:
            continue
        in_validation = float(fitted.probability([image.chance.score])[0])
        row = {"image": image.image_id, "score": image.chance.score,
               f"at {fitted.prevalence:.1%}, as in validation": in_validation}  # fmt: skip
        for share in prevalences:
            shifted = PriorShift.of_positive(fitted.prevalence, share)
            row[f"at {share:.1%}"] = float(
                shifted.apply(np.array([[1 - in_validation, in_validation]]))[0, 1]
            )
        rows.append(row)
    return pd.DataFrame(rows)


def most_suspicious(answer: Answer) -> ImageAnswer:
    """The image with the highest score; the first one where there are no scores."""
    return max(answer.images, key=lambda image: image.chance.score if image.chance else 0.0)


def card_table(models: Mapping[str, Published]) -> pd.DataFrame:
    """How good the models are on test patients: the results of their cards."""
    return pd.DataFrame(
        [
            {"model": model.card.name, "measure": result.measure, "by": result.unit,
             "value, 95 % interval": result.text, "n": result.n, "patients": result.patients}
            for model in models.values()
            for result in model.card.results
        ]
    )  # fmt: skip


def findings(answer: Answer, models: Mapping[str, Published]) -> str:
    """What came out, and what it does not mean, as Markdown."""
    lines = []
    for image in answer.images:
        if image.chance is not None:
            lines.append(
                f"{image.image_id}: a chance of malignancy of {image.chance.probability:.0%} in a "
                f"population where {image.chance.prevalence:.1%} are malignant; "
                f"{int(image.lesions['shown'].sum()) if len(image.lesions) else 0} lesions marked."
            )
        lines += [f"{image.image_id}: {text}." for text in image.warnings]
    lines += [f"{part.file.name} was refused: {part.reason}" for part in answer.mammograms.refused]
    limits = {limit for model in models.values() for limit in model.card.limits}
    return "\n".join(f"- {line}" for line in [*dict.fromkeys(lines), *sorted(limits)])

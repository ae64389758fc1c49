"""What a detector finds in mammograms, as a table in original coordinates."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import torch
from torch import nn
from tqdm.auto import tqdm

from second_look.batches.frames import Frames, detection_rows
from second_look.evaluation.detection_tables import BOX, DETECTIONS, checked
from second_look.geometry import Box
from second_look.preparing.dataset import Dataset
from second_look.preparing.patches import labelled
from second_look.training.detect import detected
from second_look.training.loop import TrainingError


def detect(
    network: nn.Module,
    frames: Frames,
    image_ids: Sequence[str],
    *,
    model: str,
    seed: int,
    device: str = "auto",
    batch_size: int = 4,
) -> pd.DataFrame:
    """Detections in images, with no threshold on their scores.

    Args:
        network: Of models.mask_rcnn.build_detector, trained.
        frames: The images in the frame that it was trained in.
        image_ids: Which images.
        model: Name for the table.
        seed: Of the network's training.
        device: "auto" takes a GPU where there is one.
        batch_size: Images at once.

    Returns:
        A table of detection_tables.DETECTIONS.

    Raises:
        TrainingError: The device's memory is full.
    """
    name = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
    torch_device = torch.device(name)
    parts = []
    batches = detected(
        network.to(torch_device), frames, image_ids, torch_device, batch_size=batch_size
    )
    try:
        for framed, detections in tqdm(batches, total=len(image_ids), desc=f"detecting ({model})"):
            parts.append(detection_rows(framed, detections))
    except torch.OutOfMemoryError as error:
        raise TrainingError(
            f"{model}: the device's memory is full ({str(error).splitlines()[0]}). "
            f"Use a batch smaller than {batch_size}, or a smaller frame."
        ) from error
    return with_owners(pd.concat(parts, ignore_index=True), frames.dataset, model, seed)


def with_owners(detections: pd.DataFrame, dataset: Dataset, model: str, seed: int) -> pd.DataFrame:
    """Rows of detections with their patients, splits and model, as a checked table."""
    owners = dataset.catalogue.images[["dataset", "image_id", "patient_id", "split"]]
    table = owners.merge(detections, on="image_id").assign(model=model, seed=seed)
    table = table[(table["row_max"] > table["row_min"]) & (table["col_max"] > table["col_min"])]
    return checked(table[list(DETECTIONS.columns)].reset_index(drop=True), DETECTIONS, "detections")


def windows_in_original(windows: pd.DataFrame, dataset: Dataset) -> pd.DataFrame:
    """Labelled windows of prepared images, with their boxes in original pixels.

    Args:
        windows: Of patches.window_table.
        dataset: That they were cut from.

    Returns:
        dataset, image_id, patient_id, split, label, row_min to col_max; windows without a label
        are gone.
    """
    used = labelled(windows)
    columns = ["dataset", "image_id", "patient_id", "split", "label"]
    parts = []
    for image_id, windows_of_image in used.groupby("image_id", sort=False):
        transform = dataset.prepared.transform(str(image_id))
        boxes = [
            transform.box_to_original(Box(row, col, row + size, col + size))
            for row, col, size in windows_of_image[["row", "col", "size"]].to_numpy(dtype=float)
        ]
        ends = {name: [getattr(box, name) for box in boxes] for name in BOX}
        parts.append(windows_of_image[columns].assign(**ends))
    return pd.concat(parts, ignore_index=True)

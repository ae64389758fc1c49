"""What the notebooks of a set have to do, from their parameters: trainings, and everything else."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from second_look.files import DATA_VARIABLE
from second_look.models import dcgan, progressive
from second_look.running.cohorts import KnownImages, known_images
from second_look.running.costs import CLASSIFIER, DCGAN, DETECTOR, PROGRESSIVE, Network

Values = Mapping[str, Any]
# What a notebook takes besides training, on an idle core, s: start of its kernel, tables, figures,
# intervals; and for each image. Measured with params/smoke.yaml.
FIXED_S = {"01": 10, "02": 10, "03": 25, "04": 13, "05": 24, "06": 35, "07": 50, "08": 10,
           "09": 15}  # fmt: skip
IMAGE_S = {"01": 0.05, "02": 0.01, "03": 0.0, "04": 0.0, "05": 0.1, "06": 0.1, "07": 0.05}
# Preparing a megapixel (benchmarks/results/speed.csv), and drawing a phantom's.
PREPARE_S, DRAW_S = 0.045, 0.12
# Cutting a patch for a batch, or fitting a whole image, on a CPU.
PATCH_S, IMAGE_FEED_S = 1 / 3000, 0.01
# A kernel with the libraries, bytes.
KERNEL_BYTES = 0.7e9
_VALIDATIONS = 4  # of a patch model: PatchSettings.validations
_FEATURE_BATCH = 64
# Whole sets as they are published: images, and the largest picture cropped to the breast, px.
_PUBLISHED = {"mias": (322, 1024, 700), "cbis": (3032, 5500, 3900), "ddsm": (9600, 5500, 3900)}
_MEAN_SHARE = 0.4  # of the pixels of the largest picture that an average one has


@dataclass(frozen=True)
class Cohort:
    """The images of a set, prepared or as far as the parameters tell.

    Attributes:
        images, train, val, test: How many.
        pixels: Of all prepared images together.
        rows, cols: Of the largest one, px.
        prepared: Whether notebook 01 has prepared them.
        refusals: Notebook -> why it cannot run on them, as far as that is known.
    """

    images: int
    train: int
    val: int
    test: int
    pixels: float
    rows: int
    cols: int
    prepared: bool
    refusals: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Training:
    """Trainings of one kind in a notebook.

    Attributes:
        title: For people.
        network: What is trained.
        batch: Pictures of an update.
        updates: Of all these trainings.
        trainings: How many.
        looked_at: Pictures that pass forward only, in validation and prediction.
        feed_s: Of a picture, before it is learnt from, s of CPU.
    """

    title: str
    network: Network
    batch: int
    updates: int
    trainings: int
    looked_at: int = 0
    feed_s: float = PATCH_S


@dataclass(frozen=True)
class Work:
    """What a notebook has to do.

    Attributes:
        images: Of the data set.
        trainings: Of all kinds.
        other_s: Everything besides, s on an idle core.
        disk: Bytes that it writes.
    """

    images: int
    trainings: tuple[Training, ...] = ()
    other_s: float = 0.0
    disk: float = 0.0


def cohort_of(outputs: Path, survey: Values) -> Cohort:
    """The images of a set: those that notebook 01 prepared, else what its parameters say."""
    images_known = known_images(outputs, survey)
    if images_known is not None:
        return _counted(images_known)
    images, rows, cols = 0, 0, 0
    for source in dict.fromkeys([survey["source"], *survey.get("also", [])]):
        count, source_rows, source_cols = _expected(source, survey)
        images, rows, cols = images + count, max(rows, source_rows), max(cols, source_cols)
    test, val = round(images * survey["test_share"]), round(images * survey["val_share"])
    pixels = images * rows * cols * (_MEAN_SHARE if survey["source"] != "phantom" else 1.0)
    return Cohort(images, images - val - test, val, test, pixels, rows, cols, prepared=False)


def _counted(cohort: KnownImages) -> Cohort:
    splits = cohort.images["split"].value_counts()
    train, val, test = (int(splits.get(split, 0)) for split in ("train", "val", "test"))
    sizes = cohort.prepared
    return Cohort(
        images=int(splits.sum()),
        train=train,
        val=val,
        test=test,
        pixels=0.0 if sizes is None else float((sizes["rows"] * sizes["cols"]).sum()),
        rows=0 if sizes is None else int(sizes["rows"].max()),
        cols=0 if sizes is None else int(sizes["cols"].max()),
        prepared=sizes is not None,
        refusals=cohort.refusals(),
    )


def _expected(source: str, survey: Values) -> tuple[int, int, int]:
    """Images of a source, rows and columns of the largest."""
    if source == "phantom":
        return 4 * survey["patients"], survey["image_rows"], survey["image_cols"]
    if source in _PUBLISHED:
        return _PUBLISHED[source]
    return _of_table(survey), 0, 0


def _of_table(survey: Values) -> int:
    """Rows of the table of source folder; 0 where it cannot be counted."""
    root = Path(survey.get("data_root") or os.environ.get(DATA_VARIABLE, "") or "data")
    try:
        with (root.expanduser() / survey["table"]).open("rb") as stream:
            return max(0, sum(1 for _ in stream) - 1)
    except OSError:
        return 0


def work_of(notebook: str, values: Values, cohort: Cohort, survey: Values) -> Work:
    """What a notebook has to do; nothing but its images where it is none of this project's.

    Args:
        notebook: Its name.
        values: Its parameters.
        cohort: The images of the set.
        survey: Parameters of notebook 01.
    """
    number = notebook[:2]
    if number not in FIXED_S or not _is_known(number, values):
        return Work(cohort.images)
    untrained_s = FIXED_S[number] + IMAGE_S.get(number, 0.0) * cohort.images
    disk = 2e7
    if number == "01":
        megapixel_s = PREPARE_S + (DRAW_S if survey["source"] == "phantom" else 0.0)
        untrained_s += megapixel_s * cohort.pixels / 1e6 / max(1, min(2, survey["workers"]))
        disk += 3 * cohort.pixels  # 16-bit pixels and a region map of 8 bits
    if number == "07":
        untrained_s *= max(0.2, values["draws"] / 1000)
    trainings = _TRAININGS[number](values, cohort) if number in _TRAININGS else ()
    return Work(cohort.images, tuple(trainings), untrained_s, disk)


def _is_known(number: str, values: Values) -> bool:
    """Whether a notebook has the parameters that its amount of work follows from."""
    return _NEEDS.get(number, frozenset()) <= set(values)


def _generators(values: Values, cohort: Cohort) -> list[Training]:
    """Notebook 03: generators of each kind, class and seed, and the classifier of the features."""
    classes, patches, trainings = len(values["classes"]), values["patches"], []
    count = classes * len(values["seeds"])
    if "dcgan" in values["generators"]:
        size = values["dcgan_size"]
        settings = dcgan.DcganSettings(
            size, values["latent_size"], values["slope"], values["dropout"], "tanh"
        )
        updates = count * values["epochs"] * max(1, patches // values["batch_size"])
        network = Network(DCGAN, "", size, size, 1, settings)
        trainings.append(Training("DCGAN", network, values["batch_size"], updates, count))
    if "progressive" in values["generators"]:
        size, batch = values["progressive_size"], values["progressive_batch_size"]
        growing = progressive.ProgressiveSettings(
            size,
            values["progressive_latent_size"],
            values["progressive_max_channels"],
            values["progressive_base"],
            min(values["progressive_start_size"], size),
        )
        updates = count * values["progressive_epochs"] * max(1, patches // batch)
        network = Network(PROGRESSIVE, "", size, size, 1, growing)
        trainings.append(Training("progressive growing", network, batch, updates, count))
    if not values["feature_weights"]:
        size = values["feature_size"]
        network = Network(CLASSIFIER, values["feature_architecture"], size, size, 1)
        looked_at = 2 * values["max_measured_patches"] * classes * (1 + len(trainings))
        trainings.append(
            Training("features", network, _FEATURE_BATCH, values["feature_steps"], 1, looked_at)
        )
    return trainings


def _mixtures(values: Values, cohort: Cohort) -> list[Training]:
    """Notebook 04: a classifier for every training set and seed."""
    sets = 2 + sum(share > 0 for share in values["added_shares"])
    count = sets * len(values["seeds"])
    batch, epochs = values["batch_size"], values["epochs"]
    network = Network(CLASSIFIER, values["architecture"], values["size"], values["size"], 1)
    updates = count * epochs * max(1, values["patches"] // batch)
    looked_at = count * (epochs * values["validation_windows"] + values["test_windows"])
    return [Training("classifiers", network, batch, updates, count, looked_at)]


def _detectors(values: Values, cohort: Cohort) -> list[Training]:
    """Notebook 05: the detector, without normal images, and once for each further seed."""
    compared = values["compare_normals"] and values["normal_share"] > 0
    count = len(values["seeds"]) + bool(compared)
    steps = sum(int(stage[0]) for stage in values["stages"])
    network = Network(DETECTOR, values["model"], values["image_rows"], values["image_cols"])
    validated = values["max_validation_images"] or cohort.val
    interval = values["validate_every"]
    validations = 1 + ((steps - 1) // interval if interval else 0)
    looked_at = count * (validations * min(validated, cohort.val) + cohort.val + cohort.test)
    title, batch = f"Mask R-CNN ({values['model']})", values["batch_size"]
    return [Training(title, network, batch, count * steps, count, looked_at, IMAGE_FEED_S)]


def _patches_and_images(values: Values, cohort: Cohort) -> list[Training]:
    """Notebook 06: patch models, the control, the phantom start; models of whole images."""
    seeds, starts = len(values["seeds"]), len(values["starts"])
    counts, batch, size = values["patch_counts"], values["batch_size"], values["patch_size"]
    network = Network(CLASSIFIER, values["architecture"], size, size)
    pretraining = values["pretraining_patches"] if "phantom" in values["starts"] else 0
    patches = starts * seeds * sum(counts) + min(counts) + pretraining
    models = starts * seeds * len(counts) + 1 + bool(pretraining)
    looked_at = models * (_VALIDATIONS * values["validation_windows"] + 2 * values["test_windows"])
    trainings = [Training("patch models", network, batch, patches // batch, models, looked_at)]
    for depth in values["depths"]:
        deeper = Network(CLASSIFIER, depth, size, size)
        updates = seeds * values["depth_patches"] // batch
        predicted = looked_at * seeds // models
        trainings.append(Training(f"depth: {depth}", deeper, batch, updates, seeds, predicted))
    trainings += _whole_images(values, cohort, seeds)
    return trainings


def _whole_images(values: Values, cohort: Cohort, seeds: int) -> list[Training]:
    batch, epochs, trainings = values["image_batch_size"], values["image_epochs"], []
    count = len(values["image_starts"]) * seeds
    for rows, cols in values["image_sizes"]:
        native = not rows
        size = (cohort.rows, cohort.cols) if native else (rows, cols)
        sides = f"{size[0]}×{size[1]}"
        title = f"whole images{' as they are, up to' if native else ''} {sides}"
        network = Network(CLASSIFIER, values["architecture"], max(64, size[0]), max(64, size[1]))
        updates = count * epochs * max(1, round(cohort.train / batch))
        looked_at = count * (epochs * cohort.val + 3 * (cohort.val + cohort.test))
        trainings.append(Training(title, network, batch, updates, count, looked_at, IMAGE_FEED_S))
    return trainings


_TRAININGS = {
    "03": _generators,
    "04": _mixtures,
    "05": _detectors,
    "06": _patches_and_images,
}
_NEEDS: Mapping[str, frozenset[str]] = {
    "01": frozenset({"source", "workers"}),
    "03": frozenset(
        {"classes", "generators", "seeds", "epochs", "progressive_epochs", "feature_steps"}
    ),
    "04": frozenset({"added_shares", "seeds", "epochs", "patches"}),
    "05": frozenset({"stages", "model", "image_rows", "seeds"}),
    "06": frozenset({"starts", "patch_counts", "image_sizes", "image_starts"}),
    "07": frozenset({"draws"}),
}


def updates_of(trainings: Sequence[Training]) -> int:
    """Updates of several kinds of trainings together."""
    return sum(training.updates for training in trainings)


def pictures_of(trainings: Sequence[Training]) -> int:
    """Pictures that are learnt from, each as often as it is."""
    return sum(math.prod((training.updates, training.batch)) for training in trainings)

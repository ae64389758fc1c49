"""A training's identity follows the code that decides what comes out, and nothing else."""

from __future__ import annotations

import numpy as np
import pytest
from helpers import small_gan
from helpers.library_code import check_what_counts, copy_library, loaded_modules
from helpers.small_detector import small_detect_settings
from helpers.small_mammograms import small_mammograms
from second_look.batches.gan_mixtures import MixedBatches, RealPool
from second_look.batches.images import ImageBatches
from second_look.batches.patches import PatchBatches
from second_look.batches.pictures import Pictures
from second_look.inference.validation import ImageValidation, WindowValidation, accuracy, ranking
from second_look.models.classifier import build_classifier
from second_look.training.checkpoints import all_parts, code_of, folder_name, full_identity
from second_look.training.classify import ClassifierSettings, ClassifierTask, Validation
from second_look.training.detect import DetectionTask, Stage
from second_look.training.gan import DcganTask, ProgressiveTask


def classifier(source, validate):
    network = build_classifier("small", seed=0)
    settings, validation = ClassifierSettings(1e-3), Validation(validate, "digest of windows")
    return ClassifierTask("tiny", network, "random", source, settings, 4, validation)


@pytest.fixture(scope="module")
def tasks(tmp_path_factory):
    """A task of every kind, and of every source of batches, by name."""
    prepared = small_gan.prepared_images(tmp_path_factory.mktemp("prepared"))
    windows = small_gan.window_table(prepared).assign(dataset="d")
    size = small_gan.SIZE
    squares = small_mammograms(tmp_path_factory.mktemp("squares"))
    images = squares.catalogue.images
    levels = np.zeros((len(images), 32, 32), dtype=np.uint16)
    pictures = Pictures(tuple(images["image_id"]), levels, "d")
    patches = small_gan.patch_set(prepared, windows)
    pool = RealPool(prepared, windows, ["benign", "malignant"], count=8, size=size, seed=0)
    detect = small_detect_settings(stages=(Stage(6, 0.01),))
    return {
        "patches": classifier(
            PatchBatches(prepared, windows, size=size, batch_size=4, seed=0, balance="balanced"),
            WindowValidation(prepared, windows, size, ranking),
        ),
        "images": classifier(
            ImageBatches(pictures, images, batch_size=4, seed=0, balance="natural"),
            ImageValidation(pictures, images),
        ),
        "samples": classifier(
            MixedBatches([pool], batch_size=4, seed=0),
            WindowValidation(prepared, windows, size, accuracy),
        ),
        "detection": DetectionTask(squares, detect),
        "dcgan": DcganTask("dcgan", small_gan.TINY_DCGAN, patches, seed=0),
        "progressive": ProgressiveTask(
            "progressive", small_gan.TINY_PROGRESSIVE, patches, seed=0, steps=4
        ),
    }


def test_every_module_that_a_training_loads_is_part_of_its_identity(tasks, tmp_path, monkeypatch):
    library = copy_library(tmp_path, monkeypatch)
    for task in tasks.values():
        modules = {type(part).__module__ for part in all_parts(task)} - {"builtins"}
        check_what_counts(library, lambda task=task: code_of(task), loaded_modules(modules))


def test_what_chooses_the_weights_of_a_detector_is_part_of_its_folder_s_name(
    tasks, tmp_path, monkeypatch
):
    library = copy_library(tmp_path, monkeypatch)
    task = tasks["detection"]
    assert task.watched == "val_froc"
    name = folder_name(task.name, full_identity(task, {"steps": 6}))
    froc = library / "evaluation" / "froc.py"
    text = froc.read_text()
    (rates,) = [line for line in text.splitlines() if line.startswith("RATES = ")]
    froc.write_text(text.replace(rates, "RATES = (8.0,)"))
    assert folder_name(task.name, full_identity(task, {"steps": 6})) != name
    froc.write_text(text)
    assert folder_name(task.name, full_identity(task, {"steps": 6})) == name


def test_the_function_that_validates_counts_wherever_it_is_defined(tasks):
    def digest(measure):
        return code_of(classifier(tasks["images"]._source, measure))

    assert digest(ranking) == digest(accuracy)  # of one module
    assert digest(lambda *_: {}) != digest(ranking)  # of this one

"""Training of a detector: order, schedule, losses, L2, resume, and errors that name the image."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers.small_detector import small_detect_settings
from helpers.small_mammograms import small_mammograms
from lightning_fabric import Fabric
from safetensors.torch import save_file
from second_look.batches.affine import NO_AUGMENTATION
from second_look.errors import DataError
from second_look.models.detection_parts import LOSSES
from second_look.models.mask_rcnn import build_detector
from second_look.training.detect import (
    DetectionTask,
    Frame,
    Stage,
    training_images,
)
from second_look.training.loop import LoopSettings, TrainingError, train
from torch import nn

FRAME = Frame(96, 64)
TINY = small_detect_settings()


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return small_mammograms(tmp_path_factory.mktemp("squares"), unlocated=(10,))


@pytest.fixture
def task(dataset, tmp_path):
    return started(dataset, TINY, tmp_path)


def started(dataset, settings, folder):
    task = DetectionTask(dataset, settings)
    task.setup(Fabric(accelerator="cpu", devices=1), folder)
    task.detector.train()
    return task


def loop(steps, **changes):
    return LoopSettings(steps=steps, accelerator="cpu", log_every=1, **{"seed": 0, **changes})


# ------------------------------------------------------------------ what is learnt from


def test_images_are_those_of_the_training_split_whose_lesions_are_located(dataset):
    with_lesion, normal = training_images(dataset, normal_share=0.5)
    assert with_lesion == ["i00", "i02", "i08"]  # 10 hides its lesion
    assert normal == ["i01", "i03", "i09", "i11"]
    assert training_images(dataset, normal_share=0)[1] == []


def test_no_lesion_no_training(tmp_path):
    with pytest.raises(DataError, match="no image with a lesion to train on"):
        training_images(small_mammograms(tmp_path, 8, unlocated=(0, 2)), normal_share=0.5)


def test_every_image_comes_once_before_any_comes_again(task):
    ids = list(itertools.chain(*(task.chosen(number) for number in range(60))))
    with_lesion = [name for name in ids if name in task.kinds[0]]
    for start in range(0, len(with_lesion) - 3, 3):
        assert sorted(with_lesion[start : start + 3]) == task.kinds[0]
    assert len(set(map(tuple, (with_lesion[start : start + 3] for start in range(0, 60, 3))))) > 2


@pytest.mark.parametrize("share", [0.0, 0.25, 0.3, 0.5])
def test_the_share_of_normal_images_is_kept(dataset, tmp_path, share):
    task = started(dataset, replace(TINY, normal_share=share), tmp_path)
    ids = list(itertools.chain(*(task.chosen(number) for number in range(100))))
    assert np.mean([name in task.kinds[1] for name in ids]) == pytest.approx(share, abs=0.006)


def test_a_step_s_batch_follows_from_its_number(dataset, task, tmp_path):
    second_task = started(dataset, TINY, tmp_path)
    second_task.batch(9)
    for number in (5, 2):
        first, second = task.batch(number), second_task.batch(number)
        assert torch.equal(first[0], second[0])
        assert all(
            torch.equal(left["masks"], right["masks"])
            for left, right in zip(first[2], second[2], strict=True)
        )
    assert not torch.equal(task.batch(5)[0], task.batch(6)[0])
    assert task.examples(5) == f"images {', '.join(task.chosen(5))}"


# ------------------------------------------------------------------ one update


def test_a_step_gives_five_losses_and_their_sum(task):
    losses = task.step(0)
    assert tuple(losses) == ("loss", *LOSSES)
    total = sum(float(losses[name]) for name in LOSSES)
    assert float(losses["loss"]) == pytest.approx(total, rel=1e-5)


def test_l2_is_the_mean_square_of_each_tensor_but_of_no_norm(dataset, tmp_path):
    """Two updates that differ in nothing but L2 differ by rate · 2 · decay · w / size."""
    plain, decayed = (
        started(
            dataset,
            replace(TINY, weight_decay=decay, clip=1e9, augmentation=NO_AUGMENTATION),
            tmp_path,
        )
        for decay in (0.0, 10.0)
    )
    initial = {name: p.detach().clone() for name, p in plain.detector.named_parameters()}
    for task in (plain, decayed):
        torch.manual_seed(0)
        task.step(0)
    final = dict(decayed.detector.named_parameters())
    norms = {
        f"{name}.{part}"
        for name, module in plain.detector.named_modules()
        if isinstance(module, nn.GroupNorm)
        for part in ("weight", "bias")
    }
    assert len(norms) == 20
    for name, parameter in plain.detector.named_parameters():
        moved = (parameter - final[name]).detach()
        expected = 0.01 * 2 * 10.0 * initial[name] / parameter.numel()
        expected_move = expected * (name not in norms)
        torch.testing.assert_close(moved, expected_move, atol=2e-6, rtol=1e-3)


def test_the_schedule_sets_rate_and_layers(dataset, tmp_path):
    stages = (Stage(2, 0.02, "heads"), Stage(2, 0.01, "upper"), Stage(1, 0.001))
    settings = replace(TINY, model="mobilenet", stages=stages, warmup_steps=2)
    assert settings.steps == 5
    task = started(dataset, settings, tmp_path)
    names = dict(task.detector.named_parameters())
    first = "backbone.body.1.conv.0.0.weight"
    last = "backbone.body.16.conv.0.0.weight"
    rates, moved = [], []
    for number in range(5):
        task.step(number)
        rates.append(task.optimizer.param_groups[0]["lr"])
        moved.append([names[name].grad is not None for name in (first, last)])
    assert rates == [0.01, 0.02, 0.01, 0.01, 0.001]
    assert moved == [[False, False]] * 2 + [[False, True]] * 2 + [[True, True]]


def test_half_precision_trains_too(dataset, tmp_path):
    task = DetectionTask(dataset, TINY)
    task.setup(Fabric(accelerator="cpu", devices=1, precision="bf16-mixed"), tmp_path)
    task.detector.train()
    assert all(bool(torch.isfinite(loss)) for loss in task.step(0).values())


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_losses_fall_on_one_picture(dataset, tmp_path, optimizer):
    settings = replace(
        TINY, stages=(Stage(25, 0.01 if optimizer == "sgd" else 3e-3),), optimizer=optimizer,
        augmentation=NO_AUGMENTATION, normal_share=0.0, batch_size=1,
    )  # fmt: skip
    task = started(dataset, settings, tmp_path)
    task.kinds = (["i00"], [])
    losses = [float(task.step(number)["loss"]) for number in range(15)]
    assert np.mean(losses[-5:]) < 0.6 * np.mean(losses[:3])


def test_an_unknown_optimizer_is_named(dataset):
    with pytest.raises(ValueError, match="optimizer must be sgd or adamw"):
        DetectionTask(dataset, replace(TINY, optimizer="lion"))


# ------------------------------------------------------------------ in the loop


def test_a_training_that_was_broken_off_ends_like_an_unbroken_one(dataset, tmp_path):
    class Stopped(DetectionTask):
        def step(self, number):
            if number == 2:
                raise KeyboardInterrupt
            return super().step(number)

    Stopped.__module__ = DetectionTask.__module__
    settings = loop(4, checkpoint_seconds=0)
    unbroken = DetectionTask(dataset, TINY)
    first = train(unbroken, settings, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        train(Stopped(dataset, TINY), settings, tmp_path / "broken")
    resumed = DetectionTask(dataset, TINY)
    second = train(resumed, settings, tmp_path / "broken")
    for name, value in unbroken.detector.state_dict().items():
        assert torch.equal(value, resumed.detector.state_dict()[name]), name
    assert first.curve("val_froc").equals(second.curve("val_froc"))
    assert first.curve("loss_mask").equals(second.curve("loss_mask"))


def test_what_decides_is_in_the_identity(dataset):
    identity = DetectionTask(dataset, TINY).identity()
    for change in (
        {"frame": Frame(96, 96)},
        {"stages": (Stage(5, 0.01),)},
        {"normal_share": 0.0},
        {"clip": 1.0},
    ):
        assert DetectionTask(dataset, replace(TINY, **change)).identity() != identity
    assert DetectionTask(dataset, TINY).identity() == identity


def test_start_weights_are_known_by_their_content(dataset, tmp_path):
    path, digests = tmp_path / "start.safetensors", []
    for seed in (0, 1):
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            body = build_detector("mobilenet").backbone.body
        save_file({f"features.{k}": v.contiguous() for k, v in body.state_dict().items()}, path)
        settings = replace(TINY, model="mobilenet", weights=str(path))
        digests.append(DetectionTask(dataset, settings).identity()["weights"])
    assert digests[0] != digests[1]


def test_a_loss_that_is_not_finite_names_the_images(dataset, tmp_path):
    settings = replace(TINY, stages=(Stage(6, 1e12),), clip=1e12, warmup_steps=0)
    with pytest.raises(TrainingError, match=r"loss is not finite in step \d: loss .*images i"):
        train(DetectionTask(dataset, settings), loop(6, validate_every=0), tmp_path)


def test_a_full_device_says_what_to_lower(dataset, tmp_path):
    class Full(DetectionTask):
        def batch(self, number):
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9 GiB")

    Full.__module__ = DetectionTask.__module__
    with pytest.raises(TrainingError, match=r"memory is full .* smaller batch or smaller images"):
        train(Full(dataset, TINY), loop(2), tmp_path)


def test_a_frame_that_the_network_cannot_take_is_named(dataset):
    with pytest.raises(DataError, match="frame 100×64: rows and columns must be multiples of 32"):
        DetectionTask(dataset, replace(TINY, frame=Frame(100, 64)))

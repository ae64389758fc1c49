"""Training of classifiers: schedule, decay, smoothing, resume, and two processes as one."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from second_look.batches.images import ImageBatches
from second_look.batches.pictures import WHITE, Pictures
from second_look.catalogue import LABELS
from second_look.evaluation.predictions import CLASS_SCORES, from_classes
from second_look.files import write_parquet
from second_look.inference.images import score_images
from second_look.models.classifier import build_classifier, load_start
from second_look.models.weights import read_tensors
from second_look.training.classify import (
    ClassifierSettings,
    ClassifierTask,
    InitialNetwork,
    Validation,
    fit_classifier,
    schedule,
    train_classifier,
)
from second_look.training.loop import LoopSettings
from torch import nn

COUNT, STEPS = 24, 8
FROZEN = ClassifierSettings(learning_rate=3e-3, frozen_statistics=True)


class Batches(ImageBatches):
    """Of pictures that are brighter the worse their label; stops where it is told to."""

    stop_at = None

    def make(self, step, rank, world):
        if step == self.stop_at:
            raise KeyboardInterrupt
        return super().make(step, rank, world)


def pictures():
    rng = np.random.default_rng(0)
    base = 4000 + 14_000 * (np.arange(COUNT) % len(LABELS))
    levels = base[:, None, None] + rng.integers(0, 4000, (COUNT, 32, 32))
    ids = tuple(f"i{number:02d}" for number in range(COUNT))
    return Pictures(ids, np.minimum(levels, WHITE).astype(np.uint16), "d")


def images():
    labels = [LABELS[number % len(LABELS)] for number in range(COUNT)]
    ids = pictures().image_ids
    return pd.DataFrame(
        {"dataset": "d", "image_id": ids, "patient_id": ids, "split": "test", "label": labels}
    )


def batches():
    return Batches(pictures(), images(), batch_size=8, seed=1, balance="natural")


def task(settings=FROZEN, *, steps=STEPS, validate=None, watched="", source=None):
    network = build_classifier("small", seed=0)
    source = source or batches()
    validation = Validation(validate, "images", watched) if validate else None
    return ClassifierTask("tiny", network, "random", source, settings, steps, validation)


def loop(steps=STEPS, **changes):
    return LoopSettings(
        **{
            "steps": steps,
            "seed": 0,
            "accelerator": "cpu",
            "checkpoint_seconds": 0,
            "log_every": 1,
            **changes,
        }
    )


def state(network):
    return {key: value.clone() for key, value in network.state_dict().items()}


def equal_states(first, second):
    return all(torch.equal(first[key], second[key]) for key in first) and set(first) == set(second)


def predictions_of(network):
    scores = score_images(network, pictures(), pictures().image_ids)
    return from_classes(images(), scores, unit="image", model="tiny", seed=0)


def train_and_predict(folder):
    """What every process of a training does; the first one writes the table."""
    network, done = train_classifier(task(), loop(), folder / "checkpoints")
    if os.environ.get("RANK", "0") == "0":
        write_parquet(folder / "predictions" / "tiny.parquet", predictions_of(network))
    return network, done


# ------------------------------------------------------------------ how it learns


def test_the_rate_rises_in_a_line_and_falls_as_a_cosine():
    rates = [schedule(step, 110, 10 / 110) for step in range(110)]
    assert rates[:10] == pytest.approx(np.arange(1, 11) / 10)
    assert rates[10] == 1
    assert rates[60] == pytest.approx(0.5)
    assert rates[10 + 25] == pytest.approx((1 + np.sqrt(0.5)) / 2)
    assert 0 < rates[-1] < 1e-3
    assert max(rates) == 1
    assert schedule(0, 1, 0) == 1


def test_steps_use_the_schedule(tmp_path):
    trained = task(ClassifierSettings(learning_rate=0.01, warmup=0.5, frozen_statistics=True))
    train_classifier(trained, loop(), tmp_path)
    rates = {group["lr"] for group in trained.optimizers["adamw"].param_groups}
    assert list(rates) == pytest.approx([0.01 * (1 + np.cos(np.pi * 3 / 4)) / 2])


def test_norms_and_biases_do_not_decay():
    tested = task(ClassifierSettings(1e-3, weight_decay=0.3))
    decay = {
        id(parameter): group["weight_decay"]
        for group in tested.optimizers["adamw"].param_groups
        for parameter in group["params"]
    }
    assert len(decay) == len(list(tested.network.parameters()))
    for module in tested.network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            assert decay[id(module.weight)] == 0.3
            assert module.bias is None or decay[id(module.bias)] == 0
        if isinstance(module, nn.BatchNorm2d):
            assert decay[id(module.weight)] == decay[id(module.bias)] == 0


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_the_loss_is_cross_entropy_with_labels_smoothed(tmp_path, smoothing):
    pixels, labels = batches().make(0, 0, 1)
    with torch.no_grad():
        logits = build_classifier("small", seed=0).eval()(pixels).double().numpy()
    surprise = np.log(np.exp(logits).sum(axis=1, keepdims=True)) - logits
    truth = np.eye(len(LABELS))[labels] * (1 - smoothing) + smoothing / len(LABELS)
    expected = (truth * surprise).sum(axis=1).mean()
    how = ClassifierSettings(1e-3, label_smoothing=smoothing, frozen_statistics=True)
    _, done = train_classifier(task(how, steps=1), loop(1), tmp_path)
    assert done.curve("loss")["value"].tolist() == pytest.approx([expected], abs=1e-5)
    right = (logits.argmax(axis=1) == labels.numpy()).mean()
    assert done.curve("accuracy")["value"].tolist() == pytest.approx([right])


@pytest.mark.parametrize("frozen", [True, False])
def test_statistics_move_unless_they_are_frozen(tmp_path, frozen):
    network, _ = train_classifier(
        task(ClassifierSettings(1e-3, frozen_statistics=frozen), steps=2), loop(2), tmp_path
    )
    norms = [part for part in network.modules() if isinstance(part, nn.BatchNorm2d)]
    assert len(norms) == 5
    for norm in norms:
        assert torch.equal(norm.running_mean, torch.zeros_like(norm.running_mean)) == frozen
        assert not torch.equal(norm.weight, torch.ones_like(norm.weight))
    assert not network.training


def test_the_gradient_is_clipped_to_its_longest(tmp_path):
    lengths = {}
    for clip in (0.0, 0.01):
        trained = task(ClassifierSettings(1e-3, clip=clip, frozen_statistics=True), steps=1)
        train_classifier(trained, loop(1), tmp_path)
        squares = [float(p.grad.square().sum()) for p in trained.network.parameters()]
        lengths[clip] = np.sqrt(sum(squares))
    assert lengths[0.01] == pytest.approx(0.01, rel=1e-3)
    assert lengths[0.0] > 0.1


def test_it_learns_what_can_be_seen(tmp_path):
    how = ClassifierSettings(learning_rate=3e-3)
    network, _ = train_classifier(task(how, steps=40), loop(40), tmp_path)
    predictions = predictions_of(network)
    predicted = predictions[list(CLASS_SCORES)].to_numpy().argmax(axis=1)
    assert (np.array(LABELS)[predicted] == predictions["label"]).mean() > 0.9


@pytest.mark.parametrize("start", ["random", "file"])
def test_a_fit_is_the_training_of_a_network_with_its_start(tmp_path, start):
    earlier = build_classifier("small", seed=7).train()
    earlier(batches().make(0, 0, 1)[0])  # its batch normalisation has statistics to keep
    path = tmp_path / "start.pt"
    torch.save({f"network/{key}": value for key, value in state(earlier).items()}, path)
    begun, named = build_classifier("small", seed=3), str(path) if start == "file" else start
    load_start(begun, named, [])
    settings = ClassifierSettings(learning_rate=1e-3)
    fitted, _ = fit_classifier(
        "fit", InitialNetwork("small", 3, named), batches(), settings, loop(2, seed=3), tmp_path
    )
    settings = replace(settings, frozen_statistics=start == "file")
    by_hand = ClassifierTask("by-hand", begun, start, batches(), settings, 2)
    expected, _ = train_classifier(by_hand, loop(2, seed=3), tmp_path)
    assert equal_states(state(fitted), state(expected))


# ------------------------------------------------------------------ validation, resume, processes


def test_the_best_weights_are_kept_and_patience_ends_it(tmp_path):
    values, states = iter([0.4, 0.9, 0.8, 0.7, 0.95]), []

    def validate(network):
        assert not network.training
        states.append(state(network))
        return {"auc": next(values)}

    trained = task(steps=20, validate=validate, watched="auc")
    network, done = train_classifier(trained, loop(20, validate_every=2, patience=2), tmp_path)
    assert (done.steps, done.best_step, len(states)) == (8, 4, 4)
    assert equal_states(state(network), states[1])
    assert not equal_states(states[1], states[3])


@pytest.mark.parametrize("frozen", [True, False])
def test_killed_and_resumed_equals_unbroken_bit_for_bit(tmp_path, frozen):
    how = ClassifierSettings(learning_rate=3e-3, frozen_statistics=frozen)
    unbroken, done = train_classifier(task(how), loop(), tmp_path / "a")
    killed = batches()
    killed.stop_at = 5
    with pytest.raises(KeyboardInterrupt):
        train_classifier(task(how, source=killed), loop(), tmp_path / "b")
    again, parts = train_classifier(task(how), loop(), tmp_path / "b")
    assert equal_states(state(unbroken), state(again))
    assert parts.history.equals(done.history)
    assert len(list((tmp_path / "b").iterdir())) == 1
    pd.testing.assert_frame_equal(predictions_of(unbroken), predictions_of(again), check_exact=True)


def test_everything_that_decides_is_part_of_the_identity():
    plain = task().identity()
    assert plain == task().identity()
    assert plain["architecture"] == "small"
    of_other_seed = Batches(pictures(), images(), batch_size=8, seed=2, balance="natural")
    for changed in (task(ClassifierSettings(1e-3)), task(source=of_other_seed), task(validate=len)):
        assert changed.identity() != plain


def test_two_processes_train_as_one_with_the_whole_batch(
    tmp_path: Path, two_processes: Path
) -> None:
    """Half of each batch in each of two processes; one checkpoint, one table of predictions."""
    network, done = train_and_predict(tmp_path)
    outputs = two_processes / "classifier"
    (folder,) = (outputs / "checkpoints").iterdir()
    assert folder.name == done.folder.name
    (weights,) = folder.glob("*.safetensors")
    stored = read_tensors(weights)
    start = build_classifier("small", seed=0).state_dict()
    for key, value in network.state_dict().items():
        assert torch.allclose(stored[f"network/{key}"], value, atol=1e-5), key
    moved = (network.head.weight - start["head.weight"]).abs().max()
    assert moved > 1e-3, "the weights of one process are not those that it began with"
    (file,) = (outputs / "predictions").iterdir()
    table, expected_table = pd.read_parquet(file), predictions_of(network)
    assert table["image_id"].tolist() == expected_table["image_id"].tolist()
    assert np.allclose(table[list(CLASS_SCORES)], expected_table[list(CLASS_SCORES)], atol=1e-5)

"""Both generators on the loop: they learn, resume bit for bit, keep samples, refuse nonsense."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import small_gan
from second_look.errors import CheckpointError
from second_look.models.dcgan import PAPER
from second_look.models.generator import make_samples
from second_look.training import gan
from second_look.training.gan import train_gan
from second_look.training.loop import LoopSettings, TrainingError

BOTH = pytest.mark.parametrize("how", [small_gan.TINY_DCGAN, small_gan.TINY_PROGRESSIVE])


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    return small_gan.prepared_images(tmp_path_factory.mktemp("prepared"))


@pytest.fixture(scope="module")
def windows(prepared):
    return small_gan.window_table(prepared)


@pytest.fixture
def patches(prepared, windows):
    return small_gan.patch_set(prepared, windows)


def settings(steps=12, **changes):
    values = {"seed": 0, "accelerator": "cpu", "checkpoint_seconds": 0, "log_every": 3} | changes
    return LoopSettings(steps=steps, **values)


def tensors(folder: Path):
    content = torch.load(folder / "last.pt", weights_only=True)
    tensors_of_file = [value for state in content["modules"].values() for value in state.values()]
    for optimizer in content["optimizers"].values():
        tensors_of_file += [v for state in optimizer["state"].values() for v in state.values()]
    return tensors_of_file


def equal(a: Path, b: Path) -> bool:
    pairs = list(zip(tensors(a), tensors(b), strict=True))
    return len(pairs) > 20 and all(torch.equal(x, y) for x, y in pairs)


def stop_in(monkeypatch, step: int) -> None:
    """The training is killed in this step."""
    real = gan.GanTask.step

    def killed(self, number):
        if number == step:
            raise KeyboardInterrupt
        return real(self, number)

    monkeypatch.setattr(gan.GanTask, "step", killed)


@BOTH
@pytest.mark.parametrize("stop_at", [1, 7])
def test_killed_and_resumed_equals_unbroken_bit_for_bit(
    how, stop_at, patches, tmp_path, monkeypatch
):
    unbroken = train_gan("benign", how, patches, settings(validate_every=4), tmp_path / "a")
    with monkeypatch.context() as patch:
        stop_in(patch, stop_at)
        with pytest.raises(KeyboardInterrupt):
            train_gan("benign", how, patches, settings(validate_every=4), tmp_path / "b")
    parts = train_gan("benign", how, patches, settings(validate_every=4), tmp_path / "b")
    assert equal(unbroken.record.folder, parts.record.folder)
    assert parts.record.history.equals(unbroken.record.history)
    assert sorted(parts.strips) == [0, 4, 8, 12]
    for step, path in unbroken.strips.items():
        np.testing.assert_array_equal(np.load(path), np.load(parts.strips[step]))


def test_the_check_of_bits_can_fail(patches, tmp_path):
    how = small_gan.TINY_DCGAN
    first = train_gan("benign", how, patches, settings(3), tmp_path / "a")
    second = train_gan("benign", how, patches, settings(3, seed=1), tmp_path / "b")
    assert not equal(first.record.folder, second.record.folder)


@BOTH
def test_a_finished_training_is_only_loaded(how, patches, tmp_path, monkeypatch):
    first = train_gan("benign", how, patches, settings(), tmp_path)
    stop_in(monkeypatch, 0)
    again = train_gan("benign", how, patches, settings(), tmp_path)
    assert again.strips == first.strips
    a, b = (
        make_samples(done.generator, small_gan.SCALING, range(4), seed=5) for done in (first, again)
    )
    assert torch.equal(a, b)


@pytest.mark.parametrize(
    "how",
    [
        replace(small_gan.TINY_DCGAN, learning_rate=5e-4),
        replace(small_gan.TINY_PROGRESSIVE, learning_rate=3e-3, loss="nonsaturating"),
    ],
)
def test_training_moves_samples_towards_the_patches(how, patches, tmp_path):
    """Mean and spread of grey levels, which every generator learns first."""
    done = train_gan("all", how, patches, settings(150, checkpoint_seconds=999), tmp_path)
    real = torch.cat([patches.batch(step) for step in range(6)])
    real = small_gan.SCALING.undone(real).numpy()
    start, end = (np.load(done.strips[step]).astype(float) for step in (0, 150))

    def far(samples):
        return abs(samples.mean() - real.mean()) + abs(samples.std() - real.std())

    assert far(end) < 0.6 * far(start)


def test_the_fixed_noise_is_that_of_the_first_samples(patches, tmp_path):
    done = train_gan("benign", small_gan.TINY_DCGAN, patches, settings(3), tmp_path)
    first = make_samples(done.generator, small_gan.SCALING, range(16), seed=0)[:, 0].numpy()
    np.testing.assert_allclose(np.load(done.strips[3])[:16], first, atol=1e-3)


def test_resolutions_grow_and_the_last_weights_are_whole(patches, tmp_path):
    how = small_gan.TINY_PROGRESSIVE
    done = train_gan("benign", how, patches, settings(10, validate_every=1), tmp_path)
    early, late = np.load(done.strips[1]), np.load(done.strips[10])
    blocks = early.reshape(-1, 4, 4, 4, 4)  # a picture of 4×4, enlarged to 16×16
    assert (blocks == blocks[:, :, :1, :, :1]).all()
    blocks = late.reshape(-1, 4, 4, 4, 4)
    assert not (blocks == blocks[:, :, :1, :, :1]).all()
    assert done.generator.stage.size == small_gan.SIZE


def test_the_other_loss_trains_too(patches, tmp_path):
    how = replace(small_gan.TINY_PROGRESSIVE, loss="nonsaturating")
    done = train_gan("benign", how, patches, settings(5), tmp_path)
    assert np.isfinite(done.record.history["value"]).all()
    with pytest.raises(ValueError, match="loss must be one of"):
        replace(small_gan.TINY_PROGRESSIVE, loss="hinge")


def test_a_checkpoint_of_another_class_and_architecture_is_named(patches, tmp_path):
    benign = train_gan("benign", small_gan.TINY_DCGAN, patches, settings(3), tmp_path)
    malignant = train_gan("malignant", small_gan.TINY_DCGAN, patches, settings(3), tmp_path)
    shutil.copy(benign.record.folder / "last.pt", malignant.record.folder / "last.pt")
    with pytest.raises(CheckpointError, match=r"task 'dcgan-benign' \(wanted: 'dcgan-malignant'\)"):
        train_gan("malignant", small_gan.TINY_DCGAN, patches, settings(3), tmp_path)
    grown = train_gan("benign", small_gan.TINY_PROGRESSIVE, patches, settings(3), tmp_path)
    shutil.copy(benign.record.folder / "last.pt", grown.record.folder / "last.pt")
    with pytest.raises(CheckpointError, match=r"'DcganTask' \(wanted: 'ProgressiveTask'\)"):
        train_gan("benign", small_gan.TINY_PROGRESSIVE, patches, settings(3), tmp_path)


def test_a_truncated_checkpoint_gives_way_to_the_one_before(patches, tmp_path, capsys, monkeypatch):
    how = small_gan.TINY_DCGAN
    unbroken = train_gan("benign", how, patches, settings(), tmp_path / "a")
    with monkeypatch.context() as patch:
        stop_in(patch, 8)
        with pytest.raises(KeyboardInterrupt):
            train_gan("benign", how, patches, settings(), tmp_path / "b")
    (last,) = (tmp_path / "b").glob("*/last.pt")
    last.write_bytes(last.read_bytes()[:1000])
    parts = train_gan("benign", how, patches, settings(), tmp_path / "b")
    assert "going on from the one before it, previous.pt" in capsys.readouterr().out
    assert equal(unbroken.record.folder, parts.record.folder)


def test_a_loss_that_is_not_finite_stops_it_and_names_images(patches, tmp_path):
    how = replace(small_gan.TINY_DCGAN, learning_rate=1e30)
    with pytest.raises(TrainingError, match=r"dcgan-benign: the loss is not finite .*i\d"):
        train_gan("benign", how, patches, settings(), tmp_path)


def test_a_size_that_does_not_fit_is_refused(patches, tmp_path):
    how = replace(small_gan.TINY_DCGAN, network=replace(PAPER, size=32, latent_size=8))
    text = re.escape("the generator makes patches of 32 px, the patches to learn from have 16 px")
    with pytest.raises(ValueError, match=text):
        train_gan("benign", how, patches, settings(), tmp_path)

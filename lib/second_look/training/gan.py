"""Training of generators: the paper's DCGAN, and progressive growing, on the one loop."""

from __future__ import annotations

import copy
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import Adam

from second_look.batches.gan_patches import PatchSet
from second_look.models import dcgan, progressive
from second_look.models.generator import PatchGenerator, make_samples
from second_look.models.progressive import Stage, at_stage, stage_at
from second_look.preparing.store import save_array
from second_look.training.loop import LoopSettings, Trained, seeded, train
from second_look.training.task import Task

LOSSES = ("wgan-gp", "nonsaturating")
# Samples of fixed noise that are kept on the way.
STRIP = 32
_STRIPS = "samples"
_BATCH = 16
_Network = TypeVar("_Network", bound=nn.Module)


@dataclass(frozen=True)
class DcganTraining:
    """How the paper's DCGAN learns; the paper gives neither, the DCGAN paper does.

    Attributes:
        network: Both networks.
        learning_rate, beta1: Of Adam; 0.0002 and 0.5, which the DCGAN paper found to be stable.
    """

    network: dcgan.DcganSettings
    learning_rate: float
    beta1: float


@dataclass(frozen=True)
class ProgressiveTraining:
    """How a growing generator learns; weights of penalties are those of Karras et al.

    Attributes:
        network: Both networks.
        loss: "wgan-gp" (Gulrajani et al. 2017), or "nonsaturating" with a penalty on the
            discriminator's gradient at original patches (Mescheder et al. 2018).
        learning_rate: Of Adam, with β₁ = 0.
        penalty: Weight of the gradient penalty.
        drift: Weight that keeps the critic's numbers near 0; for wgan-gp.
        average: Share that the averaged generator keeps in a step, at most: less while it warms up,
            and so much less in short trainings that the average is of a quarter of a part at most
            (a resolution's fading in, or training on), since older weights do not fit newer
            layers. Samples are made by the average.
    """

    network: progressive.ProgressiveSettings
    loss: str
    learning_rate: float
    penalty: float = 10.0
    drift: float = 1e-3
    average: float = 0.999

    def __post_init__(self) -> None:
        if self.loss not in LOSSES:
            raise ValueError(f"loss must be one of {LOSSES}. Got {self.loss!r}.")


GanTraining = DcganTraining | ProgressiveTraining


class GanTask(Task):
    """A generator against its discriminator, on a fixed set of patches.

    Attributes:
        generator: Learns.
        discriminator: Tells its samples from original patches.
        sampled: The network that samples are made by.
    """

    generator: PatchGenerator
    discriminator: nn.Module
    sampled: PatchGenerator

    def __init__(self, name: str, how: GanTraining, patches: PatchSet, *, seed: int) -> None:
        if how.network.size != patches.size:
            raise ValueError(
                f"the generator makes patches of {how.network.size} px, the patches to learn from "
                f"have {patches.size} px."
            )
        self.name, self.how, self.patches, self._seed = name, how, patches, seed

    def identity(self) -> Mapping[str, Any]:
        """Networks, how they learn, and what from."""
        return {
            "architecture": type(self).__name__,
            "how": asdict(self.how),
            "strip_seed": self._seed,
            **self.patches.identity(),
        }

    def parts(self) -> Sequence[object]:
        """Its networks, and what they learn from."""
        return (*self.modules.values(), self.patches)

    def setup(self, fabric: Fabric, folder: Path) -> None:
        """Put networks on their device, cut the patches, keep samples of the start.

        Gradients are averaged over processes by hand: two networks with parts that grow take turns,
        which a wrapper for several processes does not follow.
        """
        self._folder = folder
        self.use(fabric)
        self.patches.open(fabric.device)
        if not strips(folder):
            self._keep_strip(0)

    def use(self, fabric: Fabric) -> None:
        """Put networks on the device of a process."""
        self._fabric = fabric
        for module in self.modules.values():
            module.to(fabric.device)

    def step(self, number: int) -> Mapping[str, Tensor]:
        """One update of both networks."""
        fabric = self._fabric
        real = self.patches.batch(number, fabric.global_rank, fabric.world_size)
        self.generator.train()
        self.discriminator.train()
        return self._update(number, real)

    @abstractmethod
    def _update(self, number: int, real: Tensor) -> Mapping[str, Tensor]:
        """One update on this process's original patches (n, 1, size, size); its losses."""

    def validate(self, number: int) -> Mapping[str, float]:
        """Keep samples of the fixed noise."""
        self._keep_strip(number)
        return {}

    def examples(self, number: int) -> str:
        """The images behind a step."""
        return ", ".join(self.patches.images_of(number)[:8])

    def _keep_strip(self, number: int) -> None:
        if not self._fabric.is_global_zero:
            return
        parts = [
            make_samples(
                self.sampled,
                self.patches.scaling,
                range(first, first + _BATCH),
                seed=self._seed,
            )
            for first in range(0, STRIP, _BATCH)
        ]
        levels = torch.cat(parts)[:, 0].cpu().numpy().astype(np.float16)
        save_array(self._folder / _STRIPS / f"{number:08d}.npy", levels)

    def _learn(self, network: nn.Module, optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
        """Update one network from its loss."""
        optimizer.zero_grad()
        self._fabric.backward(loss)
        if self._fabric.world_size > 1:
            for parameter in network.parameters():
                if parameter.grad is not None:
                    mean = self._fabric.all_reduce(parameter.grad, reduce_op="mean")
                    parameter.grad.copy_(mean)  # type: ignore[arg-type]
        optimizer.step()


class DcganTask(GanTask):
    """The paper's DCGAN with the loss of Goodfellow et al. 2014 that the DCGAN paper uses."""

    def __init__(self, name: str, how: DcganTraining, patches: PatchSet, *, seed: int) -> None:
        super().__init__(name, how, patches, seed=seed)
        with seeded(seed):
            self.generator = self.sampled = _channels_last(dcgan.Generator(how.network))
            self.discriminator = _channels_last(dcgan.Discriminator(how.network))
        self.modules = {"generator": self.generator, "discriminator": self.discriminator}
        self.optimizers = {
            name: Adam(module.parameters(), how.learning_rate, (how.beta1, 0.999), fused=True)
            for name, module in self.modules.items()
        }

    def _update(self, number: int, real: Tensor) -> Mapping[str, Tensor]:
        with self._fabric.autocast():
            fake = self.generator(self.generator.draw(len(real), real.device))
            logits = self.discriminator(torch.cat([real, fake.detach()])).float()
        on_real, on_fake = logits.chunk(2)
        # Cross-entropy of a logit: softplus(-x) for "real", softplus(x) for "not real".
        loss = functional.softplus(-on_real).mean() + functional.softplus(on_fake).mean()
        self._learn(self.discriminator, self.optimizers["discriminator"], loss)
        self.discriminator.requires_grad_(False)
        with self._fabric.autocast():
            fooled = self.discriminator(fake).float()
        generator_loss = functional.softplus(-fooled).mean()
        self._learn(self.generator, self.optimizers["generator"], generator_loss)
        self.discriminator.requires_grad_(True)
        return {"discriminator": loss.detach(), "generator": generator_loss.detach()}


class ProgressiveTask(GanTask):
    """Progressive growing; the resolution follows from the step.

    Args:
        name: Of the training.
        how: Networks and loss.
        patches: To learn from.
        seed: Of starting weights and fixed noise.
        steps: Updates in all, which the resolutions share.
    """

    how: ProgressiveTraining
    generator: progressive.Generator
    discriminator: progressive.Critic

    def __init__(
        self, name: str, how: ProgressiveTraining, patches: PatchSet, *, seed: int, steps: int
    ) -> None:
        super().__init__(name, how, patches, seed=seed)
        with seeded(seed):
            self.generator = _channels_last(progressive.Generator(how.network))
            self.discriminator = _channels_last(progressive.Critic(how.network))
        self.generator.stage = stage_at(how.network, 0, steps)
        self.average = copy.deepcopy(self.generator).requires_grad_(False)
        self.sampled = self.average
        self.modules = {
            "generator": self.generator,
            "discriminator": self.discriminator,
            "average": self.average,
        }
        self.optimizers = {
            name: Adam(module.parameters(), how.learning_rate, (0.0, 0.99), fused=True)
            for name, module in list(self.modules.items())[:2]
        }
        self._steps = steps

    def _update(self, number: int, real: Tensor) -> Mapping[str, Tensor]:
        stage = stage_at(self.how.network, number, self._steps)
        self.generator.stage = self.average.stage = stage
        real = at_stage(real, stage)
        with self._fabric.autocast():
            fake = self.generator.forward_at(self.generator.draw(len(real), real.device), stage)
            on_real = self.discriminator.forward_at(real, stage).float()
            on_fake = self.discriminator.forward_at(fake.detach(), stage).float()
        penalty = self._penalty(real, fake.detach().float(), stage)
        if self.how.loss == "wgan-gp":
            drift = self.how.drift * on_real.square().mean()
            loss = on_fake.mean() - on_real.mean() + drift + penalty
        else:
            real_part, fake_part = functional.softplus(-on_real), functional.softplus(on_fake)
            loss = real_part.mean() + fake_part.mean() + penalty
        self._learn(self.discriminator, self.optimizers["discriminator"], loss)
        self.discriminator.requires_grad_(False)
        with self._fabric.autocast():
            fooled = self.discriminator.forward_at(fake, stage).float()
        generator_loss = (
            -fooled if self.how.loss == "wgan-gp" else functional.softplus(-fooled)
        ).mean()
        self._learn(self.generator, self.optimizers["generator"], generator_loss)
        self.discriminator.requires_grad_(True)
        self._average(number)
        return {
            "discriminator": loss.detach(),
            "generator": generator_loss.detach(),
            "penalty": penalty.detach(),
        }

    def _penalty(self, real: Tensor, fake: Tensor, stage: Stage) -> Tensor:
        """On the length of the critic's gradient; in full precision, as it is differentiated twice.

        wgan-gp: its distance to 1 between real and made patches; else its square at real ones.
        """
        between = self.how.loss == "wgan-gp"
        share = torch.rand(len(real), 1, 1, 1, device=real.device) if between else 0.0
        pictures = torch.lerp(real, fake, share) if between else real
        pictures = pictures.detach().requires_grad_(True)
        with torch.autocast(real.device.type, enabled=False):
            numbers = self.discriminator.forward_at(pictures, stage)
        (slope,) = torch.autograd.grad(numbers.sum(), pictures, create_graph=True)
        squared = slope.square().sum(dim=(1, 2, 3))
        if between:
            return self.how.penalty * ((squared + 1e-12).sqrt() - 1).square().mean()
        return self.how.penalty / 2 * squared.mean()

    @torch.no_grad()
    def _average(self, number: int) -> None:
        """Move the average towards the generator; faster in the first steps."""
        part = self._steps / progressive.parts_of(self.how.network)
        decay = min(self.how.average, (1 + number) / (10 + number), 1 - min(1.0, 4 / part))
        averaged: list[Tensor] = list(self.average.parameters())
        new: list[Tensor] = list(self.generator.parameters())
        torch._foreach_lerp_(averaged, new, 1 - decay)


@dataclass(frozen=True)
class TrainedGan:
    """A generator after its training.

    Attributes:
        label: What it was trained on: of catalogue.LABELS, or ANY_CLASS.
        generator: That samples are made by, in evaluation mode.
        patches: What it learnt from.
        record: Of its training.
        strips: Updates -> file of the samples of fixed noise at that time, grey levels 0 to 1,
            float16 (STRIP, size, size).
    """

    label: str
    generator: PatchGenerator
    patches: PatchSet
    record: Trained
    strips: Mapping[int, Path]


def train_gan(
    label: str,
    how: GanTraining,
    patches: PatchSet,
    settings: LoopSettings,
    folder: Path,
) -> TrainedGan:
    """Train a generator, from its last checkpoint where there is one, or load a finished one.

    Args:
        label: What the patches show; part of the training's name.
        how: Which networks, and how they learn.
        patches: To learn from.
        settings: Of the loop; samples are kept at every validation.
        folder: Of all checkpoints.
    """
    task: GanTask
    if isinstance(how, DcganTraining):
        task = DcganTask(f"dcgan-{label}", how, patches, seed=settings.seed)
    else:
        name = f"progressive-{label}"
        task = ProgressiveTask(name, how, patches, seed=settings.seed, steps=settings.steps)
    record = train(task, settings, folder)
    return TrainedGan(label, task.sampled.eval(), patches, record, strips(record.folder))


def strips(folder: Path) -> dict[int, Path]:
    """Updates -> samples of fixed noise that a training kept in its folder."""
    return {int(path.stem): path for path in sorted((folder / _STRIPS).glob("[0-9]*.npy"))}


def _channels_last(network: _Network) -> _Network:
    """Convolutions are faster with the channels last, on a GPU and on a CPU."""
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]

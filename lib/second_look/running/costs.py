"""What a step of training costs: operations and memory, counted without computing anything.

Networks are built on torch's device "meta", where tensors have a shape and no content: the count
takes milliseconds whatever the size of the pictures. A step is the forward pass and twice that for
the backward pass; what autograd keeps between the two is the memory that grows with the pictures.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from second_look.models import dcgan, progressive
from second_look.models.classifier import Classifier
from second_look.models.mask_rcnn import build_detector

CLASSIFIER, DETECTOR = "classifier", "detector"
DCGAN, PROGRESSIVE = "dcgan", "progressive"
_META = torch.device("meta")
# In the passes that are counted: batch normalisation wants more than one.
_PICTURES = 2
_FLOAT_BYTES = 4
# Numbers that stay on the device for each weight: itself, its gradient, and Adam's two moments.
_NUMBERS_A_WEIGHT = 4
# Passes through generator and discriminator in a step, in units of a forward pass: the
# discriminator learns from real patches and samples (2 · 3) and judges the samples once more on the
# generator's way back (2); a gradient penalty runs it forward, back, and back through that (6).
_GENERATOR_PASSES = 3
_DISCRIMINATOR_PASSES = {DCGAN: 8, PROGRESSIVE: 14}


@dataclass(frozen=True)
class Network:
    """What is trained, and on pictures of which size.

    Attributes:
        kind: CLASSIFIER, DETECTOR, DCGAN or PROGRESSIVE.
        name: Architecture of a classifier, model of a detector; "" otherwise.
        rows, cols: Of a picture, px.
        channels: Of a classifier's input.
        gan: Settings of the networks of a GAN.
    """

    kind: str
    name: str
    rows: int
    cols: int
    channels: int = 3
    gan: dcgan.DcganSettings | progressive.ProgressiveSettings | None = None


@dataclass(frozen=True)
class Cost:
    """Of one picture, and of the network.

    Attributes:
        step_flops: Floating-point operations of a picture in an update.
        forward_flops: Those of a picture that is only looked at.
        kept_bytes: Kept for the backward pass for each picture, 32 bits a number.
        weight_bytes: Of weights, gradients and moments.
        parameters: Number of weights.
    """

    step_flops: float
    forward_flops: float
    kept_bytes: float
    weight_bytes: float
    parameters: int

    def memory(self, batch: int, *, bits: int = 32) -> float:
        """Bytes of an update of so many pictures, which are kept in so many bits."""
        return self.weight_bytes + batch * self.kept_bytes * bits / 32


@lru_cache(maxsize=256)
def cost(network: Network) -> Cost:
    """Operations and memory of a network."""
    if network.kind == CLASSIFIER:
        return _classifier(network)
    if network.kind == DETECTOR:
        return _detector(network)
    return _gan(network)


def passed(
    forward: Callable[[], object], *modules: nn.Module, pictures: int = _PICTURES
) -> tuple[float, float]:
    """Operations of a forward pass, and bytes that autograd keeps of it, for each picture.

    Each block of memory is counted once, as a CPU or a GPU would hold it, weights aside.

    Args:
        forward: The pass.
        modules: Whose weights do not count.
        pictures: In the pass.
    """
    weights = {p.untyped_storage()._cdata for module in modules for p in module.parameters()}
    blocks: dict[int, int] = {}
    alive = []

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in weights:
            blocks[storage._cdata] = storage.nbytes()
            alive.append(storage)  # so that no address is used again
        return tensor

    counter = FlopCounterMode(display=False)
    with counter, torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        forward()
    return counter.get_total_flops() / pictures, sum(blocks.values()) / pictures


def _cost(flops: float, saved: float, *modules: nn.Module) -> Cost:
    """Of a network that learns from each picture once: backward costs twice the forward pass."""
    parameters = sum(p.numel() for module in modules for p in module.parameters())
    weights = _FLOAT_BYTES * _NUMBERS_A_WEIGHT * parameters
    return Cost(3 * flops, flops, saved, weights, parameters)


def _classifier(network: Network) -> Cost:
    with _META:
        classifier = Classifier(network.name, channels=network.channels)
    pictures = torch.empty(_PICTURES, 1, network.rows, network.cols, device=_META)
    flops, saved = passed(lambda: classifier.maps(pictures), classifier)
    return _cost(flops, saved, classifier)


def _detector(network: Network) -> Cost:
    """Backbone and region proposals by pixels, heads by the regions that they are trained on."""
    with _META:
        detector = build_detector(network.name)
    heads: Any = detector.roi_heads
    pictures = torch.empty(1, 3, network.rows, network.cols, device=_META)
    regions = heads.fg_bg_sampler.batch_size_per_image
    lesions = round(regions * heads.fg_bg_sampler.positive_fraction)
    box_side, mask_side = heads.box_roi_pool.output_size[0], heads.mask_roi_pool.output_size[0]

    def forward() -> None:
        features = list(detector.backbone(pictures).values())
        detector.rpn.head(features)  # type: ignore[operator]
        channels = features[0].shape[1]
        boxes = torch.empty(regions, channels, box_side, box_side, device=_META)
        masks = torch.empty(lesions, channels, mask_side, mask_side, device=_META)
        heads.box_predictor(heads.box_head(boxes))
        heads.mask_predictor(heads.mask_head(masks))

    flops, saved = passed(forward, detector, pictures=1)
    return _cost(flops, saved, detector)


def _gan(network: Network) -> Cost:
    settings = network.gan
    if settings is None:
        raise ValueError("a GAN needs the settings of its networks.")
    noise = torch.empty(_PICTURES, settings.latent_size, device=_META)
    if isinstance(settings, dcgan.DcganSettings):
        with _META:
            generator, judge = dcgan.Generator(settings), dcgan.Discriminator(settings)
        generator_passes = [passed(partial(generator, noise), generator)]
        critic_passes = [passed(partial(judge, _pictures(settings.size)), judge)]
        return _of_both(network.kind, generator_passes, critic_passes, generator, judge)
    with _META:
        growing, critic = progressive.Generator(settings), progressive.Critic(settings)
    parts = progressive.parts_of(settings)
    stages = [progressive.stage_at(settings, part, parts) for part in range(parts)]
    generator_passes = [passed(partial(growing.forward_at, noise, s), growing) for s in stages]
    critic_passes = [
        passed(partial(critic.forward_at, _pictures(s.size), s), critic) for s in stages
    ]
    return _of_both(network.kind, generator_passes, critic_passes, growing, critic)


def _pictures(size: int) -> Tensor:
    return torch.empty(_PICTURES, 1, size, size, device=_META)


def _of_both(
    kind: str,
    generators: list[tuple[float, float]],
    discriminators: list[tuple[float, float]],
    *modules: nn.Module,
) -> Cost:
    """Operations are means over the stages of a training, memory is that of the largest."""
    flops_made = sum(flops for flops, _ in generators) / len(generators)
    flops_seen = sum(flops for flops, _ in discriminators) / len(discriminators)
    saved = max(saved for _, saved in generators) + 2 * max(saved for _, saved in discriminators)
    base = _cost(flops_made, saved, *modules)
    step = _GENERATOR_PASSES * flops_made + _DISCRIMINATOR_PASSES[kind] * flops_seen
    return Cost(step, flops_made, saved, base.weight_bytes, base.parameters)

"""Worked examples of notebooks 03 and 04: noise to a sample, a sample to an answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd
import torch
from torch.nn.functional import softplus

from second_look.models.classifier import build_classifier
from second_look.models.dcgan import DcganSettings, Discriminator, Generator
from second_look.models.generator import PatchGenerator, Scaling, make_samples
from second_look.studies.steps import BATCH, steps, through_classifier


def noise_to_losses(settings: DcganSettings, *, seed: int) -> pd.DataFrame:
    """Noise through both networks as they are before training, to the losses of the samples.

    Args:
        settings: Of the networks.
        seed: Of their weights and the noise.

    Returns:
        Of studies.steps.steps.
    """
    with torch.random.fork_rng(), torch.inference_mode():
        torch.manual_seed(seed)
        generator, discriminator = Generator(settings).eval(), Discriminator(settings).eval()
        noise = generator.noise(seed, range(BATCH))
        part, way = noise, {"noise: one row a sample": noise}
        for number, layer in enumerate(generator.layers, start=1):
            part = layer(part)
            way[f"generator, layer {number}: {type(layer).__name__}"] = part
        logits = discriminator(part)
        way |= {
            "discriminator: one logit a sample, above 0 for “original”": logits,
            "probability of “original”": logits.sigmoid(),
            "loss of the discriminator: −ln(1 − p)": softplus(logits),
            "loss of the generator: −ln p": softplus(-logits),
        }
        return steps(way)


def sample_to_answer(
    generators: Mapping[str, tuple[PatchGenerator, Scaling]],
    labels: Sequence[str],
    *,
    architecture: str,
    size: int,
    seed: int,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """A sample of each class through a classifier before training.

    Args:
        generators: Class -> generator and scaling.
        labels: The classes.
        architecture: Of the classifier.
        size: Of its input, px.
        seed: Of its weights and the samples.

    Returns:
        The steps, and a row a sample: label, probabilities, answer, loss.
    """
    samples = torch.cat(
        [make_samples(*generators[label], [0], seed=seed, size=size) for label in labels]
    )
    network = build_classifier(architecture, seed=seed, classes=len(labels), channels=1)
    return through_classifier(network, samples, labels, labels)

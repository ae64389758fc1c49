"""The command `second_look predict`: mammograms of one patient in, an answer out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from second_look.published.answer_files import in_words, write_answer
from second_look.published.answers import answer
from second_look.published.mammograms import Acquisition, read_mammograms
from second_look.published.weights import load_models

# Of the output folder: the pictures as the models got them.
PREPARED = "prepared"


def predict(
    images: Sequence[Path],
    model: Path,
    output: Path,
    acquisition: Acquisition,
    prevalence: float | None,
) -> tuple[list[str], bool]:
    """Ask the models of a published set about a patient's mammograms.

    Args:
        images: Files.
        model: Folder of the set.
        output: Folder of the answer.
        acquisition: What the files do not say.
        prevalence: That probabilities shall hold for; None: that of validation.

    Returns:
        The answer in words, with the files that were written; whether no image was refused.

    Raises:
        DataError: No image can be used.
    """
    models = load_models(model)
    mammograms = read_mammograms(images, output / PREPARED, acquisition)
    result = answer(mammograms, models, prevalence=prevalence)
    files = write_answer(output, result, models)
    return [*in_words(result), *map(str, files)], not mammograms.refused

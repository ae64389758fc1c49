"""Starting weights of patch and whole-image models, and how tables name them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from second_look.errors import DataError, MissingDataError
from second_look.preparing.reading import find_data_root

# Start: the weights of a patch model that this project trains on phantoms, which cost nothing.
PHANTOM = "phantom"
# Start: the weights of the patch model.
PATCHES = "patches"


def start_name(start: str) -> str:
    """A start as tables name it: random, imagenet, patches, or the name of its file."""
    return Path(start).stem if Path(start).suffix else start


def resolve_starts(starts: Iterable[str], trained: Mapping[str, Path | None]) -> dict[str, str]:
    """Name in tables → a start as `load_start` takes it: "random", "imagenet" or a file.

    Args:
        starts: As named in parameters.
        trained: Starts that this run trains → their file of weights; None if not trained.

    Without outlines there is no patch model: then PATCHES is left out.

    Raises:
        DataError: A start that this run trains has no weights, or none is left.
    """
    resolved = {}
    for start in starts:
        weights = trained.get(start, Path(start))
        if weights is None and start == PATCHES:
            continue
        if weights is None:
            raise DataError(
                f"the start {start} needs a model that has been trained.",
                "starts",
                "Train it first, or leave this start out.",
            )
        resolved[start_name(start)] = str(weights) if start in trained else start
    if not resolved:
        raise DataError(
            f"the start {PATCHES} needs lesion outlines, and there is no other.",
            "image_starts",
            "Add random or imagenet.",
        )
    return resolved


def weights_folders(data_root: str, name: str) -> list[Path]:
    """Folders to search for files of weights: that folder of the data root, if there is one."""
    try:
        return [find_data_root(data_root) / name]
    except MissingDataError:
        return []

"""Files of start weights: which are known, which a set of parameters needs, and how to get them.

torchvision publishes the first digits of a file's SHA-256 in its name. Of timm's files and of
Matterport's no checksum is published: what came is tried on its network the first time, and its
SHA-256 is written beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import timm
import torch
from torchvision import models as zoo
from torchvision.models.detection import MaskRCNN_ResNet50_FPN_V2_Weights

from second_look.errors import (
    CheckpointError,
    DataError,
    MissingDataError,
    ParameterError,
    nearest,
)
from second_look.files import sha256, write_text
from second_look.models.backbones import MOBILENET, SMALL
from second_look.models.classifier import (
    IMAGENET,
    RANDOM,
    Classifier,
    find_imagenet,
    imagenet_file,
    imagenet_url,
    load_imagenet,
)
from second_look.models.inception import INCEPTION
from second_look.models.mask_rcnn import BACKBONES, DETECTORS
from second_look.models.matterport import RELEASE
from second_look.preparing.reading import find_data_root
from second_look.running.parameters import Cells, load_params
from second_look.sources.fetching import RemoteFile, check_room, fetch_file, gigabytes
from second_look.studies.transfer.starts import PATCHES, PHANTOM

FOLDER = "weights"  # in the data root
MATTERPORT = "mask_rcnn_coco.h5"
MASK_RCNN = "maskrcnn_resnet50_fpn_v2"
_MATTERPORT_BYTES = 257_557_808
# Of the groups of Matterport's file, which only a whole one has.
_MATTERPORT_LAYERS = ("conv1", "res5c_branch2c", "rpn_model", "mrcnn_class_logits", "mrcnn_mask")
_MEBIBYTE = 1 << 20


@dataclass(frozen=True)
class WeightsFile:
    """A published file of weights.

    Attributes:
        name: That `download weights` takes.
        address: Where it is published.
        size: Bytes.
        digits: The first ones of its SHA-256; "" where none are published.
        file: Its name on disk.
    """

    name: str
    address: str
    size: int
    digits: str
    file: str


@dataclass(frozen=True)
class NeededWeights:
    """Weights that a notebook starts from.

    Attributes:
        notebook, parameter: Where they are named.
        value: As the parameter names them.
        published: Name of the published file; "" for a file of the user's own.
        problem: Why they cannot be used, with the remedy; "" where they are there.
    """

    notebook: str
    parameter: str
    value: str
    published: str
    problem: str = ""


def known_weights() -> dict[str, WeightsFile]:
    """Name -> file of the weights that do not belong to a network of timm."""
    published = {
        MOBILENET: zoo.MobileNet_V2_Weights.DEFAULT,
        INCEPTION: zoo.Inception_V3_Weights.IMAGENET1K_V1,
        MASK_RCNN: MaskRCNN_ResNet50_FPN_V2_Weights.COCO_V1,
    }
    files = [
        WeightsFile(
            name,
            str(weights.url),
            round(weights.meta["_file_size"] * _MEBIBYTE),
            Path(weights.url).stem.rpartition("-")[2],
            Path(weights.url).name,
        )
        for name, weights in published.items()
    ]
    files.append(WeightsFile(MATTERPORT, RELEASE, _MATTERPORT_BYTES, "", Path(RELEASE).name))
    return {file.name: file for file in files}


def _of_timm(name: str) -> WeightsFile | None:
    """The published weights of a network of timm; None where there are none."""
    if name in (SMALL, MOBILENET) or not imagenet_url(name):
        return None
    with torch.device("meta"):
        numbers = sum(part.numel() for part in Classifier(name).parameters())
    return WeightsFile(name, imagenet_url(name), 4 * numbers, "", imagenet_file(name))


def choose_weights(names: Iterable[str]) -> list[WeightsFile]:
    """Published files by their names, or the names of the files.

    Raises:
        ParameterError: There is no such file; names the nearest.
    """
    published = known_weights()
    by_file = {file.file: file for file in published.values()}
    chosen = {}
    for name in names:
        file = published.get(name) or by_file.get(name) or _of_timm(name)
        if file is None:
            names_of_all = [*published, *timm.list_models()]
            raise ParameterError(f"there are no weights {name!r}{nearest(name, names_of_all)}")
        chosen[file.name] = file
    return list(chosen.values())


def needed_weights(values: Mapping[str, Mapping[str, Any]]) -> list[NeededWeights]:
    """The weights that notebooks start from, each with what is wrong with it.

    Args:
        values: Notebook -> its parameters.
    """
    data_root = str(values.get("01_data_survey", {}).get("data_root", ""))
    needed: dict[tuple[str, str], NeededWeights] = {}
    for notebook, parameters in values.items():
        root = str(parameters.get("data_root", data_root))
        for parameter, value, architecture in _named(parameters):
            file = Path(value).name
            published = architecture if value == IMAGENET else _known_name(file)
            problem = _problem(value, architecture, root, parameters)
            needed.setdefault(
                (notebook, value), NeededWeights(notebook, parameter, value, published, problem)
            )
    return list(needed.values())


def weights_of_params(params_files: Iterable[Path], cells: Cells) -> list[WeightsFile]:
    """The published files that params files name, each once."""
    names = {
        needed.published: None
        for path in params_files
        for needed in needed_weights(load_params(path, cells))
        if needed.published
    }
    return choose_weights(names)


def _named(parameters: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """(parameter, value, architecture) of every start from a file."""
    named = []
    if parameters.get("feature_weights"):
        architecture = str(parameters["feature_architecture"])
        named.append(("feature_weights", str(parameters["feature_weights"]), architecture))
    if parameters.get("weights"):
        model = str(parameters.get("model", ""))
        architecture = BACKBONES.get(model, "" if model in DETECTORS else model)
        named.append(("weights", str(parameters["weights"]), architecture))
    for parameter in ("starts", "image_starts"):
        for start in parameters.get(parameter, ()):
            if start not in (RANDOM, PHANTOM, PATCHES):
                named.append((parameter, str(start), str(parameters["architecture"])))
    return named


def _known_name(file: str) -> str:
    return next((weights.name for weights in known_weights().values() if weights.file == file), "")


def _problem(value: str, architecture: str, data_root: str, parameters: Mapping[str, Any]) -> str:
    """Why a start cannot be used, with the remedy; "" where its file is there."""
    try:
        root: Path | None = find_data_root(data_root)
    except MissingDataError:
        root = None
    if value == IMAGENET:
        folder = str(parameters.get("weights_folder", FOLDER))
        try:
            find_imagenet(architecture, [root / folder] if root else [])
        except CheckpointError as error:
            return f"{error} {_command([architecture])}" if architecture else str(error)
        return ""
    path = Path(value).expanduser()
    # Notebook 05 takes it from the data root, 03 and 06 from the folder where they run.
    of_data = "weights" in parameters and root is not None
    candidates = [root / path] if of_data and root else [path, Path("notebooks") / path]
    if any(candidate.is_file() for candidate in candidates):
        return ""
    published = _known_name(path.name)
    if published:
        return f"{candidates[0]} is not there. {_command([published])}"
    return f"{candidates[0]} is not there{nearest(value, [IMAGENET, RANDOM, *known_weights()])}"


def _command(names: Sequence[str]) -> str:
    return f"Get it: python -m second_look download weights {' '.join(names)}"


def download_weights(
    files: Sequence[WeightsFile],
    folder: Path,
    *,
    confirm: Callable[[str], bool],
    retries: int = 3,
    pause_s: float = 2.0,
) -> list[Path]:
    """Fetch files of weights that are not there, each checked.

    Args:
        files: Of `choose_weights`.
        folder: The data root; they go to its folder `weights`.
        confirm: Asked with the size before anything is fetched; False stops.
        retries: As for `fetch_file`.
        pause_s: As for `fetch_file`.

    Returns:
        The files that were fetched.

    Raises:
        MissingDataError: The network does not answer; names the address.
        DataError: What came is not the file that was expected; it is not kept.
        OutputError: There is not enough room.
    """
    target = folder / FOLDER
    missing = [file for file in files if not (target / file.file).is_file()]
    if not missing:
        return []
    size = sum(file.size for file in missing)
    check_room(target, size)
    listed = "\n".join(f"  {gigabytes(file.size):>8}  {file.address}" for file in missing)
    if not confirm(f"{len(missing)} files, {gigabytes(size)}, to {target}:\n{listed}"):
        return []
    for file in missing:
        _fetch(file, target / file.file, retries, pause_s)
    return [target / file.file for file in missing]


def _fetch(file: WeightsFile, path: Path, retries: int, pause_s: float) -> None:
    checksum = f"sha256:{file.digits}" if file.digits else ""
    fetch_file(path, RemoteFile(file.address, checksum), retries=retries, pause_s=pause_s)
    if file.digits:
        return
    try:
        _try(file, path)
    except (OSError, CheckpointError) as error:
        path.unlink()
        raise DataError(
            f"what came is not the file of {file.name}: {error}.", file.address, "Try again."
        ) from None
    write_text(path.with_name(f"{path.name}.sha256"), f"{sha256(path)}  {path.name}\n")


def _try(file: WeightsFile, path: Path) -> None:
    """Whether a file without a published checksum is what it should be.

    Raises:
        CheckpointError, OSError: It is not.
    """
    if file.name != MATTERPORT:
        load_imagenet(Classifier(file.name), path)
        return
    with h5py.File(path) as content:
        missing = [name for name in _MATTERPORT_LAYERS if name not in content]
    if missing:
        raise CheckpointError(f"no {', '.join(missing)}")

"""Weights of published models: half precision, tensors only, and only those of their card."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import pytest
import torch
from helpers.small_published import card, known_classifier
from second_look.errors import CheckpointError, DataError, MissingDataError, OutputError
from second_look.files import sha256
from second_look.models.classifier import build_classifier
from second_look.models.mask_rcnn import build_detector
from second_look.published.card import read_card, write_card
from second_look.published.weights import (
    Published,
    halved,
    load_model,
    load_models,
    save_model,
    with_half_precision,
)


def test_a_model_says_what_it_said_when_it_was_saved(tmp_path: Path) -> None:
    network = build_classifier("small", seed=3).train()
    network(torch.rand(4, 1, 64, 64))  # statistics of the normalisation that are not 0 and 1
    model = with_half_precision(Published(card(), network.eval()))
    saved = save_model(model, tmp_path)
    loaded = load_model(tmp_path / "image.json")
    assert loaded.card == saved
    assert saved.sha256 == sha256(tmp_path / "image.safetensors")
    pixels = torch.rand(2, 1, 64, 32)
    with torch.inference_mode():
        assert torch.equal(loaded.classifier(pixels), model.classifier(pixels))
    assert not loaded.network.training


def test_a_detector_comes_back(tmp_path: Path) -> None:
    network = build_detector("small", detections=5).eval()
    model = with_half_precision(Published(card("detector"), network))
    save_model(model, tmp_path)
    state = load_models(tmp_path)["detector"].network.state_dict()
    for name, tensor in network.state_dict().items():
        assert torch.equal(state[name], tensor), name


def test_half_precision_keeps_whole_numbers_and_large_values() -> None:
    state = {"count": torch.tensor(7), "large": torch.tensor([1e6]), "plain": torch.tensor([0.5])}
    half = halved(state)
    assert half["count"].dtype == torch.int64
    assert half["large"].item() == 1e6
    assert half["plain"].dtype == torch.float16


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    save_model(known_classifier(), tmp_path)
    return tmp_path / "image.json"


def test_other_weights_are_refused_by_name(saved: Path) -> None:
    save_model(Published(card(), build_classifier("small", seed=9)), saved.parent / "other")
    (saved.parent / "other" / "image.safetensors").replace(saved.parent / "image.safetensors")
    with pytest.raises(CheckpointError, match=r"image.safetensors: these are not the weights of"):
        load_model(saved)


def test_weights_of_another_architecture_are_refused(saved: Path) -> None:
    content = json.loads(saved.read_text(encoding="utf-8"))
    saved.write_text(json.dumps({**content, "architecture": "mobilenet_v2"}), encoding="utf-8")
    with pytest.raises(CheckpointError, match="does not fit the mobilenet_v2"):
        load_model(saved)


def test_pickles_are_never_read(saved: Path) -> None:
    """A file that would run code if it were unpickled is refused by its name, then by its form."""
    evil = saved.parent / "image.safetensors"
    evil.write_bytes(pickle.dumps(print))
    content = read_card(saved)
    write_card(saved, type(content)(**{**vars(content), "sha256": sha256(evil)}))
    with pytest.raises(CheckpointError, match="cannot be read as weights"):
        load_model(saved)
    write_card(saved, type(content)(**{**vars(content), "weights": "image.pt"}))
    with pytest.raises(CheckpointError, match=r"no \.safetensors file beside the card"):
        load_model(saved)


def test_weights_beyond_the_folder_are_refused(saved: Path) -> None:
    content = read_card(saved)
    write_card(saved, type(content)(**{**vars(content), "weights": "../image.safetensors"}))
    with pytest.raises(CheckpointError, match="beside the card"):
        load_model(saved)


def test_missing_files_are_named(saved: Path, tmp_path: Path) -> None:
    (saved.parent / "image.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"image\.safetensors: there is no such file"):
        load_model(saved)
    (tmp_path / "empty").mkdir()
    with pytest.raises(MissingDataError, match="outputs/reference/cbis_mass"):
        load_models(tmp_path / "empty")


def test_a_damaged_card_stops_the_set(saved: Path) -> None:
    saved.write_text("{}", encoding="utf-8")
    with pytest.raises(DataError, match="expected the card"):
        load_models(saved.parent)


def test_too_large_a_network_is_not_published(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="more than the 0 MB"):
        save_model(known_classifier(), tmp_path, most_bytes=1000)
    assert not (tmp_path / "image.safetensors").exists()

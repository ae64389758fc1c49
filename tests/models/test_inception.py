"""Features of Inception: those of torchvision's own network, whatever the way in."""

from __future__ import annotations

import pytest
import torch
from second_look.errors import CheckpointError, ParameterError
from second_look.models.inception import SIZE, Inception
from second_look.studies.gan.features import feature_space
from torchvision.models import inception_v3, resnet18
from torchvision.transforms.functional import normalize


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = inception_v3(weights=None, init_weights=False)
    path = tmp_path_factory.mktemp("weights") / "inception_v3_google-0cc3c7bd.pth"
    torch.save(network.state_dict(), path)
    return path


def test_features_are_those_before_torchvisions_last_layer(weights):
    grey = torch.rand((2, 1, SIZE, SIZE), generator=torch.Generator().manual_seed(1))
    reference = inception_v3(weights=None, init_weights=False, transform_input=True).eval()
    reference.load_state_dict(torch.load(weights, weights_only=True))
    reference.fc = torch.nn.Identity()
    # As torchvision wants pictures: with the mean and deviation of ImageNet's colours.
    colours = normalize(grey.expand(-1, 3, -1, -1), (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    with torch.no_grad():
        expected = reference(colours)
    features = Inception(weights).features(grey)
    assert features.shape == (2, 2048)
    scale = expected.abs().max()
    assert scale > 0
    torch.testing.assert_close(features / scale, expected / scale, atol=1e-4, rtol=0)


def test_inception_without_its_weights_says_where_they_are(weights, tmp_path, phantom_data):
    with pytest.raises(CheckpointError, match=r"no such file of weights. Download https://"):
        Inception(tmp_path / "none.pth")
    torch.save(resnet18(weights=None).state_dict(), tmp_path / "other.pth")
    with pytest.raises(CheckpointError, match="does not fit the inception_v3"):
        Inception(tmp_path / "other.pth")
    how = {"size": 96, "steps": 1, "folder": tmp_path, "seed": 0, "architecture": "inception_v3"}
    with pytest.raises(ParameterError, match="inception_v3 comes with weights only"):
        feature_space(phantom_data, None, weights=None, **how)
    pictures = torch.rand((3, 40, 40)).numpy()
    assert feature_space(phantom_data, None, weights=weights, **how)(pictures).shape == (3, 2048)

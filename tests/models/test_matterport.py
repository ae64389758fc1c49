"""Matterport's Keras file: read layer by layer, each kind of layer against its own arithmetic."""

from __future__ import annotations

import h5py
import numpy as np
import pytest
import torch
from second_look.errors import DataError
from second_look.models.mask_rcnn import build_detector
from second_look.models.matterport import (
    OUTPUT_LAYERS,
    converted,
    keras_layers,
    load_matterport,
    opened,
)
from second_look.models.resnet_matterport import ProposalHead, StoredBatchNorm
from torch import nn

RPN = ("rpn_conv_shared", "rpn_class_raw", "rpn_bbox_pred")
STATISTICS = ("gamma", "beta", "moving_mean", "moving_variance")


def keras_shapes():
    """(layer, weight) -> shape in the file, written out from the architecture, 81 classes."""
    shapes = {}

    def conv(name, side, channels_in, channels_out):
        shapes[name, "kernel"], shapes[name, "bias"] = (
            (side, side, channels_in, channels_out),
            (channels_out,),
        )

    def norm(name, channels):
        shapes.update({(name, weight): (channels,) for weight in STATISTICS})

    conv("conv1", 7, 3, 64)
    norm("bn_conv1", 64)
    channels_in = 64
    for stage, letters in ((2, "abc"), (3, "abcd"), (4, "abcdefghijklmnopqrstuvw"), (5, "abc")):
        width = 2 ** (stage + 4)
        for letter in letters:
            layer, stats = f"res{stage}{letter}_branch", f"bn{stage}{letter}_branch"
            conv(f"{layer}2a", 1, channels_in, width)
            conv(f"{layer}2b", 3, width, width)
            conv(f"{layer}2c", 1, width, 4 * width)
            for part, channels in (("2a", width), ("2b", width), ("2c", 4 * width)):
                norm(f"{stats}{part}", channels)
            if letter == "a":
                conv(f"{layer}1", 1, channels_in, 4 * width)
                norm(f"{stats}1", 4 * width)
            channels_in = 4 * width
    for level, channels in ((2, 256), (3, 512), (4, 1024), (5, 2048)):
        conv(f"fpn_c{level}p{level}", 1, channels, 256)
        conv(f"fpn_p{level}", 3, 256, 256)
    conv("rpn_conv_shared", 3, 256, 512)
    conv("rpn_class_raw", 1, 512, 6)
    conv("rpn_bbox_pred", 1, 512, 12)
    conv("mrcnn_class_conv1", 7, 256, 1024)
    conv("mrcnn_class_conv2", 1, 1024, 1024)
    norm("mrcnn_class_bn1", 1024)
    norm("mrcnn_class_bn2", 1024)
    shapes["mrcnn_class_logits", "kernel"] = (1024, 81)
    shapes["mrcnn_class_logits", "bias"] = (81,)
    shapes["mrcnn_bbox_fc", "kernel"], shapes["mrcnn_bbox_fc", "bias"] = (1024, 324), (324,)
    for index in range(1, 5):
        conv(f"mrcnn_mask_conv{index}", 3, 256, 256)
        norm(f"mrcnn_mask_bn{index}", 256)
    conv("mrcnn_mask_deconv", 2, 256, 256)
    conv("mrcnn_mask", 1, 256, 81)
    return shapes


def write_keras(path, shapes):
    """A file of that layout in which each weight is one number; returns (layer, weight) -> it."""
    values = {}
    with h5py.File(path, "w") as file:
        for number, ((layer, weight), shape) in enumerate(shapes.items(), start=1):
            group = f"rpn_model/{layer}" if layer in RPN else f"{layer}/{layer}"
            values[layer, weight] = float(number) / 1024
            file.create_dataset(
                f"{group}/{weight}:0", shape, "f4", fillvalue=values[layer, weight], chunks=True
            )
        file.attrs["layer_names"] = [b"input_image", *(key[0].encode() for key in shapes)]
    return values


@pytest.fixture(scope="module")
def detector():
    with torch.device("meta"):
        network = build_detector("paper")
    network.to_empty(device="cpu")
    for tensor in network.state_dict().values():  # whatever lay in memory may be no number at all
        tensor.fill_(0.5)
    return network


def test_every_layer_of_the_file_lands_in_its_module(detector, tmp_path):
    path = tmp_path / "mask_rcnn_coco.h5"
    values = write_keras(path, keras_shapes())
    with torch.no_grad():
        for parameter in detector.roi_heads.box_predictor.parameters():
            parameter.fill_(-1)
    report = load_matterport(detector, path)
    names = dict(zip(STATISTICS, ("weight", "bias", "running_mean", "running_var"), strict=True))
    names |= {"kernel": "weight", "bias": "bias"}
    layers = keras_layers(detector)
    for (layer, weight), value in values.items():
        target = getattr(layers[layer], names[weight])
        if layer not in OUTPUT_LAYERS:
            assert target.min().item() == target.max().item() == value, layer
    assert detector.roi_heads.box_predictor.mrcnn_class_logits.weight.max().item() == -1
    assert len(report) == len(values)
    assert set(report.loc[~report["loaded"], "layer"]) == set(OUTPUT_LAYERS)
    assert report.loc[report["layer"] == "conv1", "shape"].iloc[0] == "(7, 7, 3, 64)"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda shapes: shapes.pop(("res4w_branch2c", "kernel")), "res4w_branch2c/kernel is mis"),
        (lambda shapes: shapes.update({("extra", "kernel"): (1, 1)}), "extra/kernel is not known"),
        (
            lambda shapes: shapes.update({("fpn_p2", "kernel"): (3, 3, 256, 128)}),
            r"fpn_p2/kernel has shape \(3, 3, 256, 128\), wanted for \(256, 256, 3, 3\)",
        ),
    ],
)
def test_a_file_of_another_architecture_is_named_and_changes_nothing(
    detector, tmp_path, change, message
):
    shapes = keras_shapes()
    change(shapes)
    write_keras(tmp_path / "other.h5", shapes)
    with torch.no_grad():
        detector.backbone.conv1.weight.fill_(7)
    with pytest.raises(DataError, match=message):
        load_matterport(detector, tmp_path / "other.h5")
    assert detector.backbone.conv1.weight.max().item() == 7


def test_classes_that_do_not_fit_are_named_where_all_is_to_be_loaded(detector, tmp_path):
    write_keras(tmp_path / "coco.h5", keras_shapes())
    with pytest.raises(DataError, match="mrcnn_class_logits/kernel has shape"):
        load_matterport(detector, tmp_path / "coco.h5", leave_out=())


def test_a_damaged_file_is_named_and_nothing_is_loaded(detector, tmp_path):
    path = tmp_path / "coco.h5"
    write_keras(path, keras_shapes())
    name = "mrcnn_mask_conv4/mrcnn_mask_conv4/kernel:0"
    with h5py.File(path, "r+") as file:
        values = file[name][()]
        del file[name]
        chunk = file.create_dataset(name, data=values, compression="gzip").id.get_chunk_info(0)
    content = bytearray(path.read_bytes())
    content[chunk.byte_offset : chunk.byte_offset + chunk.size] = bytes(chunk.size)
    path.write_bytes(content)
    initial = {name: value.clone() for name, value in detector.state_dict().items()}
    with pytest.raises(DataError, match=r"coco\.h5: is damaged"):
        load_matterport(detector, path)
    final = detector.state_dict()
    assert all(torch.equal(initial[name], final[name]) for name in initial)


def replaced(path, values):
    """The file with another array for one weight."""
    name = "conv1/conv1/bias:0"
    with h5py.File(path, "r+") as file:
        del file[name]
        file[name] = values


def cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda path: replaced(path, np.zeros(64, dtype=np.int32)), "conv1/bias holds no decimal"),
        (lambda path: replaced(path, np.zeros(64, dtype=complex)), "conv1/bias holds no decimal"),
        (lambda path: replaced(path, [b"a"] * 64), "conv1/bias holds no decimal"),
        (lambda path: replaced(path, h5py.Empty("f4")), "conv1/bias holds no decimal"),
        (lambda path: replaced(path, np.full(64, np.nan, np.float32)), "conv1 are not finite"),
        (cut, "cannot be read as HDF5"),
        (lambda path: path.write_bytes(b""), "cannot be read as HDF5"),
    ],
    ids=["integers", "complex", "text", "empty", "NaN", "cut", "0 bytes"],
)
def test_a_malformed_file_is_named_and_nothing_is_loaded(detector, tmp_path, spoil, message):
    path = tmp_path / "mask_rcnn_coco.h5"
    write_keras(path, keras_shapes())
    spoil(path)
    with torch.no_grad():
        detector.backbone.conv1.weight.fill_(7)
    with pytest.raises(DataError, match=rf"mask_rcnn_coco\.h5: .*{message}"):
        load_matterport(detector, path)
    assert detector.backbone.conv1.weight.max().item() == 7


def test_what_is_no_hdf5_is_named(tmp_path):
    path = tmp_path / "mask_rcnn_coco.h5"
    path.write_bytes(b"<html>not found</html>")
    with pytest.raises(DataError, match="cannot be read as HDF5"), opened(path):
        pass


# ------------------------------------------------------------------ one layer of each kind


def test_a_convolution_computes_what_keras_writes_down():
    rng = np.random.default_rng(0)
    kernel, x = rng.normal(size=(3, 3, 2, 4)), rng.normal(size=(6, 5, 2))
    layer = nn.Conv2d(2, 4, 3, bias=False).double()
    layer.weight.data = converted(kernel, "conv1", layer).double()
    expected = np.zeros((4, 3, 4))  # valid: 6 - 2 rows, 5 - 2 cols
    for row, col in np.ndindex(4, 3):
        for tap in np.ndindex(3, 3, 2):
            expected[row, col] += x[row + tap[0], col + tap[1], tap[2]] * kernel[tap]
    result = layer(torch.from_numpy(x.transpose(2, 0, 1))[None])[0]
    np.testing.assert_allclose(result.detach().numpy().transpose(1, 2, 0), expected, atol=1e-5)


def test_a_transposed_convolution_computes_what_keras_writes_down():
    rng = np.random.default_rng(1)
    kernel, x = rng.normal(size=(2, 2, 4, 3)), rng.normal(size=(3, 2, 3))  # (…, out, in)
    layer = nn.ConvTranspose2d(3, 4, 2, 2, bias=False).double()
    layer.weight.data = converted(kernel, "mrcnn_mask_deconv", layer).double()
    expected = np.zeros((6, 4, 4))
    for row, col, row_step, col_step in np.ndindex(3, 2, 2, 2):
        expected[2 * row + row_step, 2 * col + col_step] = kernel[row_step, col_step] @ x[row, col]
    result = layer(torch.from_numpy(x.transpose(2, 0, 1))[None])[0]
    np.testing.assert_allclose(result.detach().numpy().transpose(1, 2, 0), expected, atol=1e-5)


def test_a_dense_layer_computes_what_keras_writes_down():
    rng = np.random.default_rng(2)
    kernel, x = rng.normal(size=(5, 3)), rng.normal(size=(2, 5))
    layer = nn.Linear(5, 3, bias=False).double()
    layer.weight.data = converted(kernel, "mrcnn_class_logits", layer).double()
    np.testing.assert_allclose(layer(torch.from_numpy(x)).detach().numpy(), x @ kernel, atol=1e-5)


def test_batch_normalisation_computes_what_keras_writes_down():
    rng = np.random.default_rng(3)
    gamma, beta, mean = rng.normal(size=(3, 2))
    variance, x = rng.uniform(0.1, 2, 2), rng.normal(size=(4, 3, 2))
    layer = StoredBatchNorm(2).double()
    for name, value in zip(
        ("weight", "bias", "running_mean", "running_var"), (gamma, beta, mean, variance),
        strict=True,
    ):  # fmt: skip
        getattr(layer, name).data = converted(value, "bn_conv1", layer).double()
    expected = gamma * (x - mean) / np.sqrt(variance + 1e-3) + beta
    result = layer(torch.from_numpy(x.transpose(2, 0, 1))[None])[0]
    np.testing.assert_allclose(result.detach().numpy().transpose(1, 2, 0), expected, atol=1e-5)


def test_offsets_change_from_rows_first_to_columns_first():
    """Keras gives dy, dx, dh, dw for each anchor in turn; torchvision reads dx, dy, dw, dh."""
    bias = np.arange(8, dtype=np.float32)
    offsets = converted(bias, "rpn_bbox_pred", nn.Conv2d(1, 8, 1))
    assert offsets.tolist() == [1, 0, 3, 2, 5, 4, 7, 6]


def test_the_chance_of_an_object_is_keras_softmax():
    torch.manual_seed(0)
    head = ProposalHead(3)
    level = torch.randn(1, 256, 2, 3)
    with torch.no_grad():
        logits = head([level])[0][0]
        raw = head.rpn_class_raw(head.rpn_conv_shared(level).relu())[0].numpy()
    pairs = raw.transpose(1, 2, 0).reshape(2, 3, 3, 2)  # rows, cols, anchors, (background, object)
    softmax = np.exp(pairs) / np.exp(pairs).sum(axis=-1, keepdims=True)
    chances = logits[0].sigmoid().numpy().transpose(1, 2, 0)
    np.testing.assert_allclose(chances, softmax[..., 1], atol=1e-6)

"""Notebook 03 in small: layers, sets of patches, trainings on phantoms, samples and measures."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from second_look import paper
from second_look.batches.sampler import cut
from second_look.catalogue import patient_keys
from second_look.errors import CheckpointError, DataError
from second_look.models.dcgan import DcganSettings
from second_look.models.generator import make_samples
from second_look.models.layer_table import parameters
from second_look.models.progressive import Critic, Generator, ProgressiveSettings
from second_look.outputs import load_results, open_run
from second_look.preparing.patches import HALF_RULE, window_table
from second_look.studies.gan import dcgan as study
from second_look.studies.gan import generators as files
from second_look.studies.gan import quality as quality
from second_look.studies.gan.features import feature_space
from second_look.studies.windows import training_windows
from second_look.training.gan import DcganTraining, ProgressiveTraining

SIZE = 32
CLASSES = ["benign", "malignant"]
HOW = {
    "dcgan": DcganTraining(DcganSettings(size=SIZE, latent=16), learning_rate=1e-3),
    "progressive": ProgressiveTraining(
        ProgressiveSettings(size=16, latent=8, max_channels=8, base=128, start=8), average=0.9
    ),
}
EPOCHS = {"dcgan": study.Schedule(20, 10, 16), "progressive": study.Schedule(2, 1, 16)}


@pytest.fixture(scope="module")
def data(phantom_data):
    return phantom_data


@pytest.fixture(scope="module")
def windows(data):
    table = window_table(data.prepared, data.catalogue, size=64, stride=16, rule=HALF_RULE)
    return training_windows(table)


@pytest.fixture(scope="module")
def sets(data, windows):
    return study.choose_patch_sets(data, windows, CLASSES, count=64, size=64, seed=0)


@pytest.fixture(scope="module")
def outputs(tmp_path_factory):
    return tmp_path_factory.mktemp("run")


@pytest.fixture(scope="module")
def gans(data, sets, outputs):
    return {
        name: study.train_gans(data, sets, how, EPOCHS[name], outputs / "checkpoints", seed=0)
        for name, how in HOW.items()
    }


@pytest.fixture(scope="module")
def strips(gans):
    return study.strip_table(gans)


def test_every_cell_of_both_figures_agrees() -> None:
    layers = study.printed_layers()
    assert len(layers) == 23 + 8
    assert layers["same"].all()
    assert layers.groupby("figure")["parameters"].sum().tolist() == [33_081_761, 314_241]


def test_a_cell_that_differs_is_seen(monkeypatch) -> None:
    wrong = replace(paper.FIG_1B[3], parameters=51_265)
    monkeypatch.setattr(paper, "FIG_1B", (*paper.FIG_1B[:3], wrong, *paper.FIG_1B[4:]))
    layers = study.printed_layers()
    assert layers.loc[~layers["same"], "layer"].tolist() == ["conv2d_7"]


def test_growing_layers_add_up_to_the_networks() -> None:
    settings = HOW["progressive"].network
    totals = study.progressive_layers(settings).groupby("network")["parameters"].sum()
    assert totals["generator"] == parameters(Generator(settings))
    assert totals["critic"] == parameters(Critic(settings))


def test_sets_are_of_training_patients_and_counted(data, windows, sets) -> None:
    table = sets.table().set_index("label")
    counts = windows["label"].value_counts()
    assert table["windows"].to_dict() == {name: counts[name] for name in CLASSES}
    assert (table["patches"] == np.minimum(64, table["windows"])).all()
    train = data.catalogue.images.query("split == 'train'")["patient_id"]
    assert set(sets.windows["benign"]["patient_id"]) <= set(train)
    assert 0 <= sets.scaling.low < sets.scaling.high <= 1
    anything = study.choose_patch_sets(data, windows, ["all"], count=10, size=64, seed=0)
    assert anything.table().loc[0, "windows"] == len(windows)


def test_a_class_that_is_not_there(data, windows) -> None:
    with pytest.raises(DataError, match="no patch of class 'unknown'"):
        study.choose_patch_sets(data, windows, ["unknown"], count=4, size=64, seed=0)
    with pytest.raises(DataError, match="expected generators among"):
        study.recipes(["vae"], **HOW)
    assert list(study.recipes(["dcgan"], **HOW)) == ["dcgan"]


def test_training_on_phantoms_lowers_the_distance_of_texture(data, strips, sets) -> None:
    table = quality.progress(data, strips, sets.windows, seed=0)
    for label in CLASSES:
        own = table[(table["architecture"] == "dcgan") & (table["label"] == label)]
        assert own["epoch"].tolist() == [0, 10, 20]
        start, _, end = own["swd"]
        assert end < 0.75 * start


def test_strips_and_films_are_samples_of_their_time(gans, strips) -> None:
    assert (strips.groupby("architecture")["epoch"].max() == [20, 2]).all()
    last = study.samples_at(strips, "dcgan", "benign", 20)
    gan = gans["dcgan"]["benign"]
    made = make_samples(gan.generator, gan.patches.scaling, range(4), seed=0)[:, 0]
    np.testing.assert_allclose(last[:4], made.numpy(), atol=1e-3)
    films = study.film(strips, most=2)
    assert [time for time, _ in films["dcgan, benign"]] == ["0 epochs", "20 epochs"]
    np.testing.assert_array_equal(films["dcgan, benign"][1][1], last[0])
    real = dict.fromkeys(CLASSES, last)
    shown = study.samples_of_figures(strips, real, early=10, late=20, growing=2)
    assert list(shown) == [
        "real patches",
        "figure 2a: DCGAN, 10 epochs",
        "figure 2b: DCGAN, 20 epochs",
        "progressive growing, 2 epochs",
    ]


def test_real_examples_are_the_first_windows_of_each_class_as_they_are(data, sets) -> None:
    found = study.real_examples(data, sets, size=64, count=3)
    assert list(found) == CLASSES
    bits = data.prepared.images.set_index("image_id")["bits"]
    for label, windows in sets.windows.items():
        assert len(windows) > 3
        wanted = [
            data.prepared.pixels(one.image_id)[one.row : one.row + 64, one.col : one.col + 64]
            / (2 ** bits[one.image_id] - 1)
            for one in windows.iloc[:3].itertuples()
        ]
        np.testing.assert_allclose(found[label], wanted, rtol=1e-6)
    assert study.real_examples(data, sets, size=32)["benign"].shape == (16, 32, 32)


def test_losses_are_told_by_epoch(gans) -> None:
    losses = study.loss_table(gans)
    assert set(losses["name"]) == {"discriminator", "generator", "penalty"}
    assert losses.groupby("architecture")["epoch"].max().tolist() == [20, 2]


def test_later_notebooks_find_the_generators(gans, outputs) -> None:
    table = files.generator_table(gans, outputs)
    assert len(table) == 4
    for name in HOW:
        found = files.load_generators(table, outputs, name)
        for label, gan in gans[name].items():
            generator, scaling = found[label]
            assert scaling == gan.patches.scaling
            ours = make_samples(gan.generator, scaling, range(3), seed=1)
            theirs = make_samples(generator, scaling, range(3), seed=1)
            np.testing.assert_allclose(theirs.numpy(), ours.numpy(), atol=1e-5)
    with pytest.raises(DataError, match="there is no generator 'vae'; there are: dcgan"):
        files.load_generators(table, outputs, "vae")
    swapped = table.assign(weights=table["weights"].iloc[::-1].to_numpy())
    with pytest.raises(CheckpointError, match="another architecture"):
        files.load_generators(swapped, outputs, "dcgan")
    run = open_run(outputs, notebook="04_test")
    run.parquet(table, files.GENERATORS)
    assert set(files.open_generators(run, "dcgan")) == set(CLASSES)


def test_every_measure_stands_beside_its_floor(data, windows, gans, sets, outputs) -> None:
    features = feature_space(
        data, windows, architecture="small", weights=None, size=32, steps=3, folder=outputs, seed=0
    )
    table = quality.measure_all(data, gans, sets.windows, features, count=16, seed=0)
    assert len(table) == 4 * len(quality.MEASURES)
    assert np.isfinite(table[["samples", "real"]]).all(axis=None)
    short = table[(table["architecture"] == "progressive") & (table["label"] == "benign")]
    short = short.set_index("measure")
    assert short.loc["swd", "samples"] > short.loc["swd", "real"]
    again = quality.measure_all(data, gans, sets.windows, features, count=16, seed=0)
    pd.testing.assert_frame_equal(again, table)
    text = quality.findings(table, study.loss_table(gans), synthetic=True)
    assert "**dcgan**" in text
    assert "phantoms" in text


def test_real_patches_in_the_place_of_samples_get_the_floor(data, sets) -> None:
    windows = sets.windows["benign"]
    real = quality.real_halves(data, windows, size=32, count=20, seed=0)
    seen = quality.learnt_from(data, windows, size=32)
    assert len(seen.pictures) == len(windows) > 20
    table = quality.measure(
        real, seen, real.second, lambda p: p.reshape(len(p), -1)[:, ::64], seed=0
    )
    alike = table[~table["measure"].isin(["nearest", "copies"])]
    np.testing.assert_allclose(alike["samples"], alike["real"])
    # Real patches lie among the real ones they are compared with: perfect copies.
    copies = table.set_index("measure").loc["copies"]
    assert copies["samples"] == 1
    assert copies["real"] < 0.5
    one = windows.assign(patient_id="x")
    with pytest.raises(DataError, match="one patient only"):
        quality.real_halves(data, one, size=32, count=4, seed=0)


def test_halves_are_of_different_patients_of_all_data_sets(data, sets) -> None:
    windows = sets.windows["benign"]
    real = quality.real_halves(data, windows, size=32, count=1000, seed=0)
    first = windows[~patient_keys(windows).isin(real.patients)]
    pictures = np.concatenate([real.first, real.second])
    # Cut to the size of the smaller half: the first holds patches of the other patients only.
    others = cut(data.prepared, first, size=32)
    assert all((others == picture).all(axis=(1, 2)).any() for picture in real.first)
    assert len(pictures) == 2 * len(real.first)
    # One name in two data sets is two women: there are two groups.
    twice = windows.assign(patient_id="x", dataset=np.resize(["a", "b"], len(windows)))
    assert set(quality.real_halves(data, twice, size=32, count=4, seed=0).patients) <= {
        "a\nx",
        "b\nx",
    }


def test_copies_are_found_among_all_that_was_learnt_from(data, sets) -> None:
    windows = sets.windows["benign"]
    real = quality.real_halves(data, windows, size=32, count=4, seed=0)
    seen = quality.learnt_from(data, windows, size=32)
    everything = cut(data.prepared, windows, size=32)
    measured = np.concatenate([real.first, real.second])
    beyond = [one for one in everything if not (measured == one).all(axis=(1, 2)).any()]
    table = quality.measure(
        real, seen, np.stack(beyond[:4]), lambda p: p.reshape(len(p), -1)[:, ::64], seed=0
    ).set_index("measure")
    assert table.loc["copies", "samples"] == 1
    assert table.loc["nearest", "samples"] == pytest.approx(0, abs=1e-7)


def test_the_nearest_real_patches_are_shown(data, gans, sets) -> None:
    pairs = quality.nearest_of_all(data, gans, sets.windows, count=3, seed=0)
    assert next(iter(pairs)) == "dcgan benign"
    made, nearest = pairs["dcgan benign"]
    assert made.shape == nearest.shape == (3, SIZE, SIZE)


def test_spectra_have_one_line_a_set(data, gans, sets) -> None:
    table = quality.spectra(data, gans, sets.windows, count=8, seed=0)
    lines = table.groupby(["architecture", "label", "size"]).size()
    assert lines.to_dict() == {
        (name, label, size): size // 2
        for label in CLASSES
        for name, size in (("dcgan", 32), ("progressive", 16), ("real", 32), ("real", 16))
    }


def test_figures_2_become_numbers_and_words(tmp_path) -> None:
    rows = [
        ("dcgan", label, epoch, swd, 10.0)
        for label in CLASSES
        for epoch, swd in ((0, 90.0), (50, 40.0), (1000, 12.0))
    ]
    table = pd.DataFrame(rows, columns=["architecture", "label", "epoch", "swd", "floor"])
    judged = quality.judge_figures(table, epochs=(50, 1000))
    assert {claim: said.value for claim, said in judged.items()} == {"fig-2a": 4, "fig-2b": 1.2}
    assert judged["fig-2a"].verdict.startswith("as the paper: insufficient")
    assert judged["fig-2b"].verdict == (
        "undecided: texture 1.2 times as far as real patches are, which says nothing of diagnosis"
    )
    run = open_run(tmp_path, notebook="03_dcgan")
    quality.record_figures(run, judged, synthetic=True)
    assert {row["verdict"] for row in load_results(tmp_path)} == {paper.SYNTHETIC}
    quality.record_figures(run, judged, synthetic=False)
    assert load_results(tmp_path)[0]["verdict"].startswith("as the paper")
    assert quality.judge_figures(table.iloc[:0], epochs=(50, 1000)) == {}

# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 03 · DCGAN: can a generator make realistic patches of mammograms?
#
# In the paper's first experiment, a DCGAN whose **generator has 33,081,761 parameters and whose
# discriminator has 314,241** is trained on **4000 patches of 256×256** "across three classes of
# images". By eye, its samples after **50 and 1000 epochs** are "clearly insufficient for breast
# cancer diagnosis". This notebook asks:
#
# 1. Are the networks here the paper's, layer by layer?
# 2. What do samples look like after few and after many epochs, and are those of a stronger
#    generator (progressive growing, the paper's ref 22) better?
# 3. How far are samples from original patches, compared with the distance between original patches
#    of different patients?
# 4. Do the generators collapse, or copy training patches?

# %% tags=["parameters"]
outputs: str = "../outputs/lab"  # folder of the run, with the outputs of notebooks 01 and 02
patch_size: int = 64  # window size, px, if notebook 02 has not made the windows [16, 1024]
classes: list[str] = ["normal", "benign", "malignant"]  # one generator each; [all]: one for all
patches: int = 96  # training patches per class; paper: 4000, of one or all classes [8, 1000000]
generators: list[str] = ["dcgan"]  # generators to train {dcgan | progressive}
dcgan_size: int = 32  # px, size of the DCGAN's patches after resampling {16|32|64|128|256}
latent_size: int = 100  # random numbers per sample of the DCGAN; the paper has 4000 [1, 100000]
slope: float = 0.2  # of LeakyReLU; not in the paper, 0.2 in the DCGAN paper [0, 1]
dropout: float = 0.25  # of the discriminator; not in the paper, none in the DCGAN paper [0, 0.9]
output_activation: str = "tanh"  # not in the paper, tanh in its ref 14 {tanh|sigmoid|linear}
learning_rate: float = 2e-4  # of Adam; not in the paper, 0.0002 in the DCGAN paper [1e-7, 1]
beta1: float = 0.5  # of Adam; not in the paper, 0.5 in the DCGAN paper [0, 0.999]
batch_size: int = 16  # patches per batch; not in the paper, 128 in the DCGAN paper [2, 4096]
early_epochs: int = 10  # of figure 2a, 50 in the paper; also between saved samples [1, 100000]
epochs: int = 60  # of figure 2b, 1000 in the paper [1, 100000]
progressive_size: int = 32  # px, size of its patches {8|16|32|64|128|256|512|1024}
progressive_start_size: int = 8  # px that it begins with {4|8|16|32|64|128|256}
progressive_latent_size: int = 64  # random numbers per sample; 512 in its publication [1, 4096]
progressive_max_channels: int = 32  # of its widest layers; 512 in the publication [1, 1024]
progressive_base: int = 1024  # channels times width elsewhere; 8192 in the publication [16, 32768]
progressive_loss: str = "wgan-gp"  # {wgan-gp | nonsaturating}
progressive_learning_rate: float = 1e-3  # of Adam; 0.001 in the publication [1e-7, 1]
progressive_batch_size: int = 16  # patches per batch [2, 4096]
progressive_early_epochs: int = 10  # epochs between saved samples [1, 100000]
progressive_epochs: int = 30  # in all, shared by the resolutions [1, 100000]
seeds: list[int] = [0]  # a training of all generators each; the first one is shown [0, 1000000]
max_measured_patches: int = 64  # most original patches, and samples, of each kind [4, 100000]
feature_architecture: str = "small"  # small, inception_v3, mobilenet_v2, or of timm
feature_weights: str = ""  # file of its ImageNet weights; empty: train it on the patches' classes
feature_size: int = 64  # px, its input size [32, 1024]
feature_steps: int = 30  # updates of its training [1, 1000000]
seed: int = 0  # of everything random [0, 1000000]

# %% tags=["train"]
from pathlib import Path

from IPython.display import Markdown

from second_look.figures import gan as gan_figures
from second_look.figures import style, the_paper
from second_look.models.dcgan import DcganSettings
from second_look.models.progressive import ProgressiveSettings
from second_look.outputs import open_run
from second_look.preparing.dataset import open_dataset, require
from second_look.running.parameters import check_parameters
from second_look.studies.gan import dcgan, gan_claims, quality, walkthrough
from second_look.studies.gan import generators as trained_generators
from second_look.studies.gan.features import feature_space
from second_look.studies.windows import open_windows, training_windows
from second_look.training.gan import DcganTraining, ProgressiveTraining

# %% tags=["train"]
check_parameters("03_dcgan", globals())
style.use_style()
run = open_run(outputs, notebook="03_dcgan")
data = open_dataset(Path(outputs))
run.uses(*data.files)
require(data, outlines=True)

# %% [markdown]
# ## Four samples, step by step
#
# Noise goes in, four pictures come out, and the discriminator says of each how likely it is an
# original. Both networks learn from these numbers: the discriminator so that its probabilities for
# samples fall, the generator so that they rise. **The weights here are random, as before
# training**: the pictures are noise, and the discriminator has no opinion (probabilities near 0.5).

# %%
run.table(
    walkthrough.noise_to_losses(
        DcganSettings(dcgan_size, latent_size, slope, dropout, output_activation), seed=seed
    ),
    "example",
    "From noise to losses, layer by layer: an untrained DCGAN of this notebook's size.",
)

# %% [markdown]
# ## Are these the paper's networks?
#
# The tables are generated from the networks, one row per layer in the order of the forward pass,
# with Keras's names and its way of counting: BatchNorm has four parameters per channel, two of
# which are running statistics. Each cell is shown beside the one printed in the paper.

# %%
layers = dcgan.printed_layers()
run.table(layers[layers["figure"] == "1a"], "fig_1a", "Figure 1a, generator: as built, as printed.")
run.table(layers[layers["figure"] == "1b"], "fig_1b", "Figure 1b, discriminator, likewise.")
counts = layers.groupby("figure")["parameters"].sum()
run.result("fig-1a", int(counts["1a"]), how="counted in the network, as in Keras", figure="fig_1a")
run.result("fig-1b", int(counts["1b"]), how="counted in the network, as in Keras", figure="fig_1b")
Markdown(
    f"**{layers['agrees'].sum()} of {len(layers)} rows agree in every cell**; "
    f"{counts['1a']:,} and {counts['1b']:,} parameters."
)

# %%
run.figure(
    the_paper.layers(layers),
    "layers",
    "Figures 1a and 1b: parameters of each layer, redrawn from the paper's tables and as built.",
)

# %% [markdown]
# What the figures do not specify is a parameter of this notebook; the default is the value of the
# DCGAN paper (ref 14): a slope of 0.2 below zero, a final tanh (so that pictures lie between −1
# and 1), Adam with a learning rate of 0.0002 and β₁ = 0.5, which that paper found to keep the
# training stable. The DCGAN paper has no dropout; the figure shows the layers without their rate,
# and 0.25 leaves most of the signal.
#
# The second generator grows from low to high resolution; each resolution is faded in over the
# previous one. Its critic also sees how much the patches of a batch differ, and samples come from a
# running average of the generator's weights.

# %% tags=["train"]
progressive_network = ProgressiveSettings(
    size=progressive_size, latent_size=progressive_latent_size,
    max_channels=progressive_max_channels, base=progressive_base,
    start=min(progressive_start_size, progressive_size),
)  # fmt: skip

# %%
layers = dcgan.progressive_layers(progressive_network)
run.table(layers, "progressive", "The layers of the progressive networks at full size.")

# %% [markdown]
# ## What are they trained on?
#
# A fixed random set of windows of each class, from the training patients in notebook 02. All
# patches are scaled in the same way: the 0.1 % quantile of the grey levels of all sets becomes −1,
# the 99.9 % quantile becomes 1. Samples are scaled back to the grey levels of a mammogram.

# %% tags=["train"]
windows = training_windows(open_windows(run, data, size=patch_size))
sets = dcgan.choose_patch_sets(data, windows, classes, count=patches, size=patch_size, seed=seed)

# %%
table = sets.table()
run.table(table, "patches", "Windows available, and patches to train on, by class.")
run.result(
    "gan-patches", int(table["patches"].max()), low=int(table["patches"].min()),
    high=int(table["patches"].max()), n=int(table["patches"].sum()), figure="patches",
    how=f"patches per class, fewest to most; {len(table)} classes", synthetic=data.synthetic,
    verdict=dcgan.patches_verdict(table),
)  # fmt: skip
run.result(
    "gan-classes", len(table), n=len(table), how=", ".join(table["label"]), figure="patches",
    synthetic=data.synthetic,
)  # fmt: skip

# %% [markdown]
# ## Training
#
# One generator per class and seed. An interrupted training resumes from its last checkpoint; a
# finished one is only loaded. Pictures and most measures are those of the first seed; how far all
# of them come says how much is luck.

# %% tags=["train"]
dcgan_network = DcganSettings(dcgan_size, latent_size, slope, dropout, output_activation)
recipes = dcgan.select_recipes(
    generators,
    dcgan=DcganTraining(dcgan_network, learning_rate, beta1),
    progressive=ProgressiveTraining(
        progressive_network, progressive_loss, progressive_learning_rate
    ),
)

# %% tags=["train"]
schedules = {
    "dcgan": dcgan.Schedule(epochs, min(early_epochs, epochs), batch_size),
    "progressive": dcgan.Schedule(
        progressive_epochs, progressive_early_epochs, progressive_batch_size
    ),
}
checkpoints = run.folder / "checkpoints"
trainings = [
    {
        name: dcgan.train_gans(data, sets, recipe, schedules[name], checkpoints, seed=training)
        for name, recipe in recipes.items()
    }
    for training in seeds
]
gans = trainings[0]

# %%
losses = dcgan.loss_table(gans)
run.figure(
    gan_figures.losses(losses), "losses",
    "Losses of both networks; they do not measure the quality of samples.",
)  # fmt: skip
generator_table = trained_generators.generator_table(gans, run.folder)
run.parquet(generator_table, trained_generators.GENERATORS)
run.wrote(*trained_generators.weight_files(*trainings))

# %% [markdown]
# ## What do the samples look like?
#
# All pictures are on the same grey scale, from black to the brightest level of the original
# patches, without contrast stretching.

# %% tags=["answer"]
white = sets.scaling.high
strips = dcgan.strip_table(gans)
real = dcgan.real_examples(data, sets, size=dcgan_size)
panels = dcgan.samples_of_figures(
    strips, real, early_epochs=early_epochs, epochs=epochs, progressive_epochs=progressive_epochs
)
run.figure(
    gan_figures.panels(panels, white, dcgan.printed_samples(early_epochs, epochs)),
    "samples",
    "Original patches, the samples of figures 2a and 2b and of other generators trained here. The "
    "paper prints its samples as pictures, which have no numbers to redraw them from.",
)

# %%
run.figure(
    gan_figures.sample_history(dcgan.sample_history(strips), white),
    "film",
    "Samples from the same random numbers as training proceeds.",
)

# %% [markdown]
# ## How far are they from original patches?
#
# Each measure is shown with its floor, the same measure for original patches of other patients.
# Features come from a patch classifier that is trained here on the classes of the same original
# patches (or from a network with ImageNet weights, if a file is given). Feature distances can be
# compared between sets of the same size here, but not with published values.

# %% tags=["train"]
features = feature_space(
    data, windows, architecture=feature_architecture, size=feature_size, steps=feature_steps,
    weights=Path(feature_weights) if feature_weights else None, folder=checkpoints, seed=seed,
)  # fmt: skip

# %%
measures = quality.measure_all(
    data, gans, sets.windows, features, count=max_measured_patches, seed=seed
)
run.table(measures, "quality", "Quality of samples; real: the same for patches of other patients.")

# %%
progress = quality.progress(data, dcgan.strip_table(*trainings), sets.windows, seed=seed)
run.figure(
    gan_figures.progress(progress),
    "progress",
    "Distance of texture from original patches during training; dotted: real, of other patients.",
)
run.table(progress, "texture", "The same in numbers, and the controls: other patients, mere noise.")

# %%
spectra = quality.spectra(data, gans, sets.windows, count=max_measured_patches, seed=seed)
run.figure(
    gan_figures.spectra(spectra),
    "spectra",
    "Power spectra, which show missing detail, grain and grid artefacts.",
)

# %% [markdown]
# ## Do they copy?

# %%
pairs = quality.nearest_pairs(data, gans, sets.windows, count=6, seed=seed)
run.figure(
    gan_figures.neighbours(pairs, white),
    "neighbours",
    "Samples and the original patch nearest to each.",
)

# %% [markdown]
# ## Figures 2a and 2b as numbers
#
# The paper assesses its samples by eye. Here the measure is the distance between the texture of
# samples and of original patches (sliced Wasserstein), divided by its floor, the distance between
# original patches of different patients. A value of 1 would be as good as these; up to 1.5 counts
# as such. It is the mean over the classes, whose generators are one training, since all come from
# one seed; with several seeds the interval is that of trainings. Two controls take the place of the
# samples: the measure must find original patches of yet other patients sufficient, and their pixels
# in random order, the same grey levels without texture, not. Otherwise it can tell nothing.

# %%
budget = {"patches": int(table["patches"].min()), "size in px": dcgan_size}
lines = gan_claims.report_figures(
    run, progress, epochs=(early_epochs, epochs), budget=budget, synthetic=data.synthetic
)
gan_claims.report_newer(run, progress, synthetic=data.synthetic)
Markdown("\n".join(lines))

# %% [markdown]
# ## What was found, and what it does not mean

# %% tags=["answer"]
Markdown(quality.findings(measures, progress, losses, synthetic=data.synthetic))

# %% [markdown]
# **Limits.** No measure here shows that a radiologist would take a sample for a mammogram, or that
# a sample shows what its class should show; notebook 04 tests the latter. Distances depend on the
# number of patches, so they should be compared with their floor only. The paper does not say
# whether its 4000 patches are of one class or of all three, and it gives no batch size. How long
# the generators were trained here is in the parameters above.

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
# # 03 · DCGAN: can a generator draw patches of mammograms?
#
# The paper's first experiment: a DCGAN whose **generator has 33,081,761 parameters and whose
# discriminator has 314,241** learns from **4000 patches of 256×256** "across three classes of
# images". Its samples after **50 and 1000 epochs** are "clearly insufficient for breast cancer
# diagnosis", judged by eye. This notebook asks:
#
# 1. Are these the paper's networks, layer by layer?
# 2. What do samples look like after few and many epochs, and does a stronger generator (progressive
#    growing, the paper's ref 22) draw better ones?
# 3. How far are they from real patches, measured beside how far real patches of different women
#    are from each other?
# 4. Do the generators collapse, or copy?

# %% tags=["parameters"]
outputs: str = "../outputs/lab"  # folder of the run, with what notebooks 01 and 02 left there
patch_size: int = 256  # px, of the windows where notebook 02 has not made them [16, 1024]
classes: list[str] = ["normal", "benign", "malignant"]  # a generator each; [all]: one for all
patches: int = 32  # patches a class to learn from; 4000 in the paper, of one or all [8, 1000000]
generators: list[str] = ["dcgan", "progressive"]  # which ones learn {dcgan | progressive}
dcgan_size: int = 128  # px, to which patches are brought for the DCGAN {16|32|64|128|256}
latent: int = 100  # random numbers behind a sample of the DCGAN; the paper has 4000 [1, 100000]
slope: float = 0.2  # of LeakyReLU; not in the paper, 0.2 in the DCGAN paper [0, 1]
dropout: float = 0.25  # of the discriminator; not in the paper, none in the DCGAN paper [0, 0.9]
last: str = "tanh"  # last activation; not in the paper, tanh in its ref 14 {tanh|sigmoid|linear}
learning_rate: float = 2e-4  # of Adam; not in the paper, 0.0002 in the DCGAN paper [1e-7, 1]
beta1: float = 0.5  # of Adam; not in the paper, 0.5 in the DCGAN paper [0, 0.999]
batch_size: int = 8  # patches a batch; not in the paper, 128 in the DCGAN paper [2, 4096]
early_epochs: int = 1  # of figure 2a: 50 in the paper; samples are kept every so often [1, 100000]
epochs: int = 2  # of figure 2b: 1000 in the paper [1, 100000]
progressive_size: int = 32  # px of the growing generator {8|16|32|64|128|256|512|1024}
progressive_start: int = 8  # px that it begins with {4|8|16|32|64|128|256}
progressive_latent: int = 64  # random numbers behind its samples; 512 in the publication [1, 4096]
progressive_max_channels: int = 32  # of its widest layers; 512 in the publication [1, 1024]
progressive_base: int = 1024  # channels times width elsewhere; 8192 in the publication [16, 32768]
progressive_loss: str = "wgan-gp"  # {wgan-gp | nonsaturating}
progressive_learning_rate: float = 1e-3  # of Adam; 0.001 in the publication [1e-7, 1]
progressive_batch: int = 16  # patches a batch [2, 4096]
progressive_early: int = 10  # epochs between kept samples [1, 100000]
progressive_epochs: int = 30  # in all, shared by the resolutions [1, 100000]
measured: int = 24  # patches and samples of each kind to measure, at most [4, 100000]
feature_architecture: str = "small"  # {small|mobilenet_v2|resnet18|resnet50|inception_v3}
feature_weights: str = ""  # file of its ImageNet weights; empty: it learns the patches' classes
feature_size: int = 64  # px, to which patches are brought for it [32, 1024]
feature_steps: int = 30  # updates of its training [1, 1000000]
seed: int = 0  # of everything random [0, 1000000]

# %% tags=["train"]
from pathlib import Path

from IPython.display import Markdown

from second_look.preparing.dataset import open_dataset
from second_look.figures import gan as draw
from second_look.figures import style
from second_look.models.dcgan import DcganSettings
from second_look.models.progressive import ProgressiveSettings
from second_look.outputs import open_run
from second_look.studies.gan import dcgan as study
from second_look.studies.gan import quality as quality
from second_look.studies.gan import generators as files
from second_look.studies.gan.features import feature_space
from second_look.studies.windows import open_windows, training_windows
from second_look.training.gan import DcganTraining, ProgressiveTraining

# %% tags=["train"]
style.use_style()
run = open_run(outputs, notebook="03_dcgan")
data = open_dataset(Path(outputs))
run.uses(*data.files)

# %% [markdown]
# ## Are these the paper's networks?
#
# The tables are read off the networks, one row a layer in the order in which a picture runs through
# them, with Keras's names and its way of counting: BatchNorm has four parameters a channel, two of
# which are running statistics. Each cell stands beside the printed one.

# %%
layers = study.printed_layers()
run.table(layers[layers["figure"] == "1a"], "fig_1a", "Figure 1a, the generator: ours and printed.")
run.table(layers[layers["figure"] == "1b"], "fig_1b", "Figure 1b, the discriminator: the same.")
counts = layers.groupby("figure")["parameters"].sum()
run.result("fig-1a", int(counts["1a"]), how="counted in the network, Keras's way", figure="fig_1a")
run.result("fig-1b", int(counts["1b"]), how="counted in the network, Keras's way", figure="fig_1b")
Markdown(
    f"**{layers['same'].sum()} of {len(layers)} rows agree in every cell**; "
    f"{counts['1a']:,} and {counts['1b']:,} parameters."
)

# %% [markdown]
# What the figures leave open is a parameter of this notebook, with the value of the DCGAN paper
# (ref 14) as default: a slope of 0.2 below zero, tanh at the end (so that pictures lie between −1
# and 1), Adam with a learning rate of 0.0002 and β₁ = 0.5, which that paper found to keep the
# training stable. It has no dropout; the figure shows the layer without its rate, and 0.25 leaves
# most of the signal.
#
# The second generator grows from few pixels to many, each resolution faded in over the one before
# it; its critic sees how much the patches of a batch differ, and samples come from an average of
# its weights over the training.

# %% tags=["train"]
growing = ProgressiveSettings(
    size=progressive_size, latent=progressive_latent, max_channels=progressive_max_channels,
    base=progressive_base, start=min(progressive_start, progressive_size),
)  # fmt: skip

# %%
run.table(study.progressive_layers(growing), "progressive", "The growing networks, at full size.")

# %% [markdown]
# ## What do they learn from?
#
# A fixed set of windows of each class, drawn by seed from the training patients of notebook 02. All
# patches are scaled by one rule: the 0.1 % darkest grey level of the sets becomes −1, the 0.1 %
# brightest 1. Samples are scaled back, so that they have grey levels of a mammogram.

# %% tags=["train"]
windows = training_windows(open_windows(run, data, size=patch_size))
sets = study.choose_patch_sets(data, windows, classes, count=patches, size=patch_size, seed=seed)

# %%
table = sets.table()
run.table(table, "patches", "Windows that there are and patches that the generators learn from.")
run.result(
    "gan-patches", int(table["patches"].max()), low=int(table["patches"].min()),
    high=int(table["patches"].max()), n=int(table["patches"].sum()), figure="patches",
    how=f"patches a class, fewest to most; {len(table)} classes", synthetic=data.synthetic,
    verdict=study.patches_verdict(table),
)  # fmt: skip

# %% [markdown]
# ## The trainings
#
# One generator a class. A training that was stopped goes on from its last checkpoint; one that is
# done is only loaded.

# %% tags=["train"]
printed = DcganSettings(dcgan_size, latent, slope, dropout, last)
how = study.recipes(
    generators,
    dcgan=DcganTraining(printed, learning_rate, beta1),
    progressive=ProgressiveTraining(growing, progressive_loss, progressive_learning_rate),
)
schedules = {
    "dcgan": study.Schedule(epochs, min(early_epochs, epochs), batch_size),
    "progressive": study.Schedule(progressive_epochs, progressive_early, progressive_batch),
}
checkpoints = run.folder / "checkpoints"
gans = {
    name: study.train_gans(data, sets, recipe, schedules[name], checkpoints, seed=seed)
    for name, recipe in how.items()
}

# %%
losses = study.loss_table(gans)
run.figure(draw.losses(losses), "losses", "Losses of both networks: no measure of the samples.")
run.parquet(files.generator_table(gans, run.folder), files.GENERATORS)
run.wrote(*files.weight_files(gans))

# %% [markdown]
# ## What do the samples look like?
#
# All pictures are shown at their own grey levels, from black to the brightest level of the real
# patches, without any stretching.

# %%
white = sets.scaling.high
strips = study.strip_table(gans)
real = study.real_examples(data, sets, size=dcgan_size)
shown = study.samples_of_figures(
    strips, real, early=early_epochs, late=epochs, growing=progressive_epochs
)
run.figure(
    draw.panels(shown, white),
    "samples",
    "Figures 2a and 2b beside real patches and the growing generator, one panel a class.",
)

# %%
run.figure(
    draw.film(study.film(strips), white),
    "film",
    "What the same random numbers become while each generator learns.",
)

# %% [markdown]
# ## How far are they from real patches?
#
# Each measure stands beside its floor: the same measure for real patches of other women. Features
# are those of a patch classifier of this project, trained here on the same real patches to tell
# their classes apart (or of a network with ImageNet weights, where a file is given); distances in
# them compare sets of one size with each other, not with published ones.

# %% tags=["train"]
features = feature_space(
    data, windows, architecture=feature_architecture, size=feature_size, steps=feature_steps,
    weights=Path(feature_weights) if feature_weights else None, folder=checkpoints, seed=seed,
)  # fmt: skip

# %%
measures = quality.measure_all(data, gans, sets.windows, features, count=measured, seed=seed)
run.table(measures, "quality", "Samples, and real patches of other women in their place (real).")

# %%
progress = quality.progress(data, strips, sets.windows, seed=seed)
run.figure(
    draw.progress(progress),
    "progress",
    "Distance of texture from real patches while they learn; dotted: real patches of other women.",
)

# %%
spectra = quality.spectra(data, gans, sets.windows, count=measured, seed=seed)
run.figure(
    draw.spectra(spectra),
    "spectra",
    "Power against frequency: detail that is missing, or grain and grids that do not belong there.",
)

# %% [markdown]
# ## Do they copy?

# %%
pairs = quality.nearest_of_all(data, gans, sets.windows, count=6, seed=seed)
run.figure(
    draw.neighbours(pairs, white), "neighbours", "Samples, and the real patch nearest to each."
)

# %% [markdown]
# ## Figures 2a and 2b, in a number
#
# The paper judges by eye. Here: how many times as far the samples' texture lies from real patches
# as that of real patches of other women does (sliced Wasserstein distance over its floor; 1 would
# be real, and up to 1.5 is taken for it).

# %%
judged = quality.judge_figures(progress, epochs=(early_epochs, epochs))
quality.record_figures(run, judged, synthetic=data.synthetic)
Markdown("\n".join(f"- {claim}: {said.value:.1f}, {said.how}." for claim, said in judged.items()))

# %% [markdown]
# ## What was found, and what it does not mean

# %%
Markdown(quality.findings(measures, losses, synthetic=data.synthetic))

# %% [markdown]
# **Limits.** No measure here says that a radiologist would take a sample for a mammogram, and none
# that it shows what its class should show: notebook 04 asks that. Distances depend on how many
# patches are compared, so compare them with their floor only. The paper does not say whether its
# 4000 patches are one class or all three, nor its batch size; how long a generator learnt here
# stands in the parameters above.

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
# # 04 · GAN training data: do samples teach what real patches look like?
#
# The paper's check of its generator: a classifier that learns from **60,000 samples** and is
# validated on real patches has an **accuracy of 5 % after 25 epochs**. The hope behind it was more
# training data for small data sets. This notebook asks:
#
# 1. What accuracy does a classifier reach on real patches that has seen samples only?
# 2. How does that compare with not looking at all, and with as many real patches?
# 3. Do samples help where they are added to real patches, and how many of them?
# 4. What would an accuracy of 5 %, below chance, mean?

# %% tags=["parameters"]
outputs: str = "../outputs/lab"  # folder of the run, with what notebooks 01 to 03 left there
patch_size: int = 256  # px, of the windows where notebook 02 has not made them [16, 1024]
generator: str = "dcgan"  # whose samples, of those that notebook 03 trained
patches: int = 192  # patches of a training set of one kind; the paper has 60,000 [8, 10000000]
added: list[float] = [0.25, 0.5, 1.0]  # samples added to the real patches, shares of them [0, 10]
architecture: str = "small"  # {small|mobilenet_v2|resnet18|resnet50|resnet101|convnext_tiny}
size: int = 64  # px, to which patches are brought for the classifier [32, 1024]
batch_size: int = 32  # patches a batch [1, 4096]
epochs: int = 3  # passes over `patches` patches; 25 in the paper [1, 1000]
learning_rate: float = 1e-3  # highest learning rate [1e-6, 1]
seeds: list[int] = [0, 1]  # of weights and batches, a training each [0, 1000000]
validation_windows: int = 200  # real windows that each epoch is validated on [10, 1000000]
test_windows: int = 500  # real windows that the classifiers are judged on [10, 1000000]
seed: int = 0  # of windows and intervals [0, 1000000]

# %% tags=["train"]
from pathlib import Path

from IPython.display import Markdown

from second_look.preparing.dataset import open_dataset
from second_look.figures import gan as draw
from second_look.figures import style
from second_look.outputs import open_run
from second_look.paper import claim
from second_look.studies.gan import results as check
from second_look.studies.gan import classifiers as study
from second_look.studies.gan.generators import open_generators
from second_look.studies.windows import open_windows, sample_windows, training_windows

# %% tags=["train"]
style.use_style()
run = open_run(outputs, notebook="04_gan_training_data")
data = open_dataset(Path(outputs))
run.uses(*data.files)

# %% [markdown]
# ## Who learns from what?
#
# All classifiers are the same network with as many updates; only what they learn from differs.
# Every class has as many patches as any other, also among the real ones: a class with fewer windows
# shows them more often. Half of the patches are mirrored left to right, half top to bottom. Sample
# number k is made when it is needed, from the seed and k, and never stored.

# %% tags=["train"]
generators = open_generators(run, generator)
labels = study.check_labels(generators)
windows = open_windows(run, data, size=patch_size)
training = training_windows(windows)
validation = sample_windows(windows, split="val", labels=labels, most=validation_windows, seed=seed)
test = sample_windows(windows, split="test", labels=labels, most=test_windows, seed=seed)
sets = study.mixtures(patches, added)

# %%
run.table(study.set_table(sets, training, labels), "sets", "What the classifiers learn from.")

# %% [markdown]
# ## What is reached without looking?
#
# Real patches come as they are: most hold no lesion, so whoever always says the commonest class is
# right most of the time. Commonest and rarest are those of the training patients' windows before
# the classes are made alike, so that nothing of the test patients is used. Balanced accuracy, the
# mean share of each class that is recognised, does not reward a constant answer.

# %%
baselines = check.without_looking(labels, training, test)
run.table(baselines, "baselines", f"Without looking at a picture: {len(test):,} real test patches.")

# %% [markdown]
# ## The trainings

# %% tags=["train"]
plan = study.Plan(architecture, size, patches, batch_size, epochs, learning_rate)
learnt = study.train_all(
    data, training, generators, plan, sets, validation, seeds=seeds,
    folder=run.folder / "checkpoints",
)  # fmt: skip

# %%
curve = study.by_epoch(learnt, plan)
stated = claim("gan-check").value / 100
run.figure(
    draw.accuracy_by_epoch(curve, baselines, stated, [study.GENERATED, study.REAL]),
    "accuracy_by_epoch",
    f"Accuracy on real patches of validation patients by epoch, means over {len(seeds)} seeds; "
    "shaded: 95 % intervals over patients.",
)

# %% [markdown]
# ## What do they say to real patches?
#
# Judged on patches of test patients, none of which any network has seen.

# %%
predictions = study.predict(learnt, data, test, size=size)
run.parquet(predictions, "predictions/04_patches.parquet")
table = check.summary(predictions, seed=seed)
run.table(table, "accuracy", "Measures on real test patches, mean over seeds, 95 % over patients.")
how = f"{patches:,} samples of the generator {generator}, {epochs} epochs, {len(seeds)} seeds"
check.report(run, table, how=how, synthetic=data.synthetic)

# %%
matrices = check.confusions(predictions, labels, [study.GENERATED, study.REAL])
run.figure(
    draw.confusion(matrices),
    "confusion",
    "What real patches of each class were taken for: share of the class, patches over all seeds.",
)

# %% [markdown]
# ## Do samples help where they are added to real patches?

# %%
run.figure(
    draw.augmentation(table, baselines["balanced_accuracy"].iloc[0]),
    "augmentation",
    "Measures on real test patches against the samples added to as many real patches, with 95 % "
    "intervals over patients.",
)

# %%
gained = check.gains(predictions, seed=seed)
run.table(gained, "gains", "What added samples change, paired over patients; 0: nothing.")

# %% [markdown]
# ## What would an accuracy of 5 % mean?

# %%
Markdown(check.below_chance(table, baselines, matrices[study.GENERATED], stated))

# %% [markdown]
# ## What was found, and what it does not mean

# %%
Markdown(check.findings(table, gained, synthetic=data.synthetic))

# %% [markdown]
# **Limits.** The paper names neither the classifier nor the classes of its check, nor how its real
# patches were shared among them, so its 5 % can be compared with a guess and with a constant
# answer, not repeated. Intervals are over patients and hold for these generators: another training
# of them would give other samples.

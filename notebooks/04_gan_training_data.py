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
# # 04 · GAN training data: can a classifier learn original patches from samples?
#
# The paper checks its generator by training a classifier on **60,000 samples** and validating it on
# original patches: its **accuracy is 5 % after 25 epochs**. The hope was to get more training data
# for small data sets. This notebook asks:
#
# 1. What accuracy does a classifier trained on samples only reach on original patches?
# 2. How does that compare with trivial answers, and with the same number of original patches?
# 3. Do samples help when they are added to original patches, and how many of them?
# 4. What would an accuracy of 5 %, below chance, mean?

# %% tags=["parameters"]
outputs: str = "../outputs/lab"  # folder of the run, with the outputs of notebooks 01 to 03
patch_size: int = 64  # window size, px, if notebook 02 has not made the windows [16, 1024]
generator: str = "dcgan"  # generator of the samples, one of those that notebook 03 trained
patches: int = 288  # patches in a training set of one kind; 60,000 in the paper [8, 10000000]
added_shares: list[float] = [1.0]  # samples to add per original patch [0, 10]
architecture: str = "small"  # small, mobilenet_v2, or a network of timm
size: int = 64  # px, size of the classifier's input [32, 1024]
batch_size: int = 32  # patches per batch [1, 4096]
epochs: int = 12  # passes over `patches` patches; 25 in the paper [1, 1000]
learning_rate: float = 1e-3  # highest learning rate [1e-6, 1]
seeds: list[int] = [0, 1]  # of weights and batches, one training each [0, 1000000]
validation_windows: int = 200  # real windows to validate on after each epoch [10, 1000000]
test_windows: int = 2000  # real windows to test on [10, 1000000]
seed: int = 0  # of windows and intervals [0, 1000000]

# %% tags=["train"]
from pathlib import Path

from IPython.display import Markdown

from second_look.evaluation.seeds import interval_words
from second_look.figures import gan as gan_figures
from second_look.figures import style
from second_look.outputs import open_run
from second_look.claims import claim
from second_look.preparing.dataset import open_dataset, require
from second_look.running.parameters import check_parameters
from second_look.studies.gan import classifiers, results, walkthrough
from second_look.studies.gan.generators import generator_epochs, open_generators
from second_look.studies.windows import open_windows, sample_windows, training_windows

# %% tags=["train"]
check_parameters("04_gan_training_data", globals())
style.use_style()
run = open_run(outputs, notebook="04_gan_training_data")
data = open_dataset(Path(outputs))
run.uses(*data.files)
require(data, outlines=True)

# %% [markdown]
# ## What are the classifiers trained on?
#
# All classifiers are the same network and get the same number of updates; only their training sets
# differ. Every class has the same number of patches, also among the real ones: a class with fewer
# windows repeats them. A random half of the patches is flipped left to right, another random half
# top to bottom. Sample number k is generated on demand from the seed and k, and never stored.

# %% tags=["train"]
generators = open_generators(run, generator)
labels = classifiers.check_labels(generators)
windows = open_windows(run, data, size=patch_size)
training = training_windows(windows)
validation = sample_windows(
    windows, split="val", labels=labels, max_windows=validation_windows, seed=seed
)
test = sample_windows(windows, split="test", labels=labels, max_windows=test_windows, seed=seed)
sets = classifiers.training_sets(patches, added_shares)

# %%
set_table = classifiers.set_table(sets, training, labels)
run.table(set_table, "sets", "Training sets of the classifiers.")

# %% [markdown]
# ## One sample of each class, step by step
#
# A sample of every generator is reduced or enlarged to the classifier's input and goes through it.
# **The classifier's weights are random, as before training**, so its answers are guesses and its
# loss is about the logarithm of the number of classes. Training lowers this loss.

# %%
steps, batch = walkthrough.sample_to_answer(
    generators, labels, architecture=architecture, size=size, seed=seed
)
run.table(steps, "example", f"A batch of {len(batch)} samples through an untrained classifier.")
run.table(batch, "example_batch", "What becomes of each sample; p is a probability.")

# %% [markdown]
# ## How good are trivial answers?
#
# The original test patches keep their natural class frequencies: most have no lesion, so always
# answering with the commonest class is right most of the time. The commonest and rarest classes are
# those of the training patients' windows before the classes are balanced, so that no information
# about the test patients is used. Balanced accuracy, the mean over the classes of the share that is
# recognised, does not reward a constant answer.

# %%
baselines = results.trivial_baselines(labels, training, test)
run.table(baselines, "baselines", f"Trivial answers on {len(test):,} original test patches.")

# %% [markdown]
# ## Training

# %% tags=["train"]
plan = classifiers.Plan(architecture, size, patches, batch_size, epochs, learning_rate)
trained = classifiers.train_all(
    data, training, generators, plan, sets, validation, seeds=seeds,
    folder=run.folder / "checkpoints",
)  # fmt: skip

# %%
curve = classifiers.by_epoch(trained, plan)
paper_accuracy = claim("gan-check").value / 100
names = [classifiers.GENERATED, classifiers.REAL]
run.figure(
    gan_figures.accuracy_by_epoch(curve, baselines, paper_accuracy, names),
    "accuracy_by_epoch",
    f"Accuracy on original patches of validation patients by epoch, means over {len(seeds)} seeds; "
    f"shaded: {interval_words(curve)}.",
)

# %% [markdown]
# ## How well do they recognise original patches?
#
# Measured on patches of test patients, which no network has seen. Every classifier is trained once
# per seed; an interval holds the spread of the patients and that of the trainings, both of which
# the table shows.
#
# An accuracy near 5 % means failure only if this code can succeed: trained on as many original
# patches, the same classifier must be clearly better than any answer without looking.

# %%
predictions = classifiers.predict(trained, data, test, size=size)
run.parquet(predictions, "predictions/04_patches.parquet")
table = results.summary(predictions, seed=seed)
run.table(
    table, "accuracy",
    "Measures on original test patches, means over trainings; 95 % over patients and trainings.",
)  # fmt: skip
budget = {
    "samples": patches, "epochs": epochs,
    "epochs of the generator": generator_epochs(run, generator),
}  # fmt: skip
how = f"{patches:,} samples of the generator {generator}, {epochs} epochs"
results.report(run, table, baselines, budget=budget, how=how, synthetic=data.synthetic)

# %%
run.table(
    results.samples_against_real(predictions, seed=seed), "samples_against_real",
    "Training on samples only less training on as many original patches, paired over patients and "
    "trainings.",
)  # fmt: skip

# %%
matrices = results.confusions(predictions, labels, names)
run.figure(
    gan_figures.confusion(matrices),
    "confusion",
    "Confusion matrices on original test patches: shares of each true class, over all seeds.",
)

# %% [markdown]
# ## Do samples help when they are added to original patches?

# %% tags=["answer"]
run.figure(
    gan_figures.augmentation(table, baselines),
    "augmentation",
    "Measures on test patches against the share of samples added to the original training patches; "
    f"{interval_words(table)}.",
)

# %%
gains = results.gains(predictions, seed=seed)
run.table(gains, "gains", "Effect of adding samples, paired over patients and trainings.",
          empty="No samples were added to original patches.")  # fmt: skip

# %% [markdown]
# ## What would an accuracy of 5 % mean?

# %%
matrix = matrices[classifiers.GENERATED]
Markdown(results.below_chance(table, baselines, matrix, paper_accuracy))

# %% [markdown]
# ## What was found, and what it does not mean

# %% tags=["answer"]
Markdown(results.findings(table, gains, synthetic=data.synthetic))

# %% [markdown]
# **Limits.** The paper names neither the classifier nor the classes of its check, nor how many real
# patches were of each class, so its 5 % can be compared with a random guess and with a constant
# answer, but not reproduced. Intervals are over patients and trainings of the classifier, and hold
# for these generators: training them again would give other samples.

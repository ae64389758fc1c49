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
# # 09 · One mammogram: what do the models say, and how do they get there?
#
# The paper reports accuracies over thousands of images and shows no answer for a single one. This
# notebook takes the mammograms of one patient through the models of this run, or through those of a
# published set, and shows every step with its shapes and values:
#
# 1. What do the files say, and where is the breast?
# 2. How does a picture become a score, and a score a probability?
# 3. Which lesions are found, and where does the patch model see malignancy?
#
# `python -m second_look predict` does the same on the command line. **This is research software, no
# diagnosis.**

# %% tags=["parameters"]
outputs: str = "../outputs/lab"  # folder of the run, with the models of notebooks 05 and 06
model: str = ""  # folder of a published set; empty: the models of this run
images: list[str] = []  # files of one patient; empty: those of a test patient of this run
sides: list[str] = []  # L or R where the files do not say: one for all, or one for each
views: list[str] = []  # such as CC or MLO, likewise
pixel_size_mm: float = 0.0  # mm, where the files do not say; 0: unknown [0, 10]
bits: int = 0  # of the grey levels in files of 16 bits, where they do not say; 0: found [0, 16]
prevalences: list[float] = [0.006, 0.1]  # that probabilities are moved to [0.0001, 0.9]
draws: int = 2000  # bootstrap samples of the intervals on the cards [20, 100000]
seed: int = 0  # of these intervals [0, 1000000]

# %%
from pathlib import Path

from IPython.display import Markdown

from second_look.figures import style
from second_look.outputs import open_run
from second_look.preparing.dataset import open_dataset
from second_look.published import answer_files, walkthrough
from second_look.published.answers import answer
from second_look.published.mammograms import Acquisition, read_mammograms
from second_look.running.parameters import check_parameters

# %%
check_parameters("09_one_mammogram", globals())
style.use_style()
run = open_run(outputs, notebook="09_one_mammogram")
data = open_dataset(Path(outputs))
run.uses(*data.files)
models = walkthrough.open_models(run, data, model, seed=seed, draws=draws)

# %% [markdown]
# ## How good are the models?
#
# An answer is worth what its model is worth on patients that it has not seen. Calibration and
# thresholds were fitted on validation patients.

# %%
run.table(
    walkthrough.card_table(models), "cards", "The models on the test patients of their data set."
)

# %% [markdown]
# ## What do the files say?
#
# A file without a side, a view or the size of a pixel can be read all the same: the parameters
# above say what the file does not. Spot and magnification views, specimens and raw images of a
# detector are refused, and so is what shows no breast.

# %%
acquisition = Acquisition(sides=sides, views=views, pixel_size_mm=pixel_size_mm, bits=bits)
example = walkthrough.example_of(data, images, acquisition)
run.uses(*example.files)
mammograms = read_mammograms(example.files, run.folder / walkthrough.PREPARED, example.acquisition)
run.table(walkthrough.file_table(mammograms), "files", f"The files: {example.origin}.")

# %% [markdown]
# ## Where is the breast?
#
# Each image is cropped to the breast and mirrored where the chest wall is at the right. The numbers
# below lead back: a column of the crop, counted from the other side where it is mirrored, plus the
# first column of the crop is a column of the file. All boxes that follow have gone this way back.

# %%
run.table(walkthrough.crop_table(mammograms), "crops", "The way from the file to the crop.")

# %% [markdown]
# ## How does a picture become a score?
#
# The crop is scaled until it fits into the picture that the network was trained with. The network
# turns it into maps of features, their means into a number for each class, and softmax into
# probabilities that sum to one. The score is that of “malignant”, as a rule averaged over the
# picture and its mirror image.

# %%
first = mammograms.image_ids[0]
run.table(
    walkthrough.steps(models["image"], mammograms, first), "steps",
    f"{first}: step by step through the model of whole images, without the mirror image.",
)  # fmt: skip

# %% [markdown]
# ## What is a score worth?
#
# A logistic regression on validation patients turns scores into probabilities. They hold where as
# many images are malignant as there; Bayes' rule moves them to other prevalences, if the images of
# each class look the same. The same image is a different risk in screening and in a clinic.

# %%
result = answer(mammograms, models)
run.table(
    walkthrough.calibration_steps(result, models, prevalences), "chances",
    "From the score to the probability, by the share of malignant images.",
    empty="The model of images has no calibration, so its scores are no probabilities.",
)  # fmt: skip

# %% [markdown]
# ## Which lesions are found?
#
# A detection is marked where its score reaches the threshold that gave one false alarm an image on
# validation patients. The heat map shows the probability of “malignant” of the window around each
# point.

# %%
run.table(
    answer_files.lesion_table(result), "lesions", "Detections, boxes in pixels of the file.",
    empty="Nothing was detected, or this run has no detector.",
)  # fmt: skip

# %% tags=["answer"]
suspicious = walkthrough.most_suspicious(result)
run.figure(
    answer_files.figure_of(suspicious, result),
    "overlay",
    f"{suspicious.image_id}, the image with the highest score: as it is, lesions found, and the "
    "heat map of the patch model. No diagnosis.",
)

# %% [markdown]
# ## What was found, and what it does not mean

# %% tags=["answer"]
Markdown(walkthrough.findings(result, models))

# %% [markdown]
# **Limits.** One patient shows how an answer comes about, not how good it is. A probability holds
# for images like those of the data set: another scanner, another film or another population changes
# it, and nothing in the image says so. Do not use it to diagnose anybody.

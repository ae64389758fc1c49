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
# # 05 · Mask R-CNN: does it find cancer in mammograms?
#
# This is the paper's main result. It trains Mask R-CNN from COCO weights, with two images per GPU
# and a learning rate of 0.002, later 0.0002, and reports an **AUC of 0.93 per image** (figure 3a)
# and of **0.73 per patch** (figure 3b: does the patch have a given type of tumour or not). It gives
# the size of its network, **63,744,170 parameters**, and shows no detections. This notebook asks:
#
# 1. Which network is it, to the last parameter?
# 2. What do ROC curves per image and per patch look like on held-out patients, and what does a rule
#    reach that sees no picture?
# 3. What share of the lesions is found, at how many false alarms per image?
# 4. Is it better than calling the brightest blob in the breast a lesion?
# 5. Does training on normal images help? Matterport's code, which the paper uses, leaves them out.

# %% tags=["parameters"]
outputs: str = "../outputs/lab"  # folder of the run, with the data set of notebook 01
model: str = "small"  # paper, torchvision, mobilenet, small, or a network of timm
weights: str = ""  # start weights: a file in the data root, or imagenet; empty: from scratch
image_rows: int = 256  # px, rows of the frame that every image is fitted into [64, 8192]
image_cols: int = 192  # px, columns of the frame [64, 8192]
stages: list = [[400, 0.0005, "all"], [80, 0.00005, "all"]]  # steps, learning rate, heads/upper/all
optimizer: str = "adamw"  # Matterport's code, which the paper uses, has sgd {sgd | adamw}
batch_size: int = 4  # images per step, over all processes [1, 1024]
normal_share: float = 0.3  # share of normal images in training; Matterport's code has 0 [0, 0.9]
compare_normals: bool = False  # train a second network without normal images
warmup_steps: int = 20  # steps over which the learning rate rises [0, 100000]
rotation_deg: float = 15.0  # augmentation: rotated by up to this angle [0, 180]
scale: float = 1.2  # augmentation: enlarged or reduced by up to this factor [1, 2]
contrast: float = 0.1  # augmentation: grey levels changed by up to this share [0, 0.9]
max_detections: int = 30  # most boxes per image [1, 1000]
validate_every: int = 160  # steps between validations; 0: at the end only [0, 1000000]
max_validation_images: int = 32  # most images per validation; 0: all [0, 100000]
patch_size: int = 64  # px of the prepared images, size of the patches of figure 3b [16, 4096]
stride: int = 32  # px between these patches [1, 4096]
viewer_cases: int = 12  # most cases of each outcome in the case viewer; 0: no viewer [0, 1000]
viewer_mb: float = 0.5  # MB, most that its pictures may add to the report [0, 20]
accelerator: str = "auto"  # training device {auto | cpu | cuda}
precision: str = "auto"  # auto: bf16 on GPUs that support it {auto | 32-true | bf16-mixed}
seeds: list[int] = [0]  # of weights, order and augmentation, one training each [0, 1000000]
seed: int = 0  # of intervals [0, 1000000]

# %% tags=["train"]
from pathlib import Path

from IPython.display import Markdown

from second_look.evaluation.seeds import interval_words
from second_look.figures import detection as detection_figures
from second_look.figures import style
from second_look.outputs import open_run
from second_look.claims import claim
from second_look.preparing.dataset import open_dataset, require
from second_look.preparing.patches import HALF_RULE
from second_look.running.parameters import check_parameters
from second_look.studies.detection import findings, memory, results, training, trainings
from second_look.studies.detection import walkthrough
from second_look.viewer import widget

# %% tags=["train"]
check_parameters("05_mask_rcnn", globals())
style.use_style()
run = open_run(outputs, notebook="05_mask_rcnn")
data = open_dataset(Path(outputs))
run.uses(*data.files)
require(data, outlines=True)

# %% [markdown]
# ## One mammogram, step by step
#
# A Mask R-CNN works in stages: maps of features at several scales, boxes that may hold something,
# features cut out for each box, then class, corrected box and mask. The picture is one of this data
# set, the network the small one (`model: small`) **with random weights, as before training**: the
# shapes are real, the scores are guesses. The second table is what is kept of a detection: its box
# in pixels of the file.

# %%
steps, detection = walkthrough.picture_to_box(data, (image_rows, image_cols), seed=seed)
run.table(steps, "example", "From the picture to detections, by an untrained small network.")
run.table(
    detection, "example_row", "The best of these guesses, as a row of the table of detections.",
    empty="This untrained network detects nothing.",
)  # fmt: skip

# %% [markdown]
# ## Which network is it?
#
# The paper's three numbers fit one network only: Matterport's Mask R-CNN with ResNet-101, a feature
# pyramid and **four classes**, background and three kinds of finding. Every convolution has a bias;
# batch normalisation uses stored statistics (the fixed parameters), and its scale and shift are
# trained. The parameters are counted in the network as built here.

# %%
parameters = training.paper_parameters()
run.table(parameters, "parameters", "Parameters of the paper's network, by module.")
counted = parameters.set_index("module").loc["all"]
run.result("mrcnn-params", int(counted.sum()), how="counted", figure="parameters")
run.result("mrcnn-trainable", int(counted["trainable"]), how="counted", figure="parameters")
run.result("mrcnn-nontrainable", int(counted["fixed"]), how="counted", figure="parameters")

# %% [markdown]
# ## What is it trained on?
#
# Each mammogram, cropped to the breast, is fitted into a frame of fixed size; grey levels are
# divided by the largest value of the bit depth, and the rest of the frame is black. Masks come from
# outlines, circles or boxes, whichever the source gives. An image with a lesion of unknown location
# is excluded from training, since the network would learn to ignore the lesion. The images and
# augmentations of a step are determined by the seed and the step's number.

# %% tags=["train"]
settings = training.settings(
    data, model=model, weights=weights, frame=(image_rows, image_cols), stages=stages,
    optimizer=optimizer, batch_size=batch_size, normal_share=normal_share,
    warmup_steps=warmup_steps, rotation_deg=rotation_deg, scale=scale, contrast=contrast,
    max_detections=max_detections, max_validation_images=max_validation_images, seed=seeds[0],
)  # fmt: skip
run.uses(settings.weights or None)

# %%
targets = training.shown_targets(data, settings, count=4)
run.figure(
    detection_figures.targets(targets), "targets", "Augmented training images with lesion masks."
)

# %% [markdown]
# ## How does training go?
#
# There are five losses of equal weight: is there an object, and where (region proposals); what is
# it, where exactly, and which pixels (heads). The weights with the best FROC on validation patients
# are selected. An interrupted training resumes from its last checkpoint. The main network is
# trained once for each of `seeds`; figures show the first, and the scorecard judges their mean.

# %% tags=["train"]
loop = training.loop_settings(
    settings, validate_every=validate_every, accelerator=accelerator, precision=precision
)
models = training.train_models(
    data, settings, loop, Path(outputs) / "checkpoints", compare_normals=compare_normals
)
repeats = training.train_again(data, settings, loop, Path(outputs) / "checkpoints", seeds=seeds)

# %%
Markdown(training.network_sentence(models[0]))

# %%
run.table(
    training.training_table([*models, *repeats]), "training",
    "Data, length and size of each training.",
)  # fmt: skip

# %%
curves = training.training_curves(models)
run.figure(detection_figures.training(curves), "training", "Losses, and FROC on validation.")
main = models[0].name
if len(models[0].task.start):
    run.table(models[0].task.start, "start", "Start weights loaded into each layer.")
run.result(
    "mrcnn-schedule", settings.batch_size, n=settings.steps, how=training.in_words(settings),
    verdict=training.schedule_verdict(settings), figure="training", synthetic=data.synthetic,
)  # fmt: skip

# %%
needs = memory.memory_table(models[0], settings)
run.table(needs, "memory", "Memory of a step in GB: weights, and what the backward pass needs.")
memory.report(run, needs, settings, synthetic=data.synthetic)

# %% [markdown]
# ## What does it find?
#
# All detections are used, however low their score, because a threshold would cut off the curves. A
# detection has a probability for each class; overlapping boxes suppress each other whatever their
# classes, so that each location is detected once. For comparison, there is a **baseline** that
# knows nothing about lesions: the brightest blobs in the breast, by contrast with their
# surroundings.

# %%
rule = HALF_RULE
detected = results.detect_all(
    data, models, patch_size=patch_size, stride=stride, rule=rule, seed=seeds[0]
)
by_training = trainings.detect_each(
    data, [models[0], *repeats], detected, patch_size=patch_size, stride=stride, rule=rule,
    seeds=seeds,
)  # fmt: skip
run.parquet(detected.all_detections, "predictions/mask_rcnn_detections.parquet")
run.parquet(detected.truths, "predictions/mask_rcnn_truths.parquet")
run.parquet(detected.image_scores, "predictions/mask_rcnn_images.parquet")
run.parquet(detected.patch_scores, "predictions/mask_rcnn_patches.parquet")
test = detected.in_split("test")
tests = {name: part.in_split("test") for name, part in by_training.items()}

# %% [markdown]
# ## Figure 3a: ROC per image
#
# An image's score is the highest score of its detections: for a malignant lesion in the question
# “malignant?”, for any lesion in “any lesion?”; it is 0 if there are no detections. The paper puts
# one question to images and patches, "a given type of tumor, or not": it is asked here as in figure
# 3b below. It gives an AUC but no point of its curve, so only the AUC can be drawn. Bands and
# intervals are 95 %: Student's t on the logit scale, the error from a bootstrap over patients. An
# AUC of 1 is not certain: its interval is that of the patients of the rarer kind.

# %% tags=["answer"]
per_image = results.auc_table(test, "image", seed=seed)
run.table(per_image, "auc_images", "AUC per image of test patients, with its chance level.")
run.figure(
    detection_figures.roc(
        *results.roc_panels(test, per_image, "image", seed=seed), claim("fig-3a").value
    ),
    "roc_images",
    f"Figure 3a: ROC per image, test patients of {data.name}; below, the AUCs beside the paper's.",
)  # fmt: skip

# %% [markdown]
# ## Figure 3b: ROC per patch
#
# The paper asks "whether a patch has a given type of tumor, or not"; here each patch is asked about
# each type. A lesion counts for a patch by the rule of notebook 02: half of the lesion is in the
# patch, or half of the patch is covered. A detection counts by the same rule. The patch's score for
# a type is the highest probability of that type among its detections.
#
# **“A given type”** is the mean of one AUC per type that occurs in the test set. **Pooled**, the
# questions of all types make one curve, and there chance is not 0.5: types differ in frequency, so
# the type in the question alone says how likely a yes is. A rule that sees no picture and answers
# with the frequency of the type among training patches shows how far that goes, and a detector that
# cannot tell types apart rises once its scores are multiplied by these frequencies. On test patches
# of mini-MIAS that rule reaches 0.71, on CBIS-DDSM 0.60. The paper does not say how it made one
# curve of several types. If it pooled, its **0.73** on mini-MIAS and DDSM may be little more than
# the frequency of types, and has to be compared with the AUC of that rule instead of 0.5.

# %%
per_patch = results.auc_table(test, "patch", seed=seed)
run.table(per_patch, "auc_patches", "AUC per patch of test patients, with its chance level.")
run.figure(
    detection_figures.roc(
        *results.roc_panels(test, per_patch, "patch", seed=seed), claim("fig-3b").value
    ),
    "roc_patches",
    f"Figure 3b: ROC per patch ({patch_size} px, stride {stride} px), test patients; below, the "
    "AUCs beside the paper's.",
)  # fmt: skip

# %% [markdown]
# ## How many lesions at how many false alarms?
#
# A ROC curve per image rewards a high score at the wrong location. FROC requires the lesion itself
# to be found: a lesion is hit if the centre of a detection is in its box or, by a stricter rule, if
# the IoU of the boxes is at least 0.5. Detections that hit no lesion are false positives; they are
# counted per image over all test images, with or without lesions.

# %%
froc = results.sensitivity_table(test, seed=seed)
run.table(froc, "froc", "Sensitivity at the usual numbers of false positives per image.")
run.figure(
    detection_figures.froc(results.froc_panels(test), froc), "froc",
    f"FROC for any lesion, test patients; bars: {interval_words(froc)}.",
)  # fmt: skip

# %% [markdown]
# ## What does another training give?
#
# An interval over patients takes the weights as they are. Here the spread of the trainings is
# added: the estimate is their mean, and its interval holds both the variance over patients and that
# between trainings. Both standard deviations are in the table; with one training the second is
# missing, and the scorecard decides nothing.

# %%
over = trainings.over_all(tests, seed=seed)
run.table(trainings.table(over), "trainings", f"{main}: means over trainings, test patients.")
trainings.report(run, over, {"image": per_image, "patch": per_patch}, main, data)
run.table(
    trainings.against_baseline(tests, seed=seed), "against_baseline",
    f"{main} less the brightest blobs, paired over patients; masks: lesions that both hit.",
)  # fmt: skip

# %% [markdown]
# ## How accurate are boxes and masks?

# %%
average_precision = results.precision_table(test, seed=seed)
run.table(average_precision, "precision", "COCO's mean average precision of boxes (pycocotools).")
dice = results.dice_table(test, seed=seed)
run.table(
    dice, "dice",
    f"Masks of hit lesions (IoU of boxes ≥ 0.5); Dhungel et al.: Dice {findings.DHUNGEL_DICE:.2f}.",
)  # fmt: skip

# %% [markdown]
# ## Which lesions does it find?

# %%
groups = results.group_table(test, main, seed=seed)
run.table(groups, "groups", "Sensitivity at one false positive per image, by group of lesions.")
run.figure(
    detection_figures.groups(groups), "groups",
    f"{main}: sensitivity by group, test patients; {interval_words(groups)}.",
)  # fmt: skip

# %% [markdown]
# ## What do hits, misses and false alarms look like?
#
# The original images in original coordinates, with up to three detections each, best first.

# %%
examples = findings.examples(data, test, main, per_kind=4, height=480)
run.figure(
    detection_figures.page(examples, 4), "page",
    f"{main}: hits with the highest scores, lesions of images without any hit (if there are any), "
    "and false alarms with the highest scores.",
)  # fmt: skip

# %% [markdown]
# In the case viewer each can be looked at, pixel by pixel, with both views of the breast.

# %% tags=["answer"]
widget.show_detections(
    run, data, detected, main, per_outcome=viewer_cases, megabytes=viewer_mb
)  # fmt: skip

# %% [markdown]
# ## What was found, and what it does not mean

# %% tags=["answer"]
tables = {"image": per_image, "patch": per_patch, "froc": froc, "precision": average_precision,
          "dice": dice}  # fmt: skip
paper = {name: claim(name).value for name in ("fig-3a", "fig-3b")}
Markdown(findings.findings(tables, main, paper=paper, synthetic=data.synthetic))

# %%
Markdown(findings.normals_sentence(test, froc, per_image, models))

# %% [markdown]
# **Limits.** An AUC per image depends on the images: CBIS-DDSM has no normal ones, so “any lesion?”
# cannot be answered there, and “malignant?” is answered among images with lesions only. An AUC per
# patch depends on stride and rule; most patches are far from any lesion and easy. The intervals of
# curves and tables are over patients; only the table of trainings includes how much another
# training, with other start weights and another order of images, would change. The paper names
# neither its split nor its score; an AUC near 0.93 on a split by patient should be checked for a
# leak before it is believed.

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
# This is the paper's main result. It trains Mask R-CNN from COCO weights, two images a GPU, at a
# learning rate of 0.002 and later 0.0002, and reports an **AUC of 0.93 per image** (figure 3a)
# and of **0.73 per patch** (figure 3b: has the patch a given type of tumour or not). It names the
# size of its network, **63,744,170 parameters**, and shows no detection. This notebook asks:
#
# 1. Which network is it, to the last parameter?
# 2. What do ROC curves per image and per patch look like on held-out patients?
# 3. What share of the lesions is found, at how many false alarms an image?
# 4. Is it better than calling the brightest blob in the breast a lesion?
# 5. What does it learn from normal images, which Matterport's code, the paper's basis, leaves out?

# %% tags=["parameters"]
outputs: str = "../outputs/lab"  # folder of the run, with the data set that notebook 01 left there
model: str = "small"  # network {paper | torchvision | mobilenet | small}
weights: str = ""  # file of start weights from the data root, or imagenet; empty: from scratch
image_rows: int = 256  # px, rows of the frame that every image is fitted into [64, 8192]
image_cols: int = 192  # px, columns of the frame [64, 8192]
stages: list = [[200, 0.0005, "all"], [40, 0.00005, "all"]]  # steps, learning rate, heads/upper/all
optimizer: str = "adamw"  # sgd in Matterport's code, the paper's basis {sgd | adamw}
batch_size: int = 2  # images a step, over all processes [1, 1024]
normals: float = 0.3  # share of normal images among those learnt from; 0 as Matterport [0, 0.9]
compare_normals: bool = True  # train a second network without normal images
warmup: int = 20  # steps in which the learning rate rises [0, 100000]
rotation_deg: float = 15.0  # augmentation: turned by up to this angle [0, 180]
scale: float = 1.2  # augmentation: enlarged or reduced by up to this factor [1, 2]
contrast: float = 0.1  # augmentation: grey levels changed by up to this share [0, 0.9]
detections: int = 30  # boxes of an image that are kept [1, 1000]
validate_every: int = 80  # steps between validations; 0: at the end only [0, 1000000]
validate_images: int = 32  # most images of a validation; 0: all [0, 100000]
patch_size: int = 256  # px of the prepared images, of the patches of figure 3b [16, 4096]
stride: int = 128  # px between these patches [1, 4096]
accelerator: str = "auto"  # device of the training {auto | cpu | cuda}
precision: str = "auto"  # bf16 where a GPU knows it {auto | 32-true | bf16-mixed}
seed: int = 0  # of weights, order, augmentation and intervals [0, 1000000]

# %% tags=["train"]
from pathlib import Path

from IPython.display import Markdown

from second_look.preparing.dataset import open_dataset
from second_look.figures import detection as draw
from second_look.figures import style
from second_look.outputs import open_run
from second_look.paper import claim
from second_look.preparing.patches import HALF_RULE
from second_look.studies.detection import training as study
from second_look.studies.detection import findings as last
from second_look.studies.detection import results as results

# %% tags=["train"]
style.use_style()
run = open_run(outputs, notebook="05_mask_rcnn")
data = open_dataset(Path(outputs))
run.uses(*data.files)

# %% [markdown]
# ## Which network is it?
#
# The paper's three numbers fit one network only: Matterport's Mask R-CNN with ResNet-101, a feature
# pyramid and **four classes**, background and three kinds of finding. Every convolution has a bias;
# batch normalisation runs on stored statistics (the fixed parameters), its scale and shift are
# learnt. The table is counted on the live network.

# %%
parameters = study.paper_parameters()
run.table(parameters, "parameters", "Parameters of the paper's network, by module.")
counted = parameters.set_index("module").loc["all"]
run.result("mrcnn-params", int(counted.sum()), how="counted", figure="parameters")
run.result("mrcnn-trainable", int(counted["trainable"]), how="counted", figure="parameters")
run.result("mrcnn-nontrainable", int(counted["fixed"]), how="counted", figure="parameters")

# %% [markdown]
# ## What does it learn from?
#
# Each mammogram, cropped to the breast, is fitted into one frame: grey levels as shares of the
# brightest that the bit depth can hold, the rest of the frame black. Masks come from outlines,
# circles or boxes, whichever the source gives. An image whose lesion nobody located is left out of
# training: the network would learn to overlook it. A step's images and variations follow from its
# number.

# %% tags=["train"]
settings = study.settings(
    data, model=model, weights=weights, frame=(image_rows, image_cols), stages=stages,
    optimizer=optimizer, batch_size=batch_size, normals=normals, warmup=warmup,
    rotation_deg=rotation_deg, scale=scale, contrast=contrast, detections=detections,
    validate_images=validate_images, seed=seed,
)  # fmt: skip
run.uses(settings.weights or None)

# %%
shown = study.shown_targets(data, settings, count=4)
run.figure(
    draw.targets(shown), "targets", "Varied pictures as the network gets them, with lesion masks."
)

# %% [markdown]
# ## How does training go?
#
# Five losses of equal weight: is there anything, and where (regions); what is it, where exactly,
# and which pixels (heads). The weights that find most on validation patients are kept. A training
# that is broken off goes on from its last checkpoint.

# %% tags=["train"]
loop = study.loop_settings(
    settings, validate_every=validate_every, accelerator=accelerator, precision=precision
)
models = study.train_models(
    data, settings, loop, Path(outputs) / "checkpoints", compare_normals=compare_normals
)

# %%
run.table(study.training_table(models), "training", "What each training saw and took.")

# %%
run.figure(
    draw.training(study.training_curves(models)), "training", "Losses, and FROC on validation."
)
main = models[0].name
if len(models[0].task.start):
    run.table(models[0].task.start, "start", "Start weights, layer by layer: what was loaded.")
run.result(
    "mrcnn-schedule", settings.batch_size, n=settings.steps, how=study.in_words(settings),
    verdict=study.schedule_verdict(settings), figure="training", synthetic=data.synthetic,
)  # fmt: skip

# %% [markdown]
# ## What does it find?
#
# Every detection counts, however low its score: a threshold would cut off the curves. A detection
# has a chance for each class; boxes suppress each other whatever their classes, so that one place
# is found once. Beside the network stands a **baseline** that knows nothing of lesions: the
# brightest blobs of the breast, by contrast to what surrounds them.

# %%
rule = HALF_RULE
found = results.find(data, models, patch_size=patch_size, stride=stride, rule=rule, seed=seed)
run.parquet(found.all_detections, "predictions/mask_rcnn_detections.parquet")
run.parquet(found.truths, "predictions/mask_rcnn_truths.parquet")
run.parquet(found.image_scores, "predictions/mask_rcnn_images.parquet")
run.parquet(found.patch_scores, "predictions/mask_rcnn_patches.parquet")
test = found.of("test")

# %% [markdown]
# ## Figure 3a: ROC per image
#
# An image's score is the highest of its detections: of a malignant lesion for the question
# “malignant?”, of any lesion for “any lesion?”; 0 where nothing was found. Bands and intervals
# are 95 %, by bootstrap over patients.

# %%
per_image = results.auc_table(test, "image", seed=seed)
run.table(per_image, "auc_images", "AUC per image of test patients.")
results.report_auc(run, "fig-3a", per_image, main, "malignant", "roc_images", data)
run.figure(
    draw.roc(*results.roc_panels(test, per_image, "image", seed=seed), claim("fig-3a").value),
    "roc_images", f"Figure 3a: ROC per image, test patients of {data.name}.",
)  # fmt: skip

# %% [markdown]
# ## Figure 3b: ROC per patch
#
# The paper asks "whether a patch has a given type of tumor, or not": each patch once for each type.
# A lesion counts for a patch by the rule of notebook 02, half of it in the patch or half of the
# patch covered, and a detection counts by the same rule. The patch's score for a type is the
# highest chance of that type among its detections. “A given type” pools the questions of all types.

# %%
per_patch = results.auc_table(test, "patch", seed=seed)
run.table(per_patch, "auc_patches", "AUC per patch of test patients, pooled and by type.")
results.report_auc(run, "fig-3b", per_patch, main, "a given type", "roc_patches", data)
run.figure(
    draw.roc(*results.roc_panels(test, per_patch, "patch", seed=seed), claim("fig-3b").value),
    "roc_patches",
    f"Figure 3b: ROC per patch ({patch_size} px, stride {stride} px), test patients.",
)  # fmt: skip

# %% [markdown]
# ## How many lesions at how many false alarms?
#
# A ROC per image rewards a high score on the wrong place. FROC asks for the lesion itself: it is
# hit where a detection's centre lies in its box, or, stricter, where the boxes share half.
# Detections that hit nothing are false positives; the denominator is all test images, with lesions
# or without.

# %%
froc = results.sensitivity_table(test, seed=seed)
run.table(froc, "froc", "Sensitivity at the field's rates of false positives an image.")
run.figure(
    draw.froc(results.froc_panels(test), froc), "froc",
    "FROC for any lesion, test patients; bars: 95 % intervals over patients.",
)  # fmt: skip

# %% [markdown]
# ## How exact are boxes and masks?

# %%
precision_of = results.precision_table(test)
run.table(precision_of, "precision", "COCO's mean average precision of boxes, by pycocotools.")
dice = results.dice_table(test, seed=seed)
run.table(
    dice, "dice",
    f"Masks of hit lesions (IoU of boxes ≥ 0.5); Dhungel et al.: Dice {last.DHUNGEL_DICE:.2f}.",
)  # fmt: skip

# %% [markdown]
# ## Which lesions does it find?

# %%
groups = results.group_table(test, main, seed=seed)
run.table(groups, "groups", "Sensitivity at one false positive an image, by group of lesions.")
run.figure(draw.groups(groups), "groups", f"{main}: which lesions are found, test patients.")

# %% [markdown]
# ## What do hits, misses and false alarms look like?
#
# The films as they were scanned, in original coordinates. Up to three detections each, best first.

# %%
pages = last.examples(data, test, main, each=4, height=480)
run.figure(
    draw.page(pages, 4), "page",
    f"{main}: the most certain hits, lesions of images without any hit, most certain false alarms.",
)  # fmt: skip

# %% [markdown]
# ## What was found, and what it does not mean

# %%
tables = {"image": per_image, "patch": per_patch, "froc": froc, "precision": precision_of,
          "dice": dice}  # fmt: skip
paper = {name: claim(name).value for name in ("fig-3a", "fig-3b")}
Markdown(last.findings(tables, main, paper=paper, synthetic=data.synthetic))

# %%
Markdown(last.normals_sentence(test, froc, per_image, models))

# %% [markdown]
# **Limits.** An AUC per image depends on which images there are: CBIS-DDSM has no normal ones, so
# “any lesion?” cannot be asked there, and “malignant?” is asked among lesions only. A patch's AUC
# depends on stride and rule; most patches are far from any lesion and easy. One training is one
# draw of start and order; the intervals are over patients and do not hold that. The paper names
# neither its split nor its score; an AUC near 0.93 on a split by patients should be checked for a
# leak before it is believed.

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
# # 02 · Patching: how many patches does a set of mammograms give, and which ones?
#
# The paper slides windows of **256×256 pixels** over the mammograms. Stride and augmentation
# determine their number, **from 40,000 to 1,200,000**; Otsu's method and others keep most of them
# on the breast; each gets one of **four classes**. This notebook asks:
#
# 1. How many patches does each stride give, and which strides give the paper's numbers?
# 2. How much work does it save to keep to the breast?
# 3. Which label does a window get that contains half a lesion, and how rare do lesions become?
# 4. What do the patches look like, and what would it cost to write them to disk?

# %% tags=["parameters"]
outputs: str = "../outputs/lab"  # folder of the run, with the data set of notebook 01
patch_size: int = 64  # window size, px of the prepared images [16, 4096]
patch_size_mm: float = 0.0  # window size in mm, resampled to patch_size; 0: use pixels [0, 500]
stride: int = 32  # px between neighbouring windows that later notebooks use [1, 4096]
strides: list[int] = [16, 32, 64, 128, 256]  # px, for the curves against stride [1, 4096]
min_breast_share: float = 0.5  # share of the window that must lie on the breast [0, 1]
min_lesion_share: float = 0.5  # a window counts for a lesion if it has this share of it [0, 1]
min_window_share: float = 0.5  # or if the lesion covers this share of the window [0, 1]
rule_shares: list[float] = [0.1, 0.25, 0.5, 0.75, 1.0]  # values of min_lesion_share [0, 1]
batch_size: int = 64  # patches per batch when the cost of cutting them is timed [1, 4096]
batches: int = 8  # batches to time [1, 10000]
seed: int = 0  # of examples, augmentation and intervals [0, 1000000]

# %%
from pathlib import Path

from IPython.display import Markdown

from second_look.batches import sampler
from second_look.figures import patching as patching_figures
from second_look.figures import style
from second_look.outputs import open_run
from second_look.claims import claim
from second_look.preparing import patches, views
from second_look.preparing.dataset import open_dataset, require
from second_look.running.parameters import check_parameters
from second_look.studies.survey import patching, walkthrough
from second_look.studies.windows import WINDOWS

# %%
check_parameters("02_patching", globals())
style.use_style()
run = open_run(outputs, notebook="02_patching")
data = open_dataset(Path(outputs))
run.uses(*data.files)
require(data, outlines=True)

# %% [markdown]
# ## One mammogram, step by step
#
# No pixel is needed to label windows: the map of breast and lesions says for each window which
# share of it lies on the breast, and which share of a lesion it contains. The second table is the
# row of one window, as later notebooks read it; they cut its pixels when they need them.

# %%
rule = patches.LabelRule(min_breast_share, min_lesion_share, min_window_share)
size_mm = patch_size_mm or None
example_id = walkthrough.example(data)
steps, window = walkthrough.windows(
    data, example_id, size=patch_size, stride=stride, rule=rule, size_mm=size_mm
)
run.table(steps, "example", f"{example_id}: from the region map to labelled windows.")
run.table(window, "example_row", "The row of the window with most of a lesion.")

# %% [markdown]
# ## How many patches does each stride give?
#
# A window counts as on the breast if enough of it lies on the breast mask, or if it touches a
# lesion. The numbers follow from geometry and masks alone; no patch is cut. Flips and quarter turns
# make eight patches from one without resampling; rotating a patch by any other angle gives a
# variation, not a new patch.

# %%
windows_by_stride = patching.windows_by_stride(
    data, strides, size=patch_size, size_mm=size_mm, rule=rule
)
counts = patching.counts_by_stride(data, windows_by_stride, size=patch_size, size_mm=size_mm)
run.table(counts, "counts", "Windows on the whole image, on the crop, and on the breast.")

# %%
paper = claim("patch-count")
largest_strides = patching.largest_strides(counts, paper.low, paper.high)
run.result(
    "patch-count", int(counts["breast_augmented"].max()), low=int(counts["breast"].min()),
    high=int(counts["breast_augmented"].max()), n=len(data.prepared.images),
    how=f"windows of {patch_size} px on the breast, stride {max(strides)} px to {min(strides)} px "
    "with flips and turns",
    figure="counts", synthetic=data.synthetic,
    verdict=patching.count_verdict(patch_size),
)  # fmt: skip

# %% tags=["answer"]
run.figure(
    patching_figures.counts_against_stride(counts, paper.low, paper.high),
    "counts",
    f"Number of {patch_size}×{patch_size} windows of {data.name} against stride; shaded: the "
    "paper's range, 40,000 to 1,200,000.",
)

# %%
run.table(
    largest_strides, "reach",
    "The largest of the strides that gives each of the paper's numbers (0: none does).",
)  # fmt: skip

# %% [markdown]
# ## How much work does it save to keep to the breast?

# %%
Markdown(patching.savings(counts))

# %% [markdown]
# ## Which label does a window get?
#
# The rule is the same in training and evaluation. A window counts for a lesion if it contains at
# least a given share of the lesion, or if the lesion covers at least a given share of the window;
# if it counts for several lesions, it gets the label of the most suspicious one. A window that
# contains too little of a lesion is neither normal nor abnormal: it is excluded, and counted. So
# are all lesion-free windows of an image that has a lesion whose location is unknown.

# %%
windows = patches.window_table(
    data.prepared, data.catalogue, size=patch_size, stride=stride, rule=rule, size_mm=size_mm
)
run.parquet(windows, WINDOWS)
run.table(patches.class_balance(windows), "classes", f"Windows by class at stride {stride} px.")

# %%
labelled = windows[windows["excluded"] == ""]
run.result(
    "patch-classes", labelled["label"].nunique(), n=len(labelled), synthetic=data.synthetic,
    how=f"classes among the windows of {data.name}",
    verdict=patching.classes_verdict(windows, data),
)  # fmt: skip
run.result(
    "on-breast", patching.on_breast(windows, seed=seed), synthetic=data.synthetic,
    how=f"windows with a label, stride {stride} px, {data.name}",
)  # fmt: skip

# %%
image_id = patching.choose_rule_example(windows)
view = views.prepared_view(data, image_id, 640)
image_windows = windows[windows["image_id"] == image_id]
run.figure(
    patching_figures.label_rule(view, image_windows, patching.zoom(data, view)),
    "label_rule",
    f"The rule on {image_id}: lesion outlines, and the class of every window at its centre.",
)

# %%
balance_by_stride = patching.balance(windows_by_stride, "stride")
run.figure(
    patching_figures.class_shares(balance_by_stride, "stride", "stride (px)"),
    "classes_by_stride",
    "Share of the lesion classes among the labelled windows against stride.",
)

# %%
windows_by_rule = patching.windows_by_rule(
    data, rule_shares, size=patch_size, size_mm=size_mm, stride=stride, rule=rule
)
rules = patching.balance(windows_by_rule, "lesion_share")
run.figure(
    patching_figures.class_shares(rules, "lesion_share", "share of a lesion a window must contain"),
    "classes_by_rule",
    f"Share of the lesion classes against the label rule, at stride {stride} px.",
)

# %%
run.table(rules, "rules", "Windows of each class by label rule; excluded: those without a class.")

# %% [markdown]
# ## What do the patches look like?

# %%
examples = patching.choose_patches(windows, per_label=6, seed=seed)
example_pixels = sampler.cut(data.prepared, examples, size=patch_size)
mm_per_px = patching.mm_per_px(data, examples, patch_size)
run.figure(
    patching_figures.gallery(example_pixels, list(examples["label"]), list(mm_per_px)),
    "gallery",
    f"Random patches, one row per class, as a network gets them without augmentation "
    f"({patch_size}×{patch_size} px).",
)

# %% [markdown]
# ## What does augmentation do, and what do the patches cost?
#
# Crop, rotation, flip and scale are one resampling step on the training device, so a patch is
# blurred at most once, and no patch is ever written to disk.

# %%
patch_sampler = sampler.PatchSampler(
    data.prepared, windows, size=patch_size, batch_size=batch_size, seed=seed,
    balance="balanced", augmentation=sampler.PATCHES,
)  # fmt: skip
example = examples.tail(1)  # of the most suspicious class
variants = patch_sampler.variants(example.index[0], count=7, seed=seed)
run.figure(
    patching_figures.augmented(example_pixels[-1], variants, mm_per_px[-1]),
    "augmented",
    f"A patch ({example['label'].iloc[0]}) and seven augmented versions of it: rotated, flipped, "
    "scaled, with changed contrast.",
)

# %%
costs = patching.cost(
    patch_sampler, data, batches=batches, patches=[40_000, 200_000, 400_000, 1_200_000]
)
run.table(
    costs, "cost",
    "Time (this machine), memory and disk for patches cut on demand, or written out once.",
)  # fmt: skip

# %%
run.figure(
    patching_figures.cost(costs),
    "cost",
    "Disk and time: writing patches out once as PNG files, against cutting them from the prepared "
    "images on demand.",
)

# %% [markdown]
# ## What was found, and what it does not mean

# %% tags=["answer"]
Markdown(patching.findings(windows, largest_strides, costs, synthetic=data.synthetic))

# %% [markdown]
# **Limits.** The number of patches does not measure information: neighbouring windows share most of
# their pixels, and all windows of a patient come from the same one or two breasts. That is why data
# are split by patient and intervals are computed over patients. That the paper's range can be
# covered shows that suitable strides exist, not which one the paper used. Times are for the machine
# that ran this notebook.

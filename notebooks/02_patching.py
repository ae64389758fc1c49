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
# The paper cuts windows of **256×256 pixels** by sliding them over the mammograms. Stride and
# augmentation set their number, **from 40,000 to 1,200,000**; Otsu's method and others keep most
# of them on the breast; each gets one of **four classes**. This notebook asks:
#
# 1. Which stride gives how many patches, and how far do the paper's numbers reach?
# 2. What does keeping to the breast save?
# 3. Which label does a window get that holds half a lesion, and how rare do lesions become?
# 4. What do the patches look like, and what would it cost to write them to disk?

# %% tags=["parameters"]
outputs: str = "../outputs/lab"  # folder of the run, with the data set that notebook 01 left there
patch_size: int = 256  # px, of the prepared images [16, 4096]
patch_size_mm: float = 0.0  # window size in mm, resampled to patch_size; 0: use pixels [0, 500]
stride: int = 64  # px between neighbouring windows, for the patches shown [1, 4096]
strides: list[int] = [16, 32, 64, 128, 256]  # px, for the curves against stride [1, 4096]
min_breast_share: float = 0.5  # of the window that must lie on the breast [0, 1]
min_lesion_share: float = 0.5  # of the lesion in the window, for the window to count [0, 1]
min_window_share: float = 0.5  # or: of the window covered by the lesion [0, 1]
rule_shares: list[float] = [0.1, 0.25, 0.5, 0.75, 1.0]  # lesion shares to compare [0, 1]
batch_size: int = 64  # patches a batch, where the cost of making them is measured [1, 4096]
batches: int = 8  # batches that are timed [1, 10000]
seed: int = 0  # of examples, augmentation and intervals [0, 1000000]

# %%
from pathlib import Path

from IPython.display import Markdown

from second_look.preparing import patches
from second_look.batches import sampler
from second_look.preparing import views
from second_look.preparing.dataset import open_dataset
from second_look.figures import patching as draw
from second_look.figures import style
from second_look.outputs import open_run
from second_look.paper import claim
from second_look.studies.survey import patching as study
from second_look.studies.windows import WINDOWS

style.use_style()
run = open_run(outputs, notebook="02_patching")
data = open_dataset(Path(outputs))
run.uses(*data.files)

# %% [markdown]
# ## Which stride gives how many patches?
#
# A window belongs to the breast if enough of it lies on the breast mask, or if it touches a lesion.
# The numbers follow from
# geometry and masks alone; no patch is cut for them. Flips and quarter turns make eight patches of
# one without resampling; a patch turned by any other angle is no new picture but a variation.

# %%
rule = patches.LabelRule(min_breast_share, min_lesion_share, min_window_share)
size_mm = patch_size_mm or None
windows = study.windows_at(data, strides, size=patch_size, size_mm=size_mm, rule=rule)
counts = study.counts_against_stride(data, windows, size=patch_size, size_mm=size_mm)
run.table(counts, "counts", "Windows on the film, on the crop, and on the breast.")

# %%
paper = claim("patch-count")
reached = study.reach(counts, paper.low, paper.high)
run.result(
    "patch-count", int(counts["breast_augmented"].max()), low=int(counts["breast"].min()),
    high=int(counts["breast_augmented"].max()), n=len(data.prepared.images),
    how=f"windows of {patch_size} px on the breast, stride {max(strides)} px to {min(strides)} px "
    "with flips and turns",
    figure="counts", synthetic=data.synthetic,
    verdict=study.count_verdict(patch_size),
)  # fmt: skip

# %%
run.figure(
    draw.counts_against_stride(counts, paper.low, paper.high),
    "counts",
    f"Number of {patch_size}×{patch_size} windows of {data.name} against stride; grey: the paper's "
    "range, 40,000 to 1,200,000.",
)

# %%
run.table(reached, "reach", "Largest of the strides that gives the paper's numbers (0: none does).")

# %% [markdown]
# ## What does keeping to the breast save?

# %%
Markdown(study.savings(counts))

# %% [markdown]
# ## Which label does a window get?
#
# One rule, the same in training and evaluation. A window counts for a lesion if it holds at least
# a given share of the lesion, or if the lesion covers a given share of the window; of several
# lesions the most suspicious wins. A window that holds some lesion but too little of it is
# neither: it is left out and counted. So are all lesion-free windows of an image with a lesion
# whose place is unknown.

# %%
shown = patches.window_table(
    data.prepared, data.catalogue, size=patch_size, stride=stride, rule=rule, size_mm=size_mm
)
run.parquet(shown, WINDOWS)
run.table(patches.class_balance(shown), "classes", f"Windows by class at stride {stride} px.")

# %%
present = shown.loc[shown["excluded"] == "", "label"].nunique()
run.result(
    "patch-classes", present, n=int((shown["excluded"] == "").sum()), synthetic=data.synthetic,
    how=f"classes among the windows of {data.name}",
    verdict=study.classes_verdict(shown, data),
)  # fmt: skip
example = study.choose_rule_example(shown)
view = views.prepared_view(data, example, 640)
run.figure(
    draw.label_rule(view, shown[shown["image_id"] == example], study.zoom(data, view)),
    "label_rule",
    f"The rule on {example}: outlines, and every window by class at its centre.",
)

# %%
by_stride = study.balance(windows, "stride")
run.figure(
    draw.class_shares(by_stride, "stride", "stride (px)"),
    "classes_by_stride",
    "Share of the lesion classes among the labelled windows against stride.",
)

# %%
ruled = study.windows_by_rule(
    data, rule_shares, size=patch_size, size_mm=size_mm, stride=stride, rule=rule
)
by_rule = study.balance(ruled, "lesion_share")
run.figure(
    draw.class_shares(by_rule, "lesion_share", "share of a lesion that a window must hold"),
    "classes_by_rule",
    f"Share of the lesion classes against the label rule, at stride {stride} px.",
)

# %%
run.table(by_rule, "rules", "Windows of each class by label rule; excluded: those of no class.")

# %% [markdown]
# ## What do the patches look like?

# %%
chosen = study.choose_patches(shown, per_label=6, seed=seed)
pictures = sampler.cut(data.prepared, chosen, size=patch_size)
mm_per_px = study.mm_per_px(data, chosen, patch_size)
run.figure(
    draw.gallery(pictures, list(chosen["label"]), list(mm_per_px)),
    "gallery",
    f"Patches drawn at random, one class a row, as a network gets them without augmentation "
    f"({patch_size}×{patch_size} px).",
)

# %% [markdown]
# ## What does augmentation do, and what do the patches cost?
#
# Crop, rotation, flip and scale are one resampling on the device that trains, so a patch is blurred
# once at most, and no patch is ever written to disk.

# %%
turned = sampler.PatchSampler(
    data.prepared, shown, size=patch_size, batch_size=batch_size, seed=seed,
    balance="balanced", augmentation=sampler.Augmentation(),
)  # fmt: skip
one = chosen.tail(1)  # of the most suspicious class
variants = turned.variants(one.index[0], count=7, seed=seed)
run.figure(
    draw.augmented(pictures[-1], variants, mm_per_px[-1]),
    "augmented",
    f"One patch ({one['label'].iloc[0]}) and seven augmented versions of it: turned, mirrored, "
    "scaled, with another contrast.",
)

# %%
costs = study.cost(turned, data, batches=batches, patches=[40_000, 200_000, 400_000, 1_200_000])
run.table(
    costs, "cost",
    "Time (this machine), memory and disk for patches cut when needed, or written out once.",
)  # fmt: skip

# %%
run.figure(
    draw.cost(costs),
    "cost",
    "Disk and time: patches written out as PNG files once, against cutting them from the prepared "
    "images whenever they are needed.",
)

# %% [markdown]
# ## What was found, and what it does not mean

# %%
Markdown(study.findings(shown, reached, costs, synthetic=data.synthetic))

# %% [markdown]
# **Limits.** The number of patches is no measure of information: neighbouring windows share most of
# their pixels, and all windows of a woman share her breast. That is why the splits go by patient
# and intervals are taken over patients. That the paper's range is covered says that such strides
# exist, not which one the paper used. Times are those of the machine that ran this notebook.

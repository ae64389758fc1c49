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
# # 08 · Scorecard: what of the paper holds?
#
# Every number of the paper beside the one that this run measured, with its interval and a verdict;
# the results of others that the paper cites, with ours among them; and its four conclusions, each
# with what speaks for it and against it. "Not measured" says that no notebook of this run did.

# %% tags=["parameters"]
outputs: str = "../outputs/lab"  # folder of the run, with the results of the notebooks before

# %%
from pathlib import Path

from IPython.display import Markdown

from second_look.preparing.dataset import open_dataset
from second_look.outputs import load_results, open_run
from second_look.studies.scorecard import conclusions
from second_look.studies.scorecard import card as study

run = open_run(outputs, notebook="08_scorecard")
data = open_dataset(Path(outputs))
run.uses(*data.files)
results = run.results_of_others()

# %% [markdown]
# ## Claim by claim
#
# A claimed number is reproduced if it lies in our interval; a count must be equal; a range must be
# covered, but for 1 % of its upper end where the paper says "approximately". Numbers from synthetic
# images judge nothing.

# %%
study.report_related(run, results, synthetic=data.synthetic)
card = load_results(run.folder)
run.table(study.table(card), "card", "The paper's claims and this run's measurements.")

# %%
run.table(study.counts(card), "verdicts", "Rows by verdict.")

# %%
Markdown(study.links(card))

# %% [markdown]
# ## What others reached
#
# Data sets, splits and tasks differ from row to row, so no row is the measure of another.

# %%
run.table(study.related(card, data.name), "related", "The paper's related work, and this run.")

# %% [markdown]
# ## The paper's four conclusions
#
# What speaks for and against each, by rules that are named so that each can be judged by its
# numbers. The bars are low: what passes one may still be far from the paper's numbers, or from use.
#
# - **Patches.** A model of whole images that never saw a patch, not even in its start weights,
#   counts against their need if the interval of its AUC by image lies above chance, 0.5, and for it
#   if it lies below.
# - **GANs.** Figures 2a and 2b count for their failure if the texture of samples lies more than 1.5
#   times as far from real patches as that of real patches of other women; a texture near real says
#   nothing of diagnosis. What samples teach counts for it if balanced accuracy on real patches,
#   learnt from samples only, is not above that without looking and clearly below that from real
#   patches; against it if it is above the one and not clearly below the other.
# - **Transfer.** Counts as notebook 06 judged it.
# - **Mask R-CNN.** An AUC whose interval lies above chance counts for it, one below against it. So
#   do lesions found at one false positive an image, and the masks of hit lesions (Dice), where
#   their intervals lie above or below those of the brightest blobs; masks are measured by each on
#   the lesions that it hits itself.
#
# Everything else is undecided.

# %%
tables = conclusions.read_tables(run)
evidence = conclusions.table(card, tables, synthetic=data.synthetic)
run.table(evidence, "conclusions", "Evidence of this run for and against each.")

# %% [markdown]
# ## What was found, and what it does not mean

# %%
Markdown(study.findings(card, evidence))

# %% [markdown]
# **Limits.** A verdict compares numbers, not experiments: the paper gives no split, no intervals
# and few settings. A claim that is not reproduced on one data set may hold on another.

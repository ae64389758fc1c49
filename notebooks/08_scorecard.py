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
# the published results that the paper cites, with ours among them; and its four conclusions, each
# with the evidence for and against it. "Not measured" means that no notebook of this run did so.

# %% tags=["parameters"]
outputs: str = "../outputs/lab"  # folder of the run, with the results of earlier notebooks

# %%
from pathlib import Path

from IPython.display import Markdown

from second_look.preparing.dataset import open_dataset
from second_look.outputs import open_run
from second_look.studies.scorecard import checklist, conclusions
from second_look.studies.scorecard import card as study
from second_look.studies.survey import cohort

run = open_run(outputs, notebook="08_scorecard")
data = open_dataset(Path(outputs))
run.uses(*data.files)
results = run.results_of_others()

# %% [markdown]
# ## Claim by claim
#
# A claimed number is reproduced if it lies in our interval; a count must be equal; a range must be
# covered, except for 1 % of its upper end where the paper says "approximately". Numbers from
# synthetic images give no verdict, and neither do those of a notebook that is out of date: its data
# set, or what it read from other notebooks, has changed since.

# %%
study.report_related(run, results, synthetic=data.synthetic)
card = run.results()
run.table(study.table(card), "card", "The paper's claims and this run's measurements.")

# %%
run.table(study.counts(card), "verdicts", "Rows by verdict.")

# %%
Markdown(study.links(card))

# %% [markdown]
# ## Related work
#
# Data sets, splits and tasks differ from row to row, so the rows cannot be ranked.

# %%
run.table(study.related(card, data.name), "related", "The paper's related work, and this run.")

# %% [markdown]
# ## The paper's four conclusions
#
# The evidence for and against each, by explicit rules. The bars are low: a result that passes one
# may still be far from the paper's numbers, or from clinical use.
#
# - **Patches.** A whole-image model trained without patches, and not initialized from patch
#   weights, counts against their need if the interval of its AUC by image lies above chance, 0.5,
#   and for it if it lies below.
# - **GANs.** Figures 2a and 2b count for their failure if the distance between the texture of
#   samples and of real patches is more than 1.5 times that between real patches of different
#   patients; a realistic texture says nothing about diagnosis. A classifier trained on samples only
#   counts for it if its balanced accuracy on real patches is not above the baselines that never
#   look at an image and clearly below that of a classifier trained on real patches; against it if
#   it is above the baselines and not clearly below.
# - **Transfer.** The verdict of notebook 06.
# - **Mask R-CNN.** An AUC whose interval lies above chance counts for it, one below against it. So
#   do lesions found at one false positive per image, and the masks of hit lesions (Dice), where
#   their intervals lie above or below those of the brightest blobs; each method's
#   masks are scored on the lesions that it hits.
#
# Everything else is undecided.

# %%
tables = conclusions.read_tables(run)
evidence = conclusions.table(card, tables, synthetic=data.synthetic)
run.table(evidence, "conclusions", "Evidence of this run for and against each.")

# %% [markdown]
# ## What a journal's reviewer would ask
#
# The CLAIM 2024 checklist (Tejani et al. 2024), filled in for this run. "In part" and "no" are
# limits of this work or of public data.

# %%
standards = cohort.reference_standards(data)
run_facts = checklist.facts(
    data, card,
    standards="; ".join(f"{name}: {text}" for name, text in standards.iloc[:, :2].to_numpy()),
    precision=cohort.expected_precision(data)[1],
)  # fmt: skip
run.table(checklist.table(run_facts), "claim_checklist", "CLAIM 2024, item by item.")

# %% [markdown]
# ## What was found, and what it does not mean

# %%
Markdown(study.findings(card, evidence))

# %% [markdown]
# **Limits.** A verdict compares numbers, not experiments: the paper gives no split, no intervals
# and few settings. A claim that is not reproduced on one data set may hold on another.

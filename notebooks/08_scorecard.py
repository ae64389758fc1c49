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
# Every claim of the paper beside what this run measured, with its interval and a verdict;
# the published results that the paper cites, with ours among them; and its four conclusions, each
# with the evidence for and against it. "Not measured" means that no notebook of this run did so.

# %% tags=["parameters"]
outputs: str = "../outputs/lab"  # folder of the run, with the results of earlier notebooks

# %%
from pathlib import Path

from IPython.display import Markdown

from second_look.preparing.dataset import open_dataset
from second_look.outputs import open_run
from second_look.running.parameters import check_parameters
from second_look.studies.scorecard import checklist, conclusions, positive_control, walkthrough
from second_look.studies.scorecard import card as study
from second_look.studies.survey import cohort
from second_look.verdicts import RULE

check_parameters("08_scorecard", globals())
run = open_run(outputs, notebook="08_scorecard")
data = open_dataset(Path(outputs))
run.uses(*data.files)
results = run.results_of_others()

# %% [markdown]
# ## Can this code learn?
#
# A failure says something about a method only if the same code can succeed. Each row is measured on
# patients that no network had seen, beside what has learnt nothing: chance, the brightest blobs, or
# for generators the largest distance that still counts as sufficient. "Yes" stands where the whole
# interval, for generators the range of their classes, is on the better side.

# %%
learnt_from = study.current_tables(run, positive_control.SOURCES)
learnt = positive_control.table(positive_control.skills(learnt_from))
run.table(learnt, "positive_control", "What the networks of this run learnt, on test patients.")
Markdown(positive_control.sentences(learnt, synthetic=data.synthetic))

# %% [markdown]
# ## When does a claim count as reproduced?

# %%
Markdown(RULE)

# %% [markdown]
# One measurement on its way through this rule:

# %%
run.table(
    walkthrough.measurement_to_verdict(results), "example", "From a measurement to its verdict.",
    empty="No result of this run has an interval and a claim with limits.",
)  # fmt: skip

# %%
run.table(study.margins(), "margins", "Within which limits each claim holds, and why.")

# %% [markdown]
# ## Claim by claim
#
# Numbers from synthetic images give no verdict, and neither do those of a notebook that is out of
# date: its data set, or what it read from other notebooks, has changed since.

# %%
study.report_related(run, results, synthetic=data.synthetic)
study.report_arithmetic(run)
card = run.results()
run.table(study.table(card), "card", "The paper's claims and this run's measurements.")

# %%
run.table(study.counts(card), "verdicts", "Rows by topic and verdict.")

# %%
Markdown(study.links(card, run.folder))

# %% [markdown]
# ## Related work
#
# Data sets, splits and tasks differ from row to row, so the rows cannot be ranked. "Value" is the
# number as the paper has it, "source" what the source itself says where it could be read.

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
# - **GANs.** Figures 2a and 2b count for their failure where the scorecard says "reproduced"; a
#   realistic texture says nothing about diagnosis. A classifier trained on samples only counts for
#   it if its balanced accuracy on original patches is not above the baselines that never look at an
#   image and clearly below that of a classifier trained on original patches, in pairs on the same
#   patients; against it if it is above the baselines and not clearly below.
# - **Transfer.** The verdict of the scorecard.
# - **Mask R-CNN.** An AUC whose interval lies above chance counts for it, one below against it. So
#   do lesions found at one false positive per image, and the masks of the lesions that both hit
#   (Dice): there the difference from the brightest blobs, paired over patients, decides.
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

# %% tags=["answer"]
Markdown(study.findings(card, evidence))

# %% [markdown]
# **Limits.** A verdict compares numbers, not experiments: the paper gives no split, no intervals
# and few settings. A claim that is not reproduced on one data set may hold on another.

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
# # 10 · Test sets from elsewhere: how far does a model fall?
#
# A model is as good as it is on patients of another hospital, another scanner, another country. The
# paper tests on the data set that it trains on. This notebook takes a published model and the data
# set of this run, which it has never seen, and changes nothing: weights, calibration and thresholds
# are those on its card. It asks:
#
# 1. How much of its AUC is left?
# 2. Do its probabilities still hold?
# 3. What do thresholds that its own validation patients fixed do here?

# %% tags=["parameters"]
outputs: str = "../outputs/lab"  # folder of the run, with the data set that the model is tested on
model: str = ""  # folder of a published set of another data set; empty: nothing is tested
draws: int = 2000  # bootstrap samples [20, 100000]
seed: int = 0  # of the intervals [0, 1000000]

# %%
from pathlib import Path

from IPython.display import Markdown

from second_look.figures import external as external_figures
from second_look.figures import style
from second_look.outputs import open_run
from second_look.preparing.dataset import open_dataset
from second_look.published import external
from second_look.running.parameters import check_parameters

# %%
check_parameters("10_external_test", globals())
style.use_style()
run = open_run(outputs, notebook="10_external_test")
data = open_dataset(Path(outputs))
run.uses(*data.files)
published = external.open_published(run, data, model)

# %% [markdown]
# ## What is compared with what?
#
# The model must not have learned from patients of this set: a shared data set is refused. All
# images count, whatever their split here: none of them was used for the model.

# %%
run.table(external.both_sets(published, data), "sets", "Where the model comes from, and this set.")

# %% [markdown]
# ## The model as it is, on this set

# %%
predictions = external.predict(published, data)
run.parquet(predictions, "predictions/10_external.parquet")
results = external.external_results(published, predictions, seed=seed, draws=draws)
falls = external.fall(results, published.card.results)
run.table(falls, "results", "Here, and on the test patients of the model's own data set.")

# %% tags=["answer"]
run.figure(
    external_figures.fall(falls),
    "fall",
    f"{published.card.model}, trained on {published.card.data.name}: on its own test patients and "
    f"on {data.name}; 95 % intervals over patients where there are enough.",
)

# %% [markdown]
# ## What is left of it

# %% tags=["answer"]
Markdown(external.findings(falls, published, data))

# %% [markdown]
# **Limits.** One external set is one hospital: another one falls differently. Differences between
# sets are not only those of the scanner: how patients were chosen, what counts as benign and how
# the truth was established differ as well. The two intervals come from different patients; a fall
# is said only where they do not overlap, which is a strict rule.

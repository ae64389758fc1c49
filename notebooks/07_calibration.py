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
# # 07 · Calibration: does 80 % confident mean 20 % wrong?
#
# The paper refers to Guo et al. (2017), who found that modern networks are overconfident, more so
# the deeper they are, and that dividing their logits by one number, the **temperature**, corrects
# this. The paper measures none of it, and the scorecard says so. We found no published calibration
# error on a public mammography split either. This notebook asks:
#
# 1. How far are probabilities from observed frequencies, for patches, images and patients?
# 2. How much do temperature scaling and its alternatives, fitted on validation patients, improve
#    them?
# 3. Are deeper networks worse calibrated?
# 4. When a model is 80 % confident, how often is it wrong?
# 5. What does a threshold mean, and what happens to it in screening, where disease is rare?
#
# The notebook trains nothing and reads no image: it uses every table of predictions that the other
# notebooks of this run wrote. This is research software, not a medical device.

# %% tags=["parameters"]
outputs: str = "../outputs/lab"  # folder of the run, with the predictions of earlier notebooks
bins: int = 15  # of the calibration errors, as Guo et al. take them [2, 1000]
confidence_bands: list[float] = [0.25, 0.5, 0.6, 0.7, 0.8, 0.9]  # where bands begin [0, 1]
sensitivity: float = 0.9  # that a threshold is fitted for, on validation patients [0.01, 1]
screening: float = 0.006  # share of positives in screening: about 6 in 1000 [0.0001, 0.5]
prevalences: list[float] = [0.006, 0.02, 0.05, 0.1, 0.2]  # of the weighted test set [0.0001, 0.5]
recall_rates: list[float] = [0.05, 0.1, 0.2]  # share of units recalled in validation [0.001, 1]
benefit_thresholds: list[float] = [0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5]  # net benefit [0.001, 0.99]
failures_shown: int = 4  # missed cancers and false alarms each, as pictures [1, 16]
models_shown: int = 4  # questions drawn in figures; tables hold all models [1, 12]
draws: int = 2000  # bootstrap draws of patients for each interval; 2000 elsewhere [20, 100000]
seed: int = 0  # of the bootstrap [0, 1000000]

# %%
from pathlib import Path

from IPython.display import Markdown

from second_look.evaluation.seeds import interval_words
from second_look.figures import calibration as draw
from second_look.figures import data_survey as survey_figures
from second_look.figures import decisions as decision_figures
from second_look.figures import style
from second_look.figures.roc import roc_curves
from second_look.outputs import open_run
from second_look.preparing import views
from second_look.preparing.dataset import open_dataset
from second_look.running.parameters import check_parameters
from second_look.studies.calibration import calibration_claims, clinical_value, decisions
from second_look.studies.calibration import findings, network_depth, subgroups, walkthrough
from second_look.studies.calibration import measures as study

# %%
check_parameters("07_calibration", globals())
style.use_style()
run = open_run(outputs, notebook="07_calibration")
groups, synthetic = study.load_groups(run)

# %% [markdown]
# ## Which predictions are there?
#
# Each row is a model and a question: which class is it, or is it malignant or not. Everything below
# is fitted on validation patients and reported on test patients. All intervals are 95 % intervals
# over patients, whose bootstrap gives the standard error, unless it is said otherwise. Scores of
# images are also combined into one per patient: the views of a breast are averaged, and the worse
# breast counts.

# %%
run.table(study.overview(groups), "predictions", "Models, questions, and how many units there are.")

# %%
calibrated = study.calibrate(groups)
run.table(
    study.notes(calibrated), "notes", "What could not be done, or only in part, and why.",
    empty="Everything could be done.",
)  # fmt: skip

# %% [markdown]
# ## One answer, step by step
#
# From the probabilities of one test unit to what its bin adds to the calibration error, after
# temperature scaling.

# %%
run.table(
    walkthrough.answer_to_error(calibrated, bins=bins), "example",
    "The first test unit of the first model with a temperature.",
    empty="No model here has a temperature.",
)  # fmt: skip

# %% [markdown]
# ## How far are probabilities from frequencies?
#
# For a question with two answers, the probability of “positive” is compared with how often it is
# true; for several classes, that of the most probable class with how often it is right.
# **ECE** is the mean gap over bins of equal width, or of equal mass; **MCE** the largest gap. Both
# are above 0 even for a perfect model, because every finite sample shows gaps by chance. How large
# an ECE chance alone gives is simulated: outcomes are drawn from the model's own probabilities, as
# many, in the same bins and as alike within patients as here. **Debiased** is the root mean square
# gap without that part (Kumar et al. 2019), whose variance is taken over patients. **NLL** and
# **Brier** also reward discrimination.
#
# What a model does wrong is read from three numbers on test units (Cox 1958; Van Calster et al.
# 2016, 2019). The **slope** of a logistic regression on the model's log odds: below 1 the model is
# overconfident, above 1 underconfident. **O:E**, the number of positives over the number expected:
# below 1 the risks are too high, above 1 too low. The **intercept**, with the slope held at 1, says
# the same on the scale of log odds. Slope and O:E are two questions, so their intervals have a
# level of 97.5 %: a perfect model is called miscalibrated in about 5 % of samples. Where both hold
# 1, no miscalibration is shown, and the findings say what could have been seen.

# %%
measured = study.measure(calibrated, bins=bins, seed=seed, draws=draws)
run.parquet(measured, "tables/07_measures.parquet")
run.table(
    study.readable(measured), "measures",
    "Every model on test patients as it is, and after each method fitted on validation patients. "
    "The change of ECE is paired over patients. ECE of a perfect model: mean and range of 95 % of "
    "simulated samples. Slope, intercept and O:E: intervals of the level 97.5 %. What lies "
    f"beyond the bounds of the search ({study.BOUNDS}) is no number.",
)  # fmt: skip

# %%
chosen = study.choose(calibrated, max_groups=models_shown)
errors = findings.one_measure(measured, chosen, "ece")
run.figure(
    draw.errors_by_method(
        errors, findings.one_measure(measured, chosen, "ece_perfect"),
        findings.titles(chosen), "ECE",
    ),
    "ece_by_method",
    f"ECE on test patients before and after recalibration; {interval_words(errors)}; grey: what a "
    "perfect model of this size shows in 95 % of samples, with the mean. For "
    f"each unit and question {study.CHOICE}.",
)  # fmt: skip

# %% tags=["answer"]
diagrams = study.reliability(chosen, bins=bins, seed=seed, draws=draws)
run.figure(
    draw.reliability(
        diagrams[diagrams["kind"] == "width"], findings.written_errors(measured, chosen, "ece")
    ),
    "reliability_width",
    f"Reliability on test patients in {bins} bins of equal width, as it is and after temperature: "
    f"dots on the dotted line mean what they say; bars: {interval_words(diagrams)}; below, the "
    "units in each bin.",
)

# %%
run.figure(
    draw.reliability(
        diagrams[diagrams["kind"] == "mass"], findings.written_errors(measured, chosen, "ece_mass")
    ),
    "reliability_mass",
    f"The same in {bins} bins of equal mass, which are narrow where most predictions lie.",
)

# %%
findings.report(run, chosen, measured, synthetic=synthetic)

# %% [markdown]
# ## Are deeper networks worse calibrated?
#
# Guo et al. found this on CIFAR-100. Here we compare the ResNets that an earlier notebook trained
# with otherwise equal settings, and show every seed.

# %%
depths = network_depth.depths(calibrated, measured)
effect = network_depth.depth_effect(calibrated, bins=bins, seed=seed, draws=draws)
untrained = "No ResNets of several depths were trained (`depths` of notebook 06)."
run.table(
    depths, "depths", "ECE of ResNets by depth, before and after temperature.", empty=untrained
)

# %%
run.table(
    effect, "depth_effect", "ECE of the deepest less that of the shallowest, paired.",
    empty=untrained,
)  # fmt: skip
if len(effect):
    run.figure(
        draw.error_against_depth(depths[depths["family"].isin(effect["family"])]),
        "ece_by_depth",
        f"ECE on test patients against depth; {interval_words(depths)}; open: after temperature. "
        "Lines join the means of the seeds.",
    )

# %% [markdown]
# ## When a model says 80 %, how often is it wrong?
#
# The paper's example: a calibrated model that is 80 % confident is wrong in 20 % of the cases.

# %%
bands = decisions.bands(chosen, edges=confidence_bands, seed=seed, draws=draws)
run.table(bands, "bands", "Error promised and observed by how sure the model is of its answer.")

# %%
run.figure(
    draw.confidence_bands(bands, calibration_claims.PAPERS_EXAMPLE),
    "confidence_bands",
    "Wrong answers by band of confidence: dots are what was observed, dashes what the confidence "
    f"promises; {interval_words(bands)}; cross: the paper's example. A band stays empty where no "
    "answer falls into it.",
)

# %% [markdown]
# ## What does a threshold stand for?
#
# A threshold that reaches the target sensitivity on validation patients is applied to the test
# patients. Temperature moves the threshold but not the decisions: what changes is whether its value
# can be read as a probability. The test units whose scores rank nearest to the
# threshold show that: how many of them are positive?
#
# The positive predictive value (PPV) is that of the test units. Screening counts patients, so its
# prevalence is applied to scores per patient alone, never to patches or images. Even there the PPV
# is a calculation: it takes the false alarms from these test patients, whose negatives are mostly
# benign lesions that somebody wanted to see again, while most patients in screening have no
# finding.

# %%
per_patient = decisions.per_patient(study.choose(calibrated, max_groups=len(calibrated)))
usable = decisions.without_repeats([*decisions.usable(chosen), *per_patient])
points = decisions.operating_points(
    usable, sensitivity=sensitivity, prevalence=screening, seed=seed, draws=draws
)
run.table(
    points, "operating_points",
    f"Thresholds for a sensitivity of {sensitivity:g} on validation patients, and what they do on "
    f"test patients; screening: {screening:.2%} positive, for scores per patient only; observed: "
    f"share of positives among the {decisions.NEAR:.0%} of the test units that rank nearest to the "
    "threshold.",
)  # fmt: skip

# %%
if usable:
    curves = decisions.roc_curves(usable, seed=seed, draws=draws)
    run.figure(
        roc_curves(curves, points[points["method"] == study.AS_IT_IS]),
        "roc",
        f"ROC curves on test patients; {interval_words(curves)}; dots: the thresholds from "
        "validation patients.",
    )

# %%
if usable:
    run.figure(
        draw.thresholds(points),
        "thresholds",
        "The probability at the threshold against how often the units next to it are positive; on "
        "the dotted line it means what it says.",
    )

# %% [markdown]
# ## What happens at low prevalence?
#
# CBIS-DDSM holds 45 % malignant images, mini-MIAS 16 %, and screening finds about six cancers in
# a thousand patients. The test patients are weighted to lower prevalences; a model that was
# calibrated on the data set then overstates the risk by far. Bayes' rule corrects this if the
# images of each class stay the same and both prevalences are known (Saerens et al. 2002): the new
# one, and the one that the probabilities start from. A model trained on balanced classes starts
# from one half, and temperature leaves it there. Platt scaling on validation patients gives it
# theirs, so the correction starts from its probabilities.

# %%
shifted = decisions.prevalence_shift(
    per_patient, prevalences=[*prevalences, screening], bins=bins, seed=seed, draws=draws
)
run.table(
    shifted, "prevalence", "Calibration by prevalence, without and with the correction.",
    empty=clinical_value.NO_PATIENTS,
)  # fmt: skip

# %%
if per_patient:
    run.figure(
        draw.prevalence(shifted),
        "prevalence",
        "Left: mean probability stated against the share of patients with cancer. Right: ECE; "
        f"{interval_words(shifted)}. After Platt scaling, without and with correction.",
    )

# %% [markdown]
# ## What is a decision worth?
#
# A clinic does not choose a sensitivity but how many patients it can recall. Each threshold below
# recalls at most that share of the validation units; the table says what it does on test patients.
# **Net benefit** (Vickers & Elkin 2006) counts cancers found less false alarms, weighted by the
# odds of the threshold probability: a model is worth something where its curve lies above both
# recalling everybody and recalling nobody. In these data sets cancers are far more frequent than in
# screening, and many negatives have a benign finding: predictive values and net benefit hold for
# such images only.

# %%
deciding = clinical_value.decision_units(chosen)
recalls = clinical_value.by_recall_rate(deciding, rates=recall_rates, seed=seed, draws=draws)
run.table(
    clinical_value.readable(recalls), "recall_rates",
    "Thresholds that recall a given share of the validation units, on test patients; "
    f"{interval_words(recalls)}.",
    empty=clinical_value.NO_UNITS,
)  # fmt: skip
run.table(
    clinical_value.average_precisions(deciding, seed=seed, draws=draws), "average_precision",
    "Average precision on test patients, and the share of positives, which a guess reaches.",
    empty=clinical_value.NO_UNITS,
)  # fmt: skip

# %%
benefits = clinical_value.decision_curves(
    deciding, thresholds=benefit_thresholds, seed=seed, draws=draws
)
run.table(
    benefits, "net_benefit", "Net benefit per unit by threshold probability.",
    empty=clinical_value.NO_UNITS,
)  # fmt: skip
if deciding:
    run.figure(
        decision_figures.decision_curves(benefits),
        "decision_curves",
        f"Net benefit on test patients, of probabilities after {clinical_value.RISK}; "
        f"{interval_words(benefits)}. What lies far below recalling nobody is cut.",
    )

# %% [markdown]
# ## Whom does it serve worse, and where does it fail?
#
# Small groups have wide intervals, or none: a difference between two groups is shown only where
# their intervals are apart. Kind, size and assessment belong to malignant lesions; there the
# positives of a group are compared with all negatives.

# %%
data = open_dataset(Path(outputs))
run.uses(*data.files)
by_group = subgroups.table(deciding, data, seed=seed, draws=draws)
run.table(
    by_group, "subgroups",
    "AUC, and observed over expected cancers, by group of test images. Not recorded: "
    f"{', '.join(subgroups.NOT_RECORDED)}.",
    empty=clinical_value.NO_UNITS,
)  # fmt: skip

# %%
if len(by_group):
    run.figure(
        decision_figures.subgroups(by_group),
        "subgroups",
        f"AUC by group of test images; {interval_words(by_group, 'auc_low')}; an open dot has no "
        "interval.",
    )

# %%
recalled_most = recalls[recalls["rate"] == max(recall_rates)]
thresholds = dict(zip(recalled_most["title"], recalled_most["threshold"], strict=True))
run.table(
    subgroups.errors(deciding, data, thresholds), "errors",
    "Missed cancers and false alarms among the test images, at the threshold that recalls at most "
    f"{max(recall_rates):.0%} of the validation units.",
    empty=f"{clinical_value.NO_UNITS} Or they made no such error.",
)  # fmt: skip

# %%
worst = subgroups.worst_errors(deciding, per_kind=failures_shown)
run.table(
    worst, "worst_errors", "The clearest errors of the first model of images.",
    empty=clinical_value.NO_UNITS,
)  # fmt: skip
if len(worst):
    run.figure(
        survey_figures.examples(
            [views.original_view(data, image_id, 480) for image_id in worst["image_id"]],
            columns=failures_shown,
        ),
        "worst_errors",
        f"{worst['title'].iloc[0]}: the malignant test images with the lowest scores, then the "
        "others with the highest.",
    )

# %% [markdown]
# ## What was found, and what it does not mean

# %% tags=["answer"]
tables = {"bands": bands, "depth": effect, "points": points, "prevalence": shifted}
calibration_claims.report(run, chosen, measured, bands, effect, synthetic=synthetic)
Markdown(findings.findings(chosen, measured, tables, synthetic=synthetic))

# %% [markdown]
# **Limits.** A calibration error depends on its bins; where the intervals of two models overlap,
# they are not ranked. The bins and everything fitted on validation patients stay fixed in all
# bootstrap draws, so the intervals do not include the uncertainty of those fits. A recalibrated
# model is calibrated for patients and images like those it was fitted on: the weighted test set
# stands for another prevalence, not for another clinic.

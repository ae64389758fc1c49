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
# # 06 · Patches, transfer learning and whole mammograms
#
# The paper trains networks on patches of four classes. Its accuracy grew from **45 % with about
# 200,000 patches to 65 % with about 400,000**; it never ran 1.2 million. It reports that **transfer
# learning from ImageNet does not seem to help**, and two ways of getting from patches to images,
# both **worse than AUCs of 0.81 and 0.87**: an image is positive if one of its patches is (scheme
# A), and the patch weights initialize a model for whole images of 256×256 px (scheme B). This
# notebook asks:
#
# 1. How does accuracy grow with the number of patches, compared with baselines that ignore the
#    image?
# 2. Does a pretrained start help, and at which number of patches?
# 3. What does scheme A cost in false positives, and which rule over the windows does better?
# 4. What does scheme B achieve, at the paper's image size and at larger ones?
# 5. Could any of these results be obtained without learning the task?

# %% tags=["parameters"]
outputs: str = "../outputs/lab"  # folder of the run, with the outputs of notebooks 01 and 02
data_root: str = ""  # folder of the data sets; empty: $SECOND_LOOK_DATA, then ./data
weights_folder: str = "weights"  # in the data root: files with ImageNet weights
patch_size: int = 64  # px, the windows of notebook 02 are resampled to it [32, 1024]
architecture: str = "small"  # small, mobilenet_v2, or a network of timm
starts: list[str] = ["random", "phantom"]  # random, imagenet, phantom, or files of weights
patch_counts: list[int] = [2048, 16384]  # patches seen in training, each once [1, 100000000]
seeds: list[int] = [0]  # of weights and batches, one training run each [0, 1000000]
batch_size: int = 32  # patches per batch [1, 4096]
learning_rate: float = 1e-3  # highest learning rate [1e-6, 1]
balance: str = "balanced"  # classes drawn equally often, or by frequency {balanced|natural}
label_smoothing: float = 0.0  # share of the target spread over all classes [0, 0.9]
patience: int = 0  # validations without a better macro AUC before it stops; 0: never [0, 1000]
depths: list[str] = []  # more architectures, trained from random weights: calibration by depth
depth_patches: int = 512  # patches for each of these [1, 100000000]
validation_windows: int = 500  # largest number of windows to validate on in training [10, 1000000]
test_windows: int = 4000  # largest number of windows of each split to predict [10, 1000000]
pretraining_patients: int = 16  # phantoms for the start phantom, four images each [16, 10000]
pretraining_patches: int = 1024  # patches of these phantoms to train on [1, 100000000]
scheme_a_stride: int = 32  # px of a patch between the windows of scheme A [32, 1024]
min_breast_share: float = 0.5  # of a window of scheme A that must be on the breast [0, 1]
image_sizes: list = [[512, 416]]  # rows and columns of whole images; [0, 0]: as they are
image_starts: list[str] = ["random", "patches"]  # random, imagenet, patches, or files of weights
image_epochs: int = 8  # passes over the training images [1, 1000]
image_batch_size: int = 8  # images per batch [1, 1024]
image_learning_rate: float = 4e-4  # highest learning rate for whole images [1e-6, 1]
image_balance: str = "natural"  # labels by frequency, or drawn equally often {balanced|natural}
image_label_smoothing: float = 0.1  # share of the target spread over all classes [0, 0.9]
viewer_cases: int = 8  # most cases of each outcome in the case viewer; 0: no viewer [0, 1000]
viewer_mb: float = 0.5  # MB, most that its pictures may add to the report [0, 20]
image_patience: int = 0  # epochs without a better AUC before it stops; 0: never [0, 1000]
two_view_epochs: int = 1  # passes over the breasts with both views at once; 0: none [0, 1000]
two_view_learning_rate: float = 1e-4  # highest learning rate of these [1e-6, 1]
seed: int = 0  # of samples and intervals [0, 1000000]

# %% tags=["train"]
from pathlib import Path

from IPython.display import Markdown

from second_look.evaluation.seeds import interval_words
from second_look.figures import style
from second_look.figures import transfer as transfer_figures
from second_look.outputs import open_run
from second_look.preparing.dataset import open_dataset, require
from second_look.running.parameters import check_parameters
from second_look.studies.transfer import controls, dense_windows, patch_models, patch_transfer
from second_look.studies.transfer import image_results, linear_probe, scheme_a, transfer_claims
from second_look.studies.transfer import two_views, walkthrough, whole_image
from second_look.studies.transfer.starts import PHANTOM, resolve_starts, weights_folders
from second_look.studies.windows import open_windows, sample_windows
from second_look.viewer import widget

# %% tags=["train"]
check_parameters("06_patch_transfer_learning", globals())
style.use_style()
run = open_run(outputs, notebook="06_patch_transfer_learning")
data = open_dataset(Path(outputs))
run.uses(*data.files)
require(data, outlines=False)
checkpoints = run.folder / "checkpoints"
weights = weights_folders(data_root, weights_folder)
patch_weights, patch_predictions = {}, []  # without outlines there is no patch model

# %% [markdown]
# ## Data and baselines
#
# Windows and labels are those of notebook 02. Every model sees each augmented patch once: a model
# "of 2,048 patches" has seen 2,048 different ones, cropped, rotated, mirrored and scaled on demand.
# Models are evaluated on windows of test patients with natural class frequencies: most contain no
# lesion, so a model that always predicts "normal" is right most of the time. Balanced accuracy, the
# mean recall over the classes, does not reward that. A data set without lesion outlines has no
# labelled windows: only the models of whole mammograms (scheme B) run on it.

# %% tags=["train", "outlines"]
windows = open_windows(run, data, size=patch_size)

# %% [markdown]
# ## One patch of each class, step by step
#
# A patch becomes maps of features, their means, a logit for each class and, by softmax,
# probabilities. **The weights are random, as before training**, so the answers are guesses;
# training lowers the loss. Rows like those of the second table make up the table of predictions,
# from which all measures below are computed.

# %% tags=["outlines"]
steps, batch = walkthrough.patches_to_answers(
    data, windows, architecture=architecture, size=patch_size, seed=seed
)
run.table(steps, "example", f"A batch of {len(batch)} patches through an untrained {architecture}.")
run.table(batch, "example_batch", "What becomes of each patch; p is a probability.")

# %% [markdown]
# ## What does one know without looking?

# %% tags=["outlines"]
test = sample_windows(windows, split="test", max_windows=test_windows, seed=seed)
validation = sample_windows(windows, split="val", max_windows=test_windows, seed=seed)
baselines = patch_transfer.baselines(windows, test)
run.table(baselines, "baselines", f"Baselines that ignore the image: {len(test):,} test patches.")

# %% [markdown]
# ## Training
#
# One training run per start, number of patches and seed; runs with the same number of patches have
# the same budget. The start `imagenet` takes published weights; `phantom` takes a model that this
# project trains on phantoms (synthetic mammograms), which cost nothing. Pretrained weights keep
# their batch-normalization statistics, unless normalization had been folded into the weights: then
# it is restored and trained.

# %% tags=["train", "outlines"]
settings = patch_models.PatchSettings(
    architecture=architecture, size=patch_size, batch_size=batch_size,
    learning_rate=learning_rate, balance=balance, label_smoothing=label_smoothing,
    patience=patience,
)  # fmt: skip
phantom_weights = patch_models.phantom_start(
    run.folder, settings, starts=starts, patients=pretraining_patients,
    patches=pretraining_patches, max_validation=validation_windows, seed=seed,
)  # fmt: skip

# %% tags=["train", "outlines"]
models = patch_models.train_grid(
    data, windows, settings, starts=resolve_starts(starts, {PHANTOM: phantom_weights}),
    patch_counts=patch_counts, seeds=seeds, folder=checkpoints, weights=weights,
    max_validation=validation_windows,
)  # fmt: skip
depth_models = patch_models.train_depths(
    data, windows, settings, architectures=depths, patches=depth_patches, seeds=seeds,
    folder=checkpoints, max_validation=validation_windows,
)  # fmt: skip

# %% tags=["outlines"]
all_models = models + depth_models
test_scores = patch_models.predict_patches(all_models, data, test, size=patch_size)
validation_scores = patch_models.predict_patches(all_models, data, validation, size=patch_size)
run.parquet(
    patch_models.concatenate([validation_scores, test_scores]), "predictions/06_patches.parquet"
)
run.figure(
    transfer_figures.training_curves(
        patch_transfer.validation_curves(models), patch_transfer.MEASURES
    ),
    "training",
    "Validation during training, for the models with the most patches.",
)

# %% [markdown]
# ## How does accuracy grow with the number of patches?

# %% tags=["outlines"]
main_scores = test_scores[test_scores["architecture"] == architecture]
curve = patch_transfer.learning_curve(main_scores, seed=seed)
run.table(curve, "learning_curve_table", "Measures by number of patches, with their intervals.")

# %% tags=["outlines", "answer"]
run.figure(
    transfer_figures.learning_curve(curve, baselines, patch_transfer.MEASURES),
    "learning_curve",
    f"{architecture} on {data.name}: measures by number of patches; {interval_words(curve)}; "
    "crosses: the paper's accuracies.",
)

# %% tags=["outlines"]
growth = patch_transfer.growth(main_scores, seed=seed)
run.table(
    growth, "growth", "Gain of each number of patches over the next smaller one, paired.",
    empty="There is one number of patches, and nothing to compare it with.",
)  # fmt: skip

# %% [markdown]
# ## Does a pretrained start help?
#
# The table shows the difference from the random start with the same number of patches, on the same
# test patches and paired over patients. Only an interval on one side of zero answers the question.
# The paper's "does not seem to help" counts as reproduced if the interval rules out a gain of 5
# percentage points, which would matter in practice, with the paper's number of patches and with
# both starts above chance. A gain over a network that is still at chance shows that few patches are
# enough from ImageNet, not what ImageNet adds when there are hundreds of thousands.

# %% tags=["outlines"]
effect = patch_transfer.transfer_effect(main_scores, seed=seed)
run.table(
    effect, "transfer_table", "Gain of each start over the random one.",
    empty="There is no start beside the random one, or no random one to compare with.",
)  # fmt: skip
run.figure(
    transfer_figures.transfer(effect, patch_transfer.MEASURES),
    "transfer",
    f"Gain of each start over the random one; {interval_words(effect)}; right of the line the "
    "start did better.",
)

# %% tags=["train", "outlines"]
best = patch_transfer.best_model(models)
patch_weights = patch_transfer.weights_by_seed(models, best)

# %% tags=["outlines"]
transfer_claims.report_accuracy(run, curve, data, best.start)
transfer_claims.report_growth(run, growth, data, best.start)
transfer_claims.report_transfer(run, curve, effect, baselines, data)
scores = test_scores[(test_scores["model"] == best.name) & (test_scores["seed"] == best.seed)]
by_class = patch_transfer.by_class(scores, seed=seed)
run.table(by_class, "classes", f"{best.name}: recall and AUC of each class.")
run.figure(
    transfer_figures.confusion(patch_transfer.confusion_shares(scores)),
    "confusion",
    f"{best.name}: predicted classes of the test patches of each true class.",
)

# %% [markdown]
# ## Scheme A: is an image positive if one of its patches is?
#
# All windows on the breast in every validation and test image are scored in one pass over the
# image. At a window's borders the network then sees the surrounding tissue instead of padding,
# which can change its scores; the table shows by how much.

# %% tags=["outlines"]
images = data.catalogue.images
sample_ids = list(images.loc[images["split"] == "val", "image_id"].head(4))
scales = patch_models.patch_scales(windows, data, patch_size)
comparison = dense_windows.compare_with_crops(
    best.network, data, sample_ids, size=patch_size, stride=scheme_a_stride, scales=scales
)
run.table(comparison, "dense", f"One pass over {len(sample_ids)} images, and cropped windows.")

# %% tags=["outlines"]
applied = scheme_a.apply_all(
    patch_transfer.trainings_of(models, best), data, size=patch_size, stride=scheme_a_stride,
    min_breast_share=min_breast_share, scales=scales,
)  # fmt: skip
image_scores = applied[0].scores
scheme_a_predictions = patch_models.concatenate(part.predictions for part in applied)
run.parquet(scheme_a_predictions, "predictions/06_scheme_a.parquet")
patch_predictions = [scheme_a_predictions]

# %% tags=["outlines"]
run.table(
    scheme_a.any_window_operating_point(image_scores, images, seed=seed),
    "scheme_a",
    "The paper's rule, malignant if any window is: test images.",
)
numbers = [1, 2, 4, 8, 16, 32, 64, 128]
run.figure(
    transfer_figures.flagged(scheme_a.flagged_by_number(image_scores, images, numbers)),
    "flagged",
    "Share of images flagged, by the number of windows looked at. Dotted: if windows were "
    "independent of each other.",
)

# %% [markdown]
# ## Scheme B: models of whole mammograms
#
# The weights of the patch model (or other weights) initialize a model that gets the whole image at
# once. Its last layer sees the mean and the maximum of each feature over the image, and begins as
# the linear model of the frozen features that fits the training images best; then all layers learn.
# The epoch with the best AUC on validation patients is kept; "tta" (test-time
# augmentation) averages over the image and its mirror image. The score of a breast is the mean over
# its views; that of a patient is the higher one of the two breasts. The paper's "worse than 0.81
# and 0.87" counts as reproduced only with the paper's number of patches, if the whole interval by
# image is below 0.81 and the model is above chance (for scheme A: the patch model is). It is
# refuted if the interval is above 0.87, and undecided otherwise.

# %% tags=["train"]
image_settings = whole_image.WholeImageSettings(
    architecture=architecture, epochs=image_epochs, batch_size=image_batch_size,
    learning_rate=image_learning_rate, balance=image_balance,
    label_smoothing=image_label_smoothing, patience=image_patience,
)  # fmt: skip
image_models = whole_image.train_all(
    data, image_settings, sizes=image_sizes, starts=image_starts, seeds=seeds, folder=run.folder,
    patch_weights=patch_weights, weights=weights,
)  # fmt: skip

# %%
scheme_b_predictions = patch_models.concatenate(model.predictions for model in image_models)
run.parquet(scheme_b_predictions, "predictions/06_scheme_b.parquet")

# %% [markdown]
# The trivial baselines beside them are linear models on frozen features: those of a network that
# has never seen a mammogram (what ImageNet alone gives, where a start with published weights is),
# and those of the patch model, with which the training of whole images begins. A "mean of
# trainings" averages the probabilities of models with different seeds or image sizes. The sentence
# at the end names the model that ranks validation patients best, and what it reaches on test
# patients.

# %%
probe_predictions = linear_probe.linear_probe(
    data, architecture=architecture, size=image_sizes[0], folder=run.folder, weights=weights,
    starts=linear_probe.starts_to_probe([*image_starts, *starts], patch_weights),
)  # fmt: skip

# %%
of_images = patch_models.concatenate([scheme_b_predictions, probe_predictions])
means = image_results.means(of_images)
aucs = image_results.auc_table(
    patch_models.concatenate([*patch_predictions, of_images, means]), seed=seed
)
run.table(aucs, "whole_image_table", "AUC, malignant or not, on test patients.")
run.figure(
    transfer_figures.auc_forest(aucs),
    "whole_image_auc",
    f"AUC, malignant or not, {data.name}, test patients; {interval_words(aucs)}; dashed: the AUCs "
    "that the paper compares with.",
)

# %% [markdown]
# Does starting from the patch model help? The table shows the difference from the first start in
# `image_starts`, on the same test images: in AUC, in accuracy at the frequencies of the data set,
# and in balanced accuracy. Again, only an interval on one side of zero is an answer.

# %%
gains = image_results.auc_gains(scheme_b_predictions, seed=seed)
run.table(
    gains, "whole_image_gains", "Gain of each start by image.",
    empty="There is one start of whole images, and nothing to compare it with.",
)  # fmt: skip

# %%
size_gains = image_results.size_gains(scheme_b_predictions, seed=seed)
run.table(
    size_gains, "whole_image_sizes", "Gain of larger images: difference in AUC by image.",
    empty="All whole images had one size, so there is no larger one to compare with.",
)  # fmt: skip
transfer_claims.report_resizing(run, size_gains, data)

# %% [markdown]
# ## What do both views of a breast say together?
#
# Radiologists read the two views of a breast together. The model of single views that ranks
# validation patients best is trained further on both views at once: their features meet before the
# last layer (a breast with one view stands there twice). It begins as the mean of its answers to
# the single views, so the gain is what the views say only together.

# %% tags=["train"]
fused = two_views.train_all(
    data, image_models, image_settings, epochs=two_view_epochs,
    learning_rate=two_view_learning_rate, folder=run.folder,
)  # fmt: skip

# %%
gains_of_views = two_views.gains(fused, scheme_b_predictions, seed=seed)
if not gains_of_views.empty:
    run.parquet(fused, "predictions/06_two_views.parquet")
    run.table(two_views.pair_table(data), "two_view_breasts", "Breasts by the views they have.")
    run.table(gains_of_views, "two_views", "AUC by breast with both views, and its gain, paired.")
Markdown(two_views.findings(gains_of_views))

# %% tags=["outlines"]
any_window = scheme_a.auc(scheme_a_predictions, "any window", seed=seed)
transfer_claims.report_scheme_a(run, any_window, curve, best, data)
equivalent = whole_image.paper_equivalent_model(image_models)
transfer_claims.report_scheme_b(run, aucs, equivalent, best, data)

# %% [markdown]
# ## Where does the patch model see malignancy?
#
# Top: the mammogram with the true outlines. Bottom: the probability of "malignant" for the window
# around each point.

# %% tags=["outlines"]
selection = scheme_a.choose_heat_maps(image_scores, images, per_kind=1)
image_ids, titles = zip(*selection, strict=True)
heat_maps = scheme_a.heat_maps(best.network, data, image_ids, size=patch_size, scales=scales)
run.figure(
    transfer_figures.heat_maps(heat_maps, titles),
    "heat_maps",
    "Scores of the patch model by location.",
)

# %% [markdown]
# The case viewer lays the heat map over the pixels of more images, with the true outlines and the
# other view of the breast.

# %% tags=["outlines", "answer"]
widget.show_scheme_a(
    run, data, image_scores, best.network, size=patch_size, scales=scales,
    per_outcome=viewer_cases, megabytes=viewer_mb,
)  # fmt: skip

# %% [markdown]
# ## Could any of this be obtained without learning the task?
#
# A model trained on shuffled labels must be at chance. Where data sets are mixed, the name of the
# data set alone must not predict malignancy.

# %% tags=["train", "outlines"]
shuffled_model = patch_models.train_patch_model(
    data, windows, settings, patches=min(patch_counts), start="random", seed=seed,
    folder=checkpoints, shuffled=True, max_validation=validation_windows,
)  # fmt: skip

# %% tags=["outlines"]
shuffled_scores = patch_models.predict_patches([shuffled_model], data, test, size=patch_size)
run.table(
    controls.concatenate(
        controls.shuffled_labels(shuffled_scores, seed=seed),
        controls.source_only(images, seed=seed),
    ),
    "controls",
    "Scores without having learned the task.",
)

# %% [markdown]
# ## Results and limits

# %% tags=["outlines", "answer"]
Markdown(patch_transfer.findings(curve, effect, baselines))

# %% tags=["answer"]
Markdown(image_results.findings(aucs))

# %% [markdown]
# **Limits.** The paper does not describe its network, split, number of epochs or class frequencies,
# so its accuracies are shown beside ours without being the same quantity. Budgets are given as the
# number of patches; longer training of the same network may do better. Seeds vary the weights and
# batches, not the patients; the intervals over patients cover those.

"""What columns and values of tables are called where people read them; CSV files keep the names."""

from __future__ import annotations

import re

# Column -> its heading, where it is more than the name with spaces.
HEADINGS = {
    "activations_gb": "activations, GB",
    "at_screening": "decided at the prevalence of screening",
    "auc": "AUC",
    "auc_high": "AUC, high",
    "auc_low": "AUC, low",
    "auc_reason": "no interval because",
    "between_patients": "SD between patients",
    "between_trainings": "SD between trainings",
    "breast_augmented": "on the breast, flips and turns",
    "col_max": "last col",
    "col_min": "first col",
    "cols_max": "cols, most",
    "cols_median": "cols, median",
    "cols_min": "cols, fewest",
    "ece": "ECE",
    "ece_recalibrated": "ECE after temperature",
    "false_positives": "false positives per image",
    "gain_high": "gain, high",
    "gain_low": "gain, low",
    "gb_as_png": "as PNG, GB",
    "gb_memory": "memory, GB",
    "gb_prepared": "prepared images, GB",
    "if_truly": "if it is truly",
    "image_a": "first image",
    "image_b": "second image",
    "image_id": "image",
    "lesion_share": "share of a lesion",
    "macro_auc": "macro AUC",
    "observed_expected": "O:E",
    "observed_high": "observed, high",
    "observed_low": "observed, low",
    "oe_high": "O:E, high",
    "oe_low": "O:E, low",
    "oe_reason": "no O:E because",
    "p_holm": "p after Holm",
    "patient_id": "patient",
    "ppv": "PPV",
    "ppv_high": "PPV, high",
    "ppv_low": "PPV, low",
    "ppv_screening": "PPV in screening",
    "ppv_screening_high": "PPV in screening, high",
    "ppv_screening_low": "PPV in screening, low",
    "printed_layer": "layer, as printed",
    "printed_output_shape": "output shape, as printed",
    "printed_parameters": "parameters, as printed",
    "printed_type": "type, as printed",
    "ref": "reference",
    "row_max": "last row",
    "row_min": "first row",
    "rows_max": "rows, most",
    "rows_median": "rows, median",
    "rows_min": "rows, fewest",
    "seconds_cut": "seconds, windows cut",
    "seconds_dense": "seconds, one pass",
    "sensitivity_high": "sensitivity, high",
    "sensitivity_low": "sensitivity, low",
    "specificity_high": "specificity, high",
    "specificity_low": "specificity, low",
    "swd": "sliced Wasserstein distance ×1000",
    "total_gb": "in all, GB",
    "val": "validation",
    "val_patients": "validation patients",
    "val_units": "validation units",
    "weights_gb": "weights, GB",
}
# Name in a cell -> words.
WORDS = {
    "01_data_survey": "notebook 01",
    "02_patching": "notebook 02",
    "03_dcgan": "notebook 03",
    "04_gan_training_data": "notebook 04",
    "05_mask_rcnn": "notebook 05",
    "06_patch_transfer_learning": "notebook 06",
    "07_calibration": "notebook 07",
    "08_scorecard": "notebook 08",
    "09_one_mammogram": "notebook 09",
    "10_external_test": "notebook 10",
    "04_accuracy": "notebook 04, accuracy",
    "04_patches": "notebook 04, patches",
    "04_samples_against_real": "notebook 04, samples against real",
    "05_against_baseline": "notebook 05, against the baseline",
    "06_learning_curve_table": "notebook 06, learning curve",
    "06_patches": "notebook 06, patches",
    "06_scheme_a": "notebook 06, scheme A",
    "06_scheme_b": "notebook 06, scheme B",
    "06_two_views": "notebook 06, two views",
    "06_whole_image_table": "notebook 06, whole images",
    "balanced_accuracy": "balanced accuracy",
    "benign_without_callback": "benign without callback",
    "macro_auc": "macro AUC",
    "mask_rcnn_images": "notebook 05, images",
    "mask_rcnn_patches": "notebook 05, patches",
}
# Part of a path, a file name or a longer name stays as it is.
_NAME = re.compile(rf"(?<![\w/.-])(?:{'|'.join(WORDS)})(?![\w/-]|\.\w)")


def heading(column: object) -> str:
    """The heading of a column: its words, or its name with spaces."""
    name = str(column)
    return HEADINGS.get(name, name.replace("_", " "))


def in_words(text: str) -> str:
    """A cell with the names of labels, measures and notebooks as people write them."""
    return _NAME.sub(lambda match: WORDS[match[0]], text)

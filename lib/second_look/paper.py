"""What the paper prints: sizes, layers, and the results of others that it cites.

Thatte, Gunapal, Landesman, Lam: "Second Look: Cancer Detection in Mammograms using Public Data
Sets", UC Berkeley, 2017. Its claims are in claims.py, the rule that judges them in verdicts.py.
"""

from __future__ import annotations

from dataclasses import dataclass

# Rows and columns of a patch, px.
PATCH_SIZE = 256
# Random numbers behind a sample: 32,776,192 parameters of the first layer = 8192 · (4000 + 1).
LATENT_SIZE = 4000
# Accuracy of the patch classifier, %, by the number of patches that it learnt from, roughly.
PATCH_ACCURACY = {200_000: 45.0, 400_000: 65.0}
# Mask R-CNN: images per GPU, and the learning rates, first and last.
IMAGES_PER_GPU = 2
LEARNING_RATES = (0.002, 0.0002)
# Figures 2a and 2b: samples whose texture lies farther than so many times the distance of real ones
# from real ones are insufficient. The paper has no such limit; it judged by eye.
SUFFICIENT = 1.5
# What generators are called where people read of them.
GENERATOR_NAMES = {"dcgan": "DCGAN", "progressive": "progressive growing"}


@dataclass(frozen=True)
class RelatedResult:
    """A result of others that the paper cites.

    Attributes:
        ref: Its number among the paper's references.
        authors: With the year.
        task: What was measured, on which data, as the paper has it.
        measure: AUC, accuracy or Dice index; "" where the paper gives no number.
        value: The number: a share from 0 to 1, None where the paper gives none.
        source: What the source itself says, in our words; NOT_FOUND where it could not be read.
    """

    ref: int
    authors: str
    task: str
    measure: str = ""
    value: float | None = None
    source: str = ""


NOT_FOUND = "not found at its source"
_LEVY = (
    "a version of it: accuracy 0.929, recall 0.934, precision 0.924 on pre-segmented masses of DDSM"
)
RELATED_WORK = (
    RelatedResult(
        1,
        "Kinoshita et al. 1998",
        "neural networks in products since the late 1990s",
        source=NOT_FOUND,
    ),
    RelatedResult(
        2,
        "Jalalian et al. 2013",
        "best of a review, on 100 to 500 mammograms; the paper says “ROC scores of up to 0.98”",
        "AUC",
        0.98,
        NOT_FOUND,
    ),
    RelatedResult(
        3, "Levy and Jain 2016", "regions given by DDSM, benign or malignant", source=_LEVY
    ),
    RelatedResult(
        4,
        "Ertosun and Rubin 2015",
        "patches, about 10,000 public images",
        source="abstract: whole images without tiling; accuracy 0.85 for “has a mass”, and 85 % of "
        "the masses located at 0.9 false positives per image",
    ),
    RelatedResult(
        5,
        "Lotter et al. 2017",
        "patches, then whole images: DDSM",
        "AUC",
        0.92,
        "abstract: AUROC 0.92 on DDSM; patches first, then the whole image",
    ),
    RelatedResult(5, "Lotter et al. 2017", "the same: DREAM challenge", "AUC", 0.84, NOT_FOUND),
    RelatedResult(
        6,
        "Geras et al. 2017",
        "several views, 886,000 images",
        "AUC",
        0.81,
        "abstract: whole images at full resolution, not patches; 886,000 images by a summary; the "
        "AUC was not found",
    ),
    RelatedResult(
        7,
        "Therapixel 2017",
        "patches, 647,000 images, DREAM challenge",
        "AUC",
        0.87,
        "the organisers: over 640,000 images of 80,000 women; the AUC was not found, that of the "
        "second place is 0.85 (Ribli et al. 2018)",
    ),
    RelatedResult(
        8,
        "Yi et al. 2017",
        "100 networks in parallel, GoogLeNet",
        "accuracy",
        0.85,
        "abstract: accuracy 0.85, AUC 0.91, about 1000 patients of DDSM, an ensemble over both "
        "views; it does not say how many networks",
    ),
    RelatedResult(
        9,
        "Levy and Jain 2016",
        "masses found by radiologists, GoogLeNet",
        "accuracy",
        0.929,
        f"{_LEVY}; the same work as ref 3",
    ),
    RelatedResult(
        10, "Bekker et al. 2016", "needs both views, CC and MLO", "accuracy", 0.787, NOT_FOUND
    ),
    RelatedResult(
        11,
        "Dhungel et al. 2014",
        "outlines of masses",
        "Dice index",
        0.88,
        "abstract: structured SVM on DDSM-BCRP and INbreast, Dice index as the measure; it gives "
        "no number",
    ),
)


def cited(ref: int) -> float:
    """The number that the paper gives for one of its references.

    Raises:
        ValueError: It gives none, or several.
    """
    values = [row.value for row in RELATED_WORK if row.ref == ref and row.value is not None]
    if len(values) != 1:
        raise ValueError(f"ref {ref} must have one number. It has {len(values)}.")
    return values[0]


# AUCs that the paper compares schemes A and B with: refs 6 and 7.
FIELD = (cited(6), cited(7))


@dataclass(frozen=True)
class PrintedLayer:
    """A row of figure 1a or 1b.

    Attributes:
        name: Of the layer, numbered through both figures.
        kind: Its type.
        shape: Of its output, without the batch: rows, cols, channels, or features.
        parameters: As Keras counts them.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    parameters: int = 0

    @property
    def printed_shape(self) -> str:
        """The output's shape as it is printed."""
        return f"(None, {', '.join(str(size) for size in self.shape)})"


FIG_1A = (
    PrintedLayer("dense_1", "Dense", (8192,), 32_776_192),
    PrintedLayer("leaky_re_lu_1", "LeakyReLU", (8192,)),
    PrintedLayer("batch_normalization_1", "BatchNormalization", (8192,), 32_768),
    PrintedLayer("reshape_1", "Reshape", (8, 8, 128)),
    PrintedLayer("up_sampling2d_1", "UpSampling2D", (16, 16, 128)),
    PrintedLayer("conv2d_1", "Conv2D", (16, 16, 64), 204_864),
    PrintedLayer("leaky_re_lu_2", "LeakyReLU", (16, 16, 64)),
    PrintedLayer("batch_normalization_2", "BatchNormalization", (16, 16, 64), 256),
    PrintedLayer("up_sampling2d_2", "UpSampling2D", (32, 32, 64)),
    PrintedLayer("conv2d_2", "Conv2D", (32, 32, 32), 51_232),
    PrintedLayer("leaky_re_lu_3", "LeakyReLU", (32, 32, 32)),
    PrintedLayer("batch_normalization_3", "BatchNormalization", (32, 32, 32), 128),
    PrintedLayer("up_sampling2d_3", "UpSampling2D", (64, 64, 32)),
    PrintedLayer("conv2d_3", "Conv2D", (64, 64, 16), 12_816),
    PrintedLayer("leaky_re_lu_4", "LeakyReLU", (64, 64, 16)),
    PrintedLayer("batch_normalization_4", "BatchNormalization", (64, 64, 16), 64),
    PrintedLayer("up_sampling2d_4", "UpSampling2D", (128, 128, 16)),
    PrintedLayer("conv2d_4", "Conv2D", (128, 128, 8), 3_208),
    PrintedLayer("leaky_re_lu_5", "LeakyReLU", (128, 128, 8)),
    PrintedLayer("batch_normalization_5", "BatchNormalization", (128, 128, 8), 32),
    PrintedLayer("up_sampling2d_5", "UpSampling2D", (256, 256, 8)),
    PrintedLayer("conv2d_5", "Conv2D", (256, 256, 1), 201),
    PrintedLayer("activation_1", "Activation", (256, 256, 1)),
)
FIG_1B = (
    PrintedLayer("conv2d_6", "Conv2D", (128, 128, 32), 832),
    PrintedLayer("leaky_re_lu_6", "LeakyReLU", (128, 128, 32)),
    PrintedLayer("dropout_1", "Dropout", (128, 128, 32)),
    PrintedLayer("conv2d_7", "Conv2D", (64, 64, 64), 51_264),
    PrintedLayer("leaky_re_lu_7", "LeakyReLU", (64, 64, 64)),
    PrintedLayer("dropout_2", "Dropout", (64, 64, 64)),
    PrintedLayer("flatten_1", "Flatten", (262_144,)),
    PrintedLayer("dense_2", "Dense", (1,), 262_145),
)

"""What the paper claims, as data, and the one rule by which a claim is judged.

Thatte, Gunapal, Landesman, Lam: "Second Look: Cancer Detection in Mammograms using Public Data
Sets", UC Berkeley, 2017.
"""

from __future__ import annotations

import difflib
import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Claim:
    """One statement of the paper.

    Attributes:
        id: How notebooks refer to it.
        section: Section, figure or table of the paper.
        statement: What is claimed, in our words.
        notebook: Which notebook measures it.
        value: The number, where it is one.
        low, high: Its ends, where it is a range.
        about: Share by which ours may miss the upper end, where the paper says "approximately".
        unit: Of the numbers.
        text: The statement, where it is no number.
    """

    id: str
    section: str
    statement: str
    notebook: str
    value: float | None = None
    low: float | None = None
    high: float | None = None
    about: float = 0.0
    unit: str = ""
    text: str = ""

    @property
    def formatted(self) -> str:
        """The claim's value as people read it."""
        if self.text:
            return self.text
        if self.value is not None:
            return f"{self.value:,.10g}{_spaced(self.unit)}"
        return f"{self.low:,.10g} to {self.high:,.10g}{_spaced(self.unit)}"


def _spaced(unit: str) -> str:
    return f" {unit}" if unit else ""


_SURVEY, _PATCHING = "01_data_survey", "02_patching"
_DCGAN, _GAN_CHECK = "03_dcgan", "04_gan_training_data"
_MRCNN, _TRANSFER = "05_mask_rcnn", "06_patch_transfer_learning"
_CALIBRATION, _SCORECARD = "07_calibration", "08_scorecard"

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

CLAIMS = (
    Claim("data-mias", "Data", "images in MIAS", _SURVEY, 322),
    Claim("data-ddsm", "Data", "images in DDSM", _SURVEY, 10_239),
    Claim("data-total", "GAN", "images in MIAS and DDSM", _SURVEY, 10_561),
    # Detectors of 4,084 rows are approximately 4,096 px too.
    Claim(
        "size-range",
        "Data",
        "height of the images, the largest approximately",
        _SURVEY,
        low=1024,
        high=4096,
        about=0.01,
        unit="px",
    ),
    Claim("area-calc", "Abstract", "mean area of calcifications", _SURVEY, 0.5, unit="% of image"),
    Claim("area-mass", "Abstract", "mean area of masses", _SURVEY, 1.2, unit="% of image"),
    Claim("fig-1a", "Fig. 1a", "parameters of the DCGAN's generator", _DCGAN, 33_081_761),
    Claim("fig-1b", "Fig. 1b", "parameters of the DCGAN's discriminator", _DCGAN, 314_241),
    Claim("gan-patches", "GAN", "patches that the GANs learn from", _DCGAN, 4000),
    Claim(
        "fig-2a",
        "Fig. 2a",
        "samples after 50 epochs",
        _DCGAN,
        text="“clearly insufficient for … diagnosis”",
    ),
    Claim(
        "fig-2b",
        "Fig. 2b",
        "samples after 1000 epochs",
        _DCGAN,
        text="“clearly insufficient for … diagnosis”",
    ),
    Claim(
        "gan-check",
        "GAN",
        "accuracy on real images after 25 epochs on 60,000 samples",
        _GAN_CHECK,
        5,
        unit="%",
    ),
    Claim("mrcnn-params", "Mask R-CNN", "parameters of Mask R-CNN", _MRCNN, 63_744_170),
    Claim(
        "mrcnn-trainable", "Mask R-CNN", "trainable parameters of Mask R-CNN", _MRCNN, 63_632_682
    ),
    Claim(
        "mrcnn-nontrainable",
        "Mask R-CNN",
        "non-trainable parameters of Mask R-CNN",
        _MRCNN,
        111_488,
    ),
    Claim(
        "mrcnn-schedule",
        "Mask R-CNN",
        "how Mask R-CNN was trained",
        _MRCNN,
        text=f"{IMAGES_PER_GPU} images per GPU; learning rate {LEARNING_RATES[0]:g}, later "
        f"{LEARNING_RATES[1]:g}; COCO start",
    ),
    Claim("fig-3a", "Fig. 3a", "AUC of Mask R-CNN per image", _MRCNN, 0.93),
    Claim("fig-3b", "Fig. 3b", "AUC of Mask R-CNN per patch", _MRCNN, 0.73),
    Claim("patch-count", "Patches", "patches of 256×256", _PATCHING, low=40_000, high=1_200_000),
    Claim("patch-classes", "Patches", "classes of patches", _PATCHING, 4),
    Claim(
        "patch-accuracy-200k",
        "Patches",
        "accuracy with about 200,000 patches",
        _TRANSFER,
        PATCH_ACCURACY[200_000],
        unit="%",
    ),
    Claim(
        "patch-accuracy-400k",
        "Patches",
        "accuracy with about 400,000 patches",
        _TRANSFER,
        PATCH_ACCURACY[400_000],
        unit="%",
    ),
    Claim(
        "scheme-a",
        "Patches",
        "an image is positive if one of its patches is: AUC",
        _TRANSFER,
        text="worse than 0.81 and 0.87",
    ),
    Claim(
        "scheme-b",
        "Patches",
        "patch weights as the start of a model for whole images: AUC",
        _TRANSFER,
        text="worse than 0.81 and 0.87",
    ),
    Claim(
        "transfer",
        "Conclusion",
        "transfer learning from ImageNet",
        _TRANSFER,
        text="does not seem to help",
    ),
    Claim(
        "calibration",
        "Calibration",
        "do scores mean what they say?",
        _CALIBRATION,
        text="discussed, not measured",
    ),
    Claim(
        "related",
        "Related work",
        "results of refs 1–11",
        _SCORECARD,
        text="AUC up to 0.98 on few images, 0.81 to 0.92 on many",
    ),
)


@dataclass(frozen=True)
class RelatedResult:
    """A result of others that the paper cites.

    Attributes:
        ref: Its number among the paper's references.
        authors: With the year.
        task: What was measured, on which data.
        measure: AUC, accuracy or Dice index; "" where the paper gives no number.
        value: The number: a share from 0 to 1, None where the paper gives none.
    """

    ref: int
    authors: str
    task: str
    measure: str = ""
    value: float | None = None


RELATED_WORK = (
    RelatedResult(1, "Kinoshita et al. 1998", "neural networks in products since the late 1990s"),
    RelatedResult(
        2,
        "Jalalian et al. 2013",
        "best of a review, on 100 to 500 mammograms; the paper says “ROC scores of up to 0.98”",
        "AUC",
        0.98,
    ),
    RelatedResult(3, "Levy and Jain 2016", "regions given by DDSM, benign or malignant"),
    RelatedResult(4, "Ertosun and Rubin 2015", "patches, about 10,000 public images"),
    RelatedResult(5, "Lotter et al. 2017", "patches, then whole images: DDSM", "AUC", 0.92),
    RelatedResult(5, "Lotter et al. 2017", "the same: DREAM challenge", "AUC", 0.84),
    RelatedResult(6, "Geras et al. 2017", "several views, 886,000 images", "AUC", 0.81),
    RelatedResult(7, "Therapixel 2017", "patches, 647,000 images, DREAM challenge", "AUC", 0.87),
    RelatedResult(8, "Yi et al. 2017", "100 networks in parallel, GoogLeNet", "accuracy", 0.85),
    RelatedResult(
        9, "Levy and Jain 2016", "masses found by radiologists, GoogLeNet", "accuracy", 0.929
    ),
    RelatedResult(10, "Bekker et al. 2016", "needs both views, CC and MLO", "accuracy", 0.787),
    RelatedResult(11, "Dhungel et al. 2014", "outlines of masses", "Dice index", 0.88),
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

SYNTHETIC = "no verdict: synthetic images"
NOT_MEASURED = "not measured"
REPRODUCED, IN_PART, NOT_REPRODUCED = "reproduced", "reproduced in part", "not reproduced"
IN_WORDS = "see the notebook"
NO_INTERVAL = "undecided: too few patients for an interval"


def claim(claim_id: str) -> Claim:
    """The claim with that id.

    Raises:
        ValueError: There is none; names the nearest.
    """
    for candidate in CLAIMS:
        if candidate.id == claim_id:
            return candidate
    nearest = difflib.get_close_matches(
        claim_id, [candidate.id for candidate in CLAIMS], n=1, cutoff=0
    )
    raise ValueError(f"the paper has no claim {claim_id!r}. Did you mean {nearest[0]!r}?")


def verdict(
    paper_claim: Claim, value: float, low: float | None, high: float | None, *, synthetic: bool
) -> str:
    """Judge a claim; the one rule for all of them.

    A claimed number is "reproduced" if it lies in our interval [low, high], ends included. Where
    we have no interval the number is a count, and must be equal. A claimed range is "reproduced"
    if ours, from low to high, covers it, and "reproduced in part" if both share some values; where
    the paper's upper end is approximate, ours need only reach it but for the share `about`.
    Everything else is "not reproduced". Measurements on synthetic images judge nothing, a claim in
    words has to be judged in words by the notebook that measures it, and an interval that the
    patients were too few for (NaN) leaves it undecided.
    """
    if synthetic:
        return SYNTHETIC
    if not all(math.isfinite(end) for end in (value, low, high) if end is not None):
        return NO_INTERVAL
    measured = (value if low is None else low, value if high is None else high)
    if paper_claim.low is not None and paper_claim.high is not None:
        if (
            measured[0] <= paper_claim.low
            and paper_claim.high * (1 - paper_claim.about) <= measured[1]
        ):
            return REPRODUCED
        return (
            IN_PART
            if measured[0] <= paper_claim.high and paper_claim.low <= measured[1]
            else NOT_REPRODUCED
        )
    if paper_claim.value is None:
        return IN_WORDS
    return REPRODUCED if measured[0] <= paper_claim.value <= measured[1] else NOT_REPRODUCED

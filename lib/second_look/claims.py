"""The paper's claims, as data: every number, figure and statement, and what decides each.

Margins were fixed before any run was judged by them; each has its reason.
"""

from __future__ import annotations

import difflib

from second_look.paper import FIELD, IMAGES_PER_GPU, LEARNING_RATES, PATCH_ACCURACY, SUFFICIENT
from second_look.verdicts import Claim

_SURVEY, _PATCHING = "01_data_survey", "02_patching"
_DCGAN, _GAN_CHECK = "03_dcgan", "04_gan_training_data"
_MRCNN, _TRANSFER = "05_mask_rcnn", "06_patch_transfer_learning"
_CALIBRATION, _SCORECARD = "07_calibration", "08_scorecard"

# Summaries count each of them apart: a parameter count that agrees is no result that agrees.
DATA, ARCHITECTURE, RESULT, STATEMENT = "data", "architecture and settings", "results", "statements"
TOPICS = (RESULT, ARCHITECTURE, DATA, STATEMENT)

# A gain of balanced accuracy below this, percentage points, would make no difference in practice.
MATTERS = 5.0
# Epochs after which the paper's figures 2a and 2b show samples.
SAMPLE_EPOCHS = (50, 1000)
# The paper's example of calibration: how sure a model is of its answers, 0 to 1.
CONFIDENT = 0.8
_AUC = "0.05 in AUC: studies of readers call readings that differ by less equivalent"
_POINTS = "5 points: a quarter of the 20 that the paper reports for twice the patches"
_AREA = "about a fifth: the paper gives one digit, and two readers' outlines differ by more"
_WORSE = "below both AUCs that the paper compares with; refuted above both"
_PATCHES = {"patches": max(PATCH_ACCURACY)}
_POOR = "“clearly insufficient for … diagnosis”"
_TEXTURE = "texture farther from original patches than 1.5 times the distance among those"
_LITERATURE = "a statement on the literature of 2017, which no data set decides"

# fmt: off
CLAIMS = (
    Claim(id="state-of-the-art", topic=RESULT, section="Abstract", notebook=_MRCNN,
          statement="AUC per image compares with the state of the art", trained=True,
          higher_than=(FIELD[1], FIELD[0]), better="higher", text="as good as refs 6 and 7",
          reason="above both AUCs of refs 6 and 7; refuted below both"),
    Claim(id="area-calc", topic=DATA, section="Abstract", notebook=_SURVEY,
          statement="mean area of calcifications", value=0.5, margin=0.1, reason=_AREA,
          unit="% of image"),
    Claim(id="area-mass", topic=DATA, section="Abstract", notebook=_SURVEY,
          statement="mean area of masses", value=1.2, margin=0.25, reason=_AREA,
          unit="% of image"),
    Claim(id="more-negatives", topic=STATEMENT, section="Abstract", notebook=_SURVEY,
          statement="share of images without a malignancy", unit="%",
          text="in practice many more negative cases than positive ones"),
    Claim(id="related", topic=STATEMENT, section="Related work", notebook=_SCORECARD,
          statement="results of refs 1–11",
          text="AUC up to 0.98 on few images, 0.81 to 0.92 on many"),
    Claim(id="misprint", topic=STATEMENT, section="Related work", notebook=_SCORECARD,
          statement="images that ref 6 had", text="printed as “886,00”"),
    Claim(id="no-outlines", topic=STATEMENT, section="Related work", notebook=_SCORECARD,
          statement="cited work that outlines tumours", text="none but ref 11",
          unmeasured=f"{_LITERATURE}; by its abstract ref 4 locates masses, which is no outline"),
    Claim(id="data-mias", topic=DATA, section="Data", notebook=_SURVEY,
          statement="images in MIAS", value=322),
    Claim(id="data-ddsm", topic=DATA, section="Data", notebook=_SURVEY,
          statement="images in DDSM", value=10_239),
    # Detectors of 4,084 rows are approximately 4,096 px too.
    Claim(id="size-range", topic=DATA, section="Data", notebook=_SURVEY,
          statement="height of the images, the largest approximately", low=1024, high=4096,
          about=0.01, unit="px"),
    Claim(id="data-total", topic=DATA, section="GAN", notebook=_SURVEY,
          statement="images in MIAS and DDSM", value=10_561),
    Claim(id="order-of-magnitude", topic=STATEMENT, section="GAN", notebook=_SCORECARD,
          statement="images in MNIST or CIFAR-10, as multiples of the paper's",
          text="an order of magnitude more"),
    Claim(id="gan-patches", topic=ARCHITECTURE, section="GAN", notebook=_DCGAN,
          statement="patches that the GANs learn from", value=4000),
    Claim(id="gan-classes", topic=ARCHITECTURE, section="GAN", notebook=_DCGAN,
          statement="classes of images that the GANs learn from", value=3),
    Claim(id="fig-1a", topic=ARCHITECTURE, section="Fig. 1a", notebook=_DCGAN,
          statement="parameters of the DCGAN's generator", value=33_081_761),
    Claim(id="fig-1b", topic=ARCHITECTURE, section="Fig. 1b", notebook=_DCGAN,
          statement="parameters of the DCGAN's discriminator", value=314_241),
    Claim(id="fig-2a", topic=RESULT, section="Fig. 2a", notebook=_DCGAN,
          statement="samples after 50 epochs", text=_POOR, higher_than=(SUFFICIENT, 0.0),
          reason=_TEXTURE, trained=True, failure=True,
          budget={"epochs": 50, "patches": 4000, "size in px": 256}),
    Claim(id="fig-2b", topic=RESULT, section="Fig. 2b", notebook=_DCGAN,
          statement="samples after 1000 epochs", text=_POOR, higher_than=(SUFFICIENT, 0.0),
          reason=_TEXTURE, trained=True, failure=True,
          budget={"epochs": 1000, "patches": 4000, "size in px": 256}),
    Claim(id="gan-check", topic=RESULT, section="GAN", notebook=_GAN_CHECK,
          statement="accuracy on real images after 25 epochs on 60,000 samples", value=5, margin=5,
          reason=f"{_POINTS}; 10 % is still far below a guess among three or four classes",
          better="higher", trained=True, failure=True, unit="%",
          budget={"samples": 60_000, "epochs": 25, "epochs of the generator": 50}),
    Claim(id="rcnn-cost", topic=STATEMENT, section="Mask R-CNN", notebook=_MRCNN,
          statement="regions of an image that R-CNN runs through its network", value=2000,
          unmeasured="no R-CNN is built here; Mask R-CNN runs its backbone once per image"),
    Claim(id="fpn", topic=STATEMENT, section="Mask R-CNN", notebook=_MRCNN,
          statement="what a feature pyramid costs", text="accuracy at no cost in speed",
          unmeasured="the paper's network is not built without its pyramid"),
    Claim(id="mrcnn-params", topic=ARCHITECTURE, section="Mask R-CNN", notebook=_MRCNN,
          statement="parameters of Mask R-CNN", value=63_744_170),
    Claim(id="mrcnn-trainable", topic=ARCHITECTURE, section="Mask R-CNN", notebook=_MRCNN,
          statement="trainable parameters of Mask R-CNN", value=63_632_682),
    Claim(id="mrcnn-nontrainable", topic=ARCHITECTURE, section="Mask R-CNN", notebook=_MRCNN,
          statement="non-trainable parameters of Mask R-CNN", value=111_488),
    Claim(id="mrcnn-memory", topic=STATEMENT, section="Mask R-CNN", notebook=_MRCNN,
          statement="images per step that fit into memory", unit="GB for 2 images",
          text=f"no more than {IMAGES_PER_GPU} per GPU, hence the low learning rate"),
    Claim(id="mrcnn-schedule", topic=ARCHITECTURE, section="Mask R-CNN", notebook=_MRCNN,
          statement="how Mask R-CNN was trained",
          text=f"{IMAGES_PER_GPU} images per GPU; learning rate {LEARNING_RATES[0]:g}, later "
          f"{LEARNING_RATES[1]:g}; COCO start",
          budget={"network": "paper", "images per GPU": IMAGES_PER_GPU,
                  "learning rate": LEARNING_RATES, "start": "COCO"}),
    Claim(id="fig-3a", topic=RESULT, section="Fig. 3a", notebook=_MRCNN,
          statement="AUC of Mask R-CNN per image", value=0.93, margin=0.05, reason=_AUC,
          better="higher", trained=True),
    Claim(id="fig-3b", topic=RESULT, section="Fig. 3b", notebook=_MRCNN,
          statement="AUC of Mask R-CNN per patch", value=0.73, margin=0.05, reason=_AUC,
          better="higher", trained=True),
    Claim(id="resizing", topic=RESULT, section="Patches", notebook=_TRANSFER, trained=True,
          statement="gain in AUC of larger whole images over the smallest",
          text="resizing is unlikely to be effective", higher_than=(0.0, 0.0), better="higher",
          reason="larger images must be better; refuted if they are worse"),
    Claim(id="size-largest", topic=DATA, section="Patches", notebook=_SURVEY,
          statement="height of the largest image", unit="px", text="nearly 5000×4000 px"),
    Claim(id="patch-count", topic=ARCHITECTURE, section="Patches", notebook=_PATCHING,
          statement="patches of 256×256", low=40_000, high=1_200_000, covered=True),
    Claim(id="on-breast", topic=DATA, section="Patches", notebook=_PATCHING,
          statement="mean share of a patch that lies on the breast", text="the majority of patches",
          higher_than=(50.0, 50.0), unit="%", reason="a majority is more than half"),
    Claim(id="patch-classes", topic=ARCHITECTURE, section="Patches", notebook=_PATCHING,
          statement="classes of patches", value=4),
    Claim(id="scheme-a", topic=RESULT, section="Patches", notebook=_TRANSFER,
          statement="an image is positive if one of its patches is: AUC",
          text=f"worse than {FIELD[0]} and {FIELD[1]}", lower_than=FIELD, reason=_WORSE,
          better="higher", trained=True, failure=True, budget=_PATCHES),
    Claim(id="scheme-b", topic=RESULT, section="Patches", notebook=_TRANSFER,
          statement="patch weights as the start of a model for whole images: AUC",
          text=f"worse than {FIELD[0]} and {FIELD[1]}", lower_than=FIELD, reason=_WORSE,
          better="higher", trained=True, failure=True, budget=_PATCHES),
    Claim(id="patch-accuracy-200k", topic=RESULT, section="Patches", notebook=_TRANSFER,
          statement="accuracy with about 200,000 patches", value=PATCH_ACCURACY[200_000], margin=5,
          reason=_POINTS, better="higher", trained=True, unit="%"),
    Claim(id="patch-accuracy-400k", topic=RESULT, section="Patches", notebook=_TRANSFER,
          statement="accuracy with about 400,000 patches", value=PATCH_ACCURACY[400_000], margin=5,
          reason=_POINTS, better="higher", trained=True, unit="%"),
    Claim(id="patch-accuracy-gain", topic=RESULT, section="Patches", notebook=_TRANSFER,
          statement="accuracy gained by 400,000 patches instead of 200,000", margin=5,
          value=PATCH_ACCURACY[400_000] - PATCH_ACCURACY[200_000], reason=_POINTS, better="higher",
          trained=True, unit="points"),
    Claim(id="patches-of-others", topic=STATEMENT, section="Patches", notebook=_SCORECARD,
          statement="patches of the best earlier work", low=1_200_000, high=1_600_000,
          unmeasured="others' patches are not public, and ref 6 describes whole images"),
    Claim(id="calibration", topic=STATEMENT, section="Calibration", notebook=_CALIBRATION,
          statement="do scores mean what they say?", text="discussed, not measured"),
    Claim(id="depth-calibration", topic=RESULT, section="Calibration", notebook=_CALIBRATION,
          statement="ECE of the deeper network less that of the shallower one",
          text="deeper networks are worse calibrated", higher_than=(0.0, 0.0), unit="points",
          trained=True,
          reason="the deeper must be worse; refuted if it is better"),
    Claim(id="temperature", topic=RESULT, section="Calibration", notebook=_CALIBRATION,
          statement="change of ECE by one temperature", text="simple scaling mends calibration",
          lower_than=(0.0, 0.0), better="lower", unit="points", trained=True,
          reason="ECE must fall; refuted if it rises"),
    Claim(id="confidence-80", topic=RESULT, section="Calibration", notebook=_CALIBRATION,
          statement="units called wrongly among those called with a confidence of about 80 %",
          value=20, margin=5, reason="5 points: half the width of the band that is looked at",
          better="lower", unit="%", trained=True),
    Claim(id="only-ref-6", topic=STATEMENT, section="Calibration", notebook=_SCORECARD,
          statement="cited work that estimates its confidence", text="ref 6 only",
          unmeasured=_LITERATURE),
    Claim(id="newer-gans", topic=RESULT, section="Conclusion", notebook=_DCGAN, trained=True,
          statement="texture of a newer GAN's samples: its distance as a share of the DCGAN's",
          text="recent advances are promising", lower_than=(1.0, 1.0), better="lower",
          reason="the newer must be nearer to original patches; refuted if it is farther"),
    Claim(id="transfer", topic=RESULT, section="Conclusion", notebook=_TRANSFER,
          statement="gain of a start from ImageNet over a random one",
          text="does not seem to help", lower_than=(MATTERS, MATTERS), better="higher",
          unit="points",
          reason="a gain below 5 points of balanced accuracy would make no difference in practice",
          trained=True, failure=True, budget=_PATCHES),
    Claim(id="other-radiology", topic=STATEMENT, section="Conclusion", notebook=_TRANSFER,
          statement="a start from other radiological images", text="may be a better start",
          unmeasured="no weights from other radiological images are at hand; the nearest to them "
          "is the start “phantom” of notebook 06"),
    Claim(id="first-of-its-kind", topic=STATEMENT, section="Conclusion", notebook=_MRCNN,
          statement="Mask R-CNN on radiological images", text="the first such application",
          unmeasured=_LITERATURE),
)
# fmt: on


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

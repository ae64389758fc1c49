"""What the labels and outlines of each data set rest on, and how it may be used."""

from __future__ import annotations

from second_look.phantoms.forms import DATASET as PHANTOM
from second_look.sources import cbis_ddsm, ddsm, mias

# Data set -> what its labels rest on, its outlines, and how it may be used.
REFERENCE_STANDARDS = {
    mias.DATASET: (
        "kind and severity stated by the Mammographic Image Analysis Society; the release does not "
        "say which cases a biopsy confirmed",
        "a circle that encloses each abnormality, by radiologists",
        "UK screening programme; research only (Suckling et al. 1994)",
    ),
    cbis_ddsm.DATASET: (
        "malignant and benign by pathology; benign without callback by the radiologist's reading, "
        "with no biopsy",
        "masses: an algorithm's outline from the radiologist's region; calcifications: the "
        "radiologist's region",
        "four US hospitals, 1988 to 1999; CC BY 3.0 (Lee et al. 2017)",
    ),
    ddsm.DATASET: (
        "malignant and benign by pathology; benign without callback by the radiologist's reading; "
        "normal by a normal screening examination four years later",
        "regions drawn by radiologists",
        "four US hospitals, 1988 to 1999 (Heath et al. 2001)",
    ),
    PHANTOM: (
        "set when the image is made: a phantom is no patient",
        "exact",
        "made by this project",
    ),
    # Public sets that the params files of these names read as a folder with a table.
    "vindr": (
        "BI-RADS of two readers, arbitrated where they differ, no biopsies: 1 counts as normal, 2 "
        "and 3 as benign, 4 and 5 as malignant",
        "boxes of findings with BI-RADS 3 and above, by radiologists",
        "two hospitals in Hanoi; PhysioNet credentialed health data licence (Nguyen et al. 2023)",
    ),
    "rsna": (
        "malignant by biopsy; benign where a biopsy showed no cancer; normal without a biopsy",
        "none: labels are those of the breast",
        "screening in Australia and the US; competition rules, research only (Carr et al. 2022)",
    ),
    "inbreast": (
        "BI-RADS, no biopsies: 1 counts as normal, 2 and 3 as benign, 4 to 6 as malignant",
        "contours by a specialist; single calcifications of an image count as one lesion",
        "a breast centre in Porto; research only (Moreira et al. 2012)",
    ),
    "cmmd": (
        "malignant and benign by biopsy; images of breasts without a lesion are not in the table",
        "none: labels are those of the breast",
        "two hospitals in Guangdong; CC BY 4.0 (Cui et al. 2021)",
    ),
    "cesm": (
        "by pathology, or by follow-up",
        "drawn by hand by radiologists",
        "a hospital in Cairo; CC BY 4.0 (Khaled et al. 2022)",
    ),
    "mini_ddsm": (
        "those of DDSM: malignant and benign by pathology",
        "regions drawn by radiologists, as masks",
        "a reduced copy of DDSM; no licence stated (Lekamlage et al. 2020, Heath et al. 2001)",
    ),
}
UNKNOWN_STANDARD = (
    "as the user's table states; what it rests on is not known here",
    "as the user's masks and boxes give them",
    "see the provider of the images",
)

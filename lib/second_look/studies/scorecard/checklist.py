"""The CLAIM 2024 checklist filled in for a run: what a reviewer of a medical journal asks.

Items by Tejani et al., "Checklist for Artificial Intelligence in Medical Imaging (CLAIM): 2024
Update", Radiology: Artificial Intelligence 6(4), 2024, in our words. An answer says what was done,
or plainly that it was not.
"""

from __future__ import annotations

from typing import NamedTuple

import pandas as pd

from second_look.catalogue import SPLITS, patient_keys
from second_look.preparing.dataset import Dataset
from second_look.records import is_out_of_date

YES, PARTLY, NO, NOT_APPLICABLE = "yes", "in part", "no", "not applicable"


class Item(NamedTuple):
    """An item of the checklist with this project's answer.

    Attributes:
        section: Of an article.
        asks: What is to be reported.
        reported: YES, PARTLY, NO or NOT_APPLICABLE.
        answer: In a few words; {names} stand for facts of the run.
        details: Notebook or file with the details.
    """

    section: str
    asks: str
    reported: str
    answer: str
    details: str


_TITLE, _INTRODUCTION, _DESIGN = "Title and abstract", "Introduction", "Methods: design"
_DATA, _STANDARD = "Methods: data", "Methods: reference standard"
_PARTITIONS, _MODEL = "Methods: partitions and test data", "Methods: model"
_TRAINING, _EVALUATION = "Methods: training", "Methods: evaluation"
_RESULTS, _DISCUSSION, _OTHER = "Results", "Discussion", "Other information"

ITEMS = (
    Item(_TITLE, "the kind of AI, in the title", YES, "deep learning on mammograms, replicating a "
         "published study", "README"),
    Item(_TITLE, "a structured summary", YES, "claims, measurements and verdicts in one table",
         "08 and README"),
    Item(_INTRODUCTION, "background, intended use and role", PARTLY, "the paper's question; "
         "research only, no clinical use is intended", "README"),
    Item(_INTRODUCTION, "aims and hypotheses", YES, "the paper's claims, each with a margin that "
         "was fixed before measuring", "08"),
    Item(_DESIGN, "prospective or retrospective", YES, "{design}", "01"),
    Item(_DESIGN, "goal of the study", YES, "replication and extension",
         "README"),
    Item(_DATA, "sources of the data", YES, "{dataset}: {images} images of {patients} patients",
         "01"),
    Item(_DATA, "inclusion and exclusion", YES, "every image that can be read and has a label; "
         "{left_out} left out, each with its reason", "01, flow diagram and quarantine"),
    Item(_DATA, "preprocessing", YES, "grey levels to 16 bit by the header, breast crop, chest "
         "wall at the left", "01; lib/second_look/preparing"),
    Item(_DATA, "selection of subsets", YES, "windows by a stated rule and stride; none by hand",
         "02"),
    Item(_DATA, "de-identification", NOT_APPLICABLE, "{identities}", "01"),
    Item(_DATA, "missing data", YES, "unknown values stay unknown and are counted; nothing is "
         "imputed", "01, baseline table and quarantine"),
    Item(_DATA, "acquisition", PARTLY, "as the source states it: size, depth, pixel spacing; "
         "scanner and exposure are not recorded", "01"),
    Item(_STANDARD, "how the reference standard was obtained", YES, "{standards}", "01"),
    Item(_STANDARD, "why this reference standard", PARTLY, "{standard_reason}", "01"),
    Item(_STANDARD, "who annotated, and how qualified", PARTLY, "{annotators}", "01"),
    Item(_STANDARD, "annotation of the test set", YES, "as in training: there is no other "
         "standard", "01"),
    Item(_STANDARD, "agreement within and between raters", NO, "{agreement}", "–"),
    Item(_PARTITIONS, "how the data were partitioned", YES, "{partitions}", "01"),
    Item(_PARTITIONS, "level at which the partitions are disjoint", YES, "patients; checked by id "
         "and by comparing the images", "01"),
    Item(_PARTITIONS, "size of the test set and what it can show", YES, "{precision}", "01"),
    Item(_MODEL, "the model in detail", YES, "layer tables, parameter counts, code", "03, 05, 06; "
         "lib/second_look/models"),
    Item(_MODEL, "software and versions", YES, "exact versions in a lock file and in run.json",
         "requirements.lock"),
    Item(_MODEL, "initial parameters", YES, "random, or weights from a file that is named", "06"),
    Item(_TRAINING, "training in detail", YES, "augmentation, schedule, budget and losses of every "
         "training", "03 to 06"),
    Item(_TRAINING, "how the final model was chosen", YES, "by validation patients alone",
         "05, 06"),
    Item(_TRAINING, "ensembles", YES, "mirror images averaged where stated; seeds are reported "
         "apart, not combined", "06"),
    Item(_EVALUATION, "measures of performance", YES, "AUC, FROC, mAP50, Dice, balanced accuracy, "
         "average precision, MCC, calibration, net benefit", "05 to 07"),
    Item(_EVALUATION, "uncertainty and significance", YES, "intervals over patients whose coverage "
         "was measured; paired comparisons, Holm within a table", "benchmarks/coverage.py"),
    Item(_EVALUATION, "robustness", PARTLY, "label rules, strides, resolutions, seeds and shuffled "
         "labels", "02, 06"),
    Item(_EVALUATION, "explanation of decisions", PARTLY, "heat maps of patch scores, detections "
         "with masks", "05, 06"),
    Item(_EVALUATION, "evaluation on internal data", YES, "{test}", "05 to 07"),
    Item(_EVALUATION, "evaluation on external data", NO, "each run trains and tests on one source",
         "–"),
    Item(_EVALUATION, "registration", NOT_APPLICABLE, "no clinical trial", "–"),
    Item(_RESULTS, "patients and images included and excluded", YES, "flow diagram", "01"),
    Item(_RESULTS, "characteristics by partition", PARTLY, "density, view, lesions, BI-RADS; age, "
         "ethnicity and scanner are not recorded", "01, baseline table"),
    Item(_RESULTS, "performance with uncertainty", YES, "{aucs}", "05 to 08"),
    Item(_RESULTS, "precision of the estimates", YES, "every number with an interval, or the "
         "reason why it has none", "all"),
    Item(_RESULTS, "analysis of failures", YES, "missed cancers and false alarms counted by group, "
         "the worst shown", "07"),
    Item(_DISCUSSION, "limitations", YES, "at the end of every notebook", "01 to 08"),
    Item(_DISCUSSION, "implications for practice", YES, "none: research software, no medical "
         "device", "README"),
    Item(_OTHER, "protocol and further details", YES, "the notebooks are the protocol",
         "notebooks"),
    Item(_OTHER, "availability of software, model and data", YES, "{availability}",
         "README"),
    Item(_OTHER, "funding", PARTLY, "none is declared", "–"),
)  # fmt: skip


_OF_SOURCE = {
    "design": "retrospective: the images existed before this study",
    "identities": "by those who published the data, before this study",
    "standard_reason": "it is the one that the data sets come with, and the paper's",
    "annotators": "as far as the publishers say; no annotation was added",
    "agreement": "the data sets give one annotation an image",
    "availability": "code with its license; public data by their publishers' terms",
}
_OF_PHANTOMS = {
    "design": "neither: the images are synthetic, drawn for this run",
    "identities": "synthetic images show nobody",
    "standard_reason": "lesions are known exactly, since they were drawn",
    "annotators": "nobody: what was drawn is recorded",
    "agreement": "there are no raters",
    "availability": "code with its license; it draws the images anew",
}


def facts(
    dataset: Dataset, results: list[dict[str, object]], *, standards: str, precision: str
) -> dict[str, str]:
    """What the answers need to know of a run.

    Args:
        dataset: Of the run.
        results: From `Run.results`.
        standards: What the labels rest on, in a sentence.
        precision: What the test set can show, in a sentence.
    """
    images, quarantine = dataset.catalogue.images, dataset.catalogue.quarantine
    keys = patient_keys(images)
    names = dict(zip(SPLITS, ("training", "validation", "test"), strict=True))
    sizes = {split: (images["split"] == split) for split in SPLITS}
    counts = [
        f"{names[split]} {chosen.sum():,} images of {keys[chosen].nunique():,} patients"
        for split, chosen in sizes.items()
    ]
    tested = images[sizes["test"]]
    malignant = int((tested["label"] == "malignant").sum())
    areas = [
        f"{result['how']}: {float(str(result['value'])):.3g}"
        for result in results
        if result["claim"] in ("fig-3a", "scheme-b")
        and result["value"] is not None
        and not is_out_of_date(result)
    ]
    return (_OF_PHANTOMS if dataset.synthetic else _OF_SOURCE) | {
        "dataset": dataset.name,
        "images": f"{len(images):,}",
        "patients": f"{keys.nunique():,}",
        "left_out": f"{(quarantine['effect'] == 'image left out').sum():,} rows",
        "standards": standards,
        "partitions": "by patient, stratified by the worst label, or as published: "
        + "; ".join(counts),
        "precision": precision,
        "test": f"{len(tested):,} test images, {malignant:,} of them malignant, of patients that "
        "no model saw",
        "aucs": "; ".join(areas) or "no AUC was measured in this run",
    }


def table(run_facts: dict[str, str]) -> pd.DataFrame:
    """The filled-in checklist: item, section, asks, reported, answer, where."""
    rows = [
        (number, *item._replace(answer=item.answer.format_map(run_facts)))
        for number, item in enumerate(ITEMS, start=1)
    ]
    return pd.DataFrame(rows, columns=["item", "section", "asks", "reported", "answer", "where"])
